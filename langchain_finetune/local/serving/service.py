"""OpenAI's APIs over local models; light to import, since torch comes on first use."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response, StreamingResponse

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.hardware import share_the_cpu
from langchain_finetune.local.serving.completion_request import CompletionRequest
from langchain_finetune.local.serving.completion_wire import CompletionEnvelope
from langchain_finetune.local.serving.pieces import Piece
from langchain_finetune.local.serving.request import ChatRequest
from langchain_finetune.local.serving.response_request import ResponseRequest, errors_renamed
from langchain_finetune.local.serving.response_wire import ResponseWriter
from langchain_finetune.local.serving.sampling import Sampling
from langchain_finetune.local.serving.threads import in_daemon_thread
from langchain_finetune.local.serving.wire import Envelope

if TYPE_CHECKING:
    from langchain_finetune.local.serving.loading import LoadedModel
    from langchain_finetune.local.serving.prompts import Prompt

MAX_LOADED = 4
"""Most models in memory; the one that was not asked for the longest goes first."""

Pieces = AsyncGenerator[tuple[int, Piece]]


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
        loaded, prompt = await self._prepare(request)
        envelope = Envelope(
            request.model,
            request.legacy,
            request.named,
            request.include_usage,
            request.sampling.logprobs is not None,
        )
        one_call = request.legacy or not request.parallel or request.named
        pieces = self._write(loaded, [prompt] * request.n, request.sampling, one_call=one_call)
        if not request.stream:
            return JSONResponse(envelope.completion(await _gathered(pieces, request.n)))
        return _streaming(envelope.events(pieces), pieces)

    async def complete(self, body: dict[str, Any]) -> Response:
        """Answer `POST /v1/completions`, the older API that goes on with a text.

        Raises:
            ApiError: As `create`.
        """
        request = CompletionRequest.read(body)
        loaded = await self._load(request.model)
        from langchain_finetune.local.serving.prompts import (  # noqa: PLC0415 - loaded by now
            encode_text,
        )

        prompts = [encode_text(loaded, given, request.sampling) for given in request.prompts]
        envelope = CompletionEnvelope(
            request.model,
            [prompt.text for prompt in prompts] if request.echo else [],
            request.include_usage,
            request.sampling.logprobs is not None,
            request.n,
        )
        answers = [prompt for prompt in prompts for _ in range(request.n)]
        pieces = self._write(loaded, answers, request.sampling)
        if not request.stream:
            return JSONResponse(envelope.completion(await _gathered(pieces, len(answers))))
        return _streaming(envelope.events(pieces), pieces)

    async def respond(self, body: dict[str, Any]) -> Response:
        """Answer `POST /v1/responses`; nothing of it is kept.

        Raises:
            ApiError: As `create`.
        """
        with errors_renamed():
            request = ResponseRequest.read(body)
            loaded, prompt = await self._prepare(request.chat)
        writer = ResponseWriter(request.chat.model, request.echoed)
        one_call = not request.chat.parallel or request.chat.named
        pieces = self._write(loaded, [prompt], request.chat.sampling, one_call=one_call)
        if not request.chat.stream:
            async with aclosing(pieces):
                return JSONResponse(await writer.whole(pieces))
        return _streaming(writer.events(pieces), pieces)

    async def warm(self) -> None:
        """Import what answering needs; it takes seconds, once."""
        async with self._loading:
            await self._import()

    def unload(self, model: str) -> None:
        """Forget a model; an answer that it is writing now is still finished."""
        for key in [key for key in self._loaded if key[0] == model]:
            del self._loaded[key]

    async def _prepare(self, request: ChatRequest) -> tuple["LoadedModel", "Prompt"]:
        loaded = await self._load(request.model)
        from langchain_finetune.local.serving.prompts import (  # noqa: PLC0415 - loaded by now
            compile_grammar,
            render_chat,
        )

        shape = request.shape
        grammar = await asyncio.to_thread(compile_grammar, loaded, shape) if shape else None
        return loaded, render_chat(loaded, request, grammar)

    async def _write(
        self,
        loaded: "LoadedModel",
        prompts: Sequence["Prompt"],
        sampling: Sampling,
        *,
        one_call: bool = False,
    ) -> Pieces:
        """Yield the pieces of the answers to the prompts, each with the number of its answer."""
        from langchain_finetune.local.serving.generation import (  # noqa: PLC0415 - loaded by now
            write,
        )

        for index, prompt in enumerate(prompts):
            pieces = write(self._manager, loaded, prompt, sampling, index=index, one_call=one_call)
            async with aclosing(pieces):
                async for piece in pieces:
                    yield index, piece

    async def _load(self, model: str) -> "LoadedModel":
        folder = await asyncio.to_thread(self._resolve, model)
        if folder is None:
            raise ApiError(
                404,
                f"The model '{model}' does not exist, or is not on this machine.",
                code="model_not_found",
                param="model",
            )
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
    from langchain_finetune.local.serving.loading import load  # noqa: PLC0415 - seconds

    return load(folder)


async def _gathered(pieces: Pieces, number: int) -> list[list[Piece]]:
    answers: list[list[Piece]] = [[] for _ in range(number)]
    async with aclosing(pieces):
        async for index, piece in pieces:
            answers[index].append(piece)
    return answers


def _streaming(events: AsyncIterator[str], pieces: Pieces) -> StreamingResponse:
    return StreamingResponse(_closing(events, pieces), media_type="text/event-stream")


async def _closing(events: AsyncIterator[str], pieces: Pieces) -> AsyncIterator[str]:
    """Yield the events; stop the model where the client went away."""
    async with aclosing(pieces):
        async for each in events:
            yield each
