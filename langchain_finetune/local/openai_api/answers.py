"""What models answer: `/v1/chat/completions`, `/v1/completions` and `/v1/responses`.

An answer is abandoned when its client disconnects, so that no model writes in vain.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.openai_api.openapi import DescribedAs
from langchain_finetune.local.openai_api.shadows import Answer, Shadows, StartedShadow
from langchain_finetune.local.serving.backend import Chat
from langchain_finetune.rollout.state import Rollout, thread_key

_SERVING = "langchain_finetune.local.serving"
ChatBody = Annotated[dict[str, Any], DescribedAs(f"{_SERVING}.chat.protocol:ChatRequest")]
CompletionBody = Annotated[
    dict[str, Any], DescribedAs(f"{_SERVING}.completions.protocol:CompletionRequest")
]
ResponseBody = Annotated[
    dict[str, Any], DescribedAs(f"{_SERVING}.responses.protocol:ResponseRequest")
]


MODEL_HEADER = "x-langchain-finetune-model"
"""The engine's name of the model that gave an answer, percent-encoded as in a URL."""


def create_answers_router(
    chat: Chat, rollout_of: Callable[[str], Rollout | None], shadows: Shadows
) -> APIRouter:
    """Return the routes that models answer; `rollout_of` returns that of an alias."""
    router = APIRouter()

    def answered(answer: Answer, body: dict[str, Any]) -> Response:
        _require_whole_text(body)
        name = body.get("model")
        rollout = rollout_of(name) if isinstance(name, str) else None
        if rollout is None:
            return WhileConnected(shadows.answering(answer(body)), name)
        model = rollout.answering(sticky_key(body))
        asked = body | {"model": model}
        response = WhileConnected(shadows.answering(answer(asked)), model)
        if rollout.mode == "shadow":
            response.shadow = shadows.begun(rollout, answer, asked)
        return response

    @router.post("/chat/completions", responses=_answered("chat:ChatCompletion"))
    async def chat_completion(body: ChatBody) -> Response:
        return answered(chat.create, body)

    @router.post("/completions", responses=_answered(":Completion"))
    async def completion(body: CompletionBody) -> Response:
        return answered(chat.complete, body)

    @router.post("/responses", responses=_answered("responses:Response"))
    async def response(body: ResponseBody) -> Response:
        return answered(chat.respond, body)

    return router


def sticky_key(body: Mapping[str, Any]) -> str | None:
    """Return the thread or, without one, the user of a request, who keep their model in a canary.

    These are OpenAI's fields: a thread's id in `metadata`, `safety_identifier`, and `user`.
    `prompt_cache_key` is none: apps use the same for many users.

    Example:
        >>> sticky_key({"metadata": {"thread_id": "t1"}, "user": "u1"}), sticky_key({"user": "u1"})
        ('thread:t1', 'user:u1')
    """
    metadata = body.get("metadata")
    thread = thread_key(metadata) if isinstance(metadata, dict) else None
    if thread is not None:
        return f"thread:{thread}"
    user = body.get("safety_identifier") or body.get("user")
    return f"user:{user}" if user else None


class WhileConnected(Response):
    """An answer that is worked on while it is waited for.

    Its context is entered and left in one task, which is cancelled when the client goes away; what
    it raises before anything is sent reaches the application's error handlers.

    Attributes:
        shadow: Gets a copy of what is sent, if set.
    """

    def __init__(self, answer: AbstractAsyncContextManager[Response], model: object) -> None:
        super().__init__()
        self._answer = answer
        self._model = model
        self.shadow: StartedShadow | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer."""
        answering = asyncio.create_task(self._send(scope, send))
        leaving = asyncio.create_task(_has_left(receive))
        try:
            await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            answering.cancel()
            leaving.cancel()
            await asyncio.wait({answering, leaving})
        if not answering.cancelled():
            answering.result()

    async def _send(self, scope: Scope, send: Send) -> None:
        async with self._answer as response:
            if isinstance(self._model, str):
                response.headers[MODEL_HEADER] = quote(self._model, safe=":/")
            await response(scope, _never, self.shadow.copying(send) if self.shadow else send)


async def _has_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _never() -> Message:
    """Stand in for `receive`, which only one may call."""
    return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]


def _answered(name: str) -> dict[int | str, dict[str, Any]]:
    """Describe a whole answer as one of `openai.types`; its stream is described nowhere."""
    separator = "" if name.startswith(":") else "."
    return {200: {"model": Annotated[Any, DescribedAs(f"openai.types{separator}{name}")]}}


def _require_whole_text(body: dict[str, Any]) -> None:
    """Refuse unpaired surrogates, which JSON can write and no tokenizer can read."""
    try:
        json.dumps(body, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ApiError(400, "Text contains an unpaired surrogate.") from None
    except RecursionError:
        raise ApiError(400, "The body is nested too deeply.") from None
