"""What models answer: `/v1/chat/completions`, `/v1/completions` and `/v1/responses`.

An answer is abandoned when its client disconnects, so that no model writes in vain.
"""

import asyncio
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Annotated, Any

from fastapi import APIRouter
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.openai_api.openapi import DescribedAs
from langchain_finetune.local.serving.backend import Chat

_SERVING = "langchain_finetune.local.serving"
ChatBody = Annotated[dict[str, Any], DescribedAs(f"{_SERVING}.chat.protocol:ChatRequest")]
CompletionBody = Annotated[
    dict[str, Any], DescribedAs(f"{_SERVING}.completions.protocol:CompletionRequest")
]
ResponseBody = Annotated[
    dict[str, Any], DescribedAs(f"{_SERVING}.responses.protocol:ResponseRequest")
]


def create_answers_router(chat: Chat, target: Callable[[str], str]) -> APIRouter:
    """Return the routes that models answer; `target` returns what a model's alias stands for."""
    router = APIRouter()

    def named(body: dict[str, Any]) -> dict[str, Any]:
        _require_whole_text(body)
        name = body.get("model")
        return body | {"model": target(name)} if isinstance(name, str) else body

    @router.post("/chat/completions", responses=_answered("chat:ChatCompletion"))
    async def chat_completion(body: ChatBody) -> Response:
        return WhileConnected(chat.create(named(body)))

    @router.post("/completions", responses=_answered(":Completion"))
    async def completion(body: CompletionBody) -> Response:
        return WhileConnected(chat.complete(named(body)))

    @router.post("/responses", responses=_answered("responses:Response"))
    async def response(body: ResponseBody) -> Response:
        return WhileConnected(chat.respond(named(body)))

    return router


class WhileConnected(Response):
    """An answer that is worked on while it is waited for.

    Its context is entered and left in one task, which is cancelled when the client goes away; what
    it raises before anything is sent reaches the application's error handlers.
    """

    def __init__(self, answer: AbstractAsyncContextManager[Response]) -> None:
        super().__init__()
        self._answer = answer

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
            await response(scope, _never, send)


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
