"""The Chat Completions API over local models; light to import, since torch comes on first use."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response, StreamingResponse

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.hardware import share_the_cpu
from langchain_finetune.local.serving.request import ChatRequest
from langchain_finetune.local.serving.threads import in_daemon_thread
from langchain_finetune.local.serving.wire import Envelope, Piece

if TYPE_CHECKING:
    from langchain_finetune.local.serving.generation import LoadedModel

MAX_LOADED = 4
"""Most models in memory; the one that was not asked for the longest goes first."""


class ChatService:
    """Answers chats with the models in local folders.

    Answers are written one after the other: they would only share the same cores.

    Args:
        resolve: Finds the folder of a model by its name; None where there is no such model. It is
            called in a thread, for every request, so a new model is served at once.

    Example:
        >>> service = ChatService({"my-model": Path("models/mine")}.get)
    """

    def __init__(self, resolve: Callable[[str], Path | None]) -> None:
        self._resolve = resolve
        self._loaded: OrderedDict[tuple[str, Path], LoadedModel] = OrderedDict()
        self._loading = asyncio.Lock()
        self._manager: Any = None

    async def create(self, body: dict[str, Any]) -> Response:
        """Answer `POST /v1/chat/completions`.

        Args:
            body: The request.

        Returns:
            A JSON object, or a stream of server-sent events where the request asks for one.

        Raises:
            ApiError: 400 for what is malformed or not supported; 404 with the code
                `model_not_found`; 500 where the model can't be loaded or broke off.
        """
        request = ChatRequest.read(body)
        folder = await asyncio.to_thread(self._resolve, request.model)
        if folder is None:
            raise ApiError(
                404,
                f"The model '{request.model}' does not exist, or is not on this machine.",
                code="model_not_found",
                param="model",
            )
        loaded = await self._load(request.model, folder)
        from langchain_finetune.local.serving.generation import (  # noqa: PLC0415 - loaded by now
            prepare,
            write,
        )

        prompt = prepare(loaded, request)
        envelope = Envelope(request.model, request.legacy, request.include_usage)
        pieces = write(self._manager, loaded, request, prompt)
        if not request.stream:
            return JSONResponse(envelope.completion([piece async for piece in pieces]))
        return StreamingResponse(
            _closing(envelope.events(pieces), pieces), media_type="text/event-stream"
        )

    async def warm(self) -> None:
        """Import what answering needs; it takes seconds, once."""
        async with self._loading:
            await self._import()

    def unload(self, model: str) -> None:
        """Forget a model; an answer that it is writing now is still finished."""
        for key in [key for key in self._loaded if key[0] == model]:
            del self._loaded[key]

    async def _load(self, model: str, folder: Path) -> "LoadedModel":
        key = (model, folder)
        if key not in self._loaded:
            async with self._loading:
                await self._import()
                if key not in self._loaded:
                    self._loaded[key] = await in_daemon_thread(lambda: _load(folder))
        loaded = self._loaded[key]
        self._loaded.move_to_end(key)
        while len(self._loaded) > MAX_LOADED:
            self._loaded.popitem(last=False)
        return loaded

    async def _import(self) -> None:
        if self._manager is None:
            self._manager = await in_daemon_thread(_make_manager)


def _make_manager() -> Any:
    share_the_cpu()
    from langchain_finetune.local.serving.generation import make_manager  # noqa: PLC0415 - seconds

    return make_manager()


def _load(folder: Path) -> "LoadedModel":
    from langchain_finetune.local.serving.generation import load  # noqa: PLC0415 - seconds

    return load(folder)


async def _closing(events: AsyncIterator[str], pieces: AsyncGenerator[Piece]) -> AsyncIterator[str]:
    """Yield the events; stop the model where the client went away."""
    async with aclosing(pieces):
        async for event in events:
            yield event
