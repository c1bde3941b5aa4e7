"""OpenAI's APIs over local models; light to import, since torch comes on first use."""

import asyncio
import gc
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response, StreamingResponse

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.hardware import model_memory, share_the_cpu
from langchain_finetune.local.serving.chat.request import ChatRequest
from langchain_finetune.local.serving.chat.response import Envelope
from langchain_finetune.local.serving.completions.request import CompletionRequest
from langchain_finetune.local.serving.completions.response import CompletionEnvelope
from langchain_finetune.local.serving.deltas import Piece
from langchain_finetune.local.serving.model_pool import Lease, ModelPool, in_daemon_thread
from langchain_finetune.local.serving.request_fields import Sampling
from langchain_finetune.local.serving.responses.request import ResponseRequest, errors_renamed
from langchain_finetune.local.serving.responses.response import ResponseWriter

if TYPE_CHECKING:
    from langchain_finetune.local.serving.loading import LoadedModel
    from langchain_finetune.local.serving.prompts import Prompt

Pieces = AsyncGenerator[tuple[int, Piece]]


@dataclass(frozen=True)
class LoadedParts:
    """What answering needs, once torch is there.

    Attributes:
        manager: Runs the models.
        pool: Holds them.
    """

    manager: Any
    pool: "ModelPool[LoadedModel]"


class ChatService:
    """Answers chats with the models in local folders.

    Answers are written one after the other: they would only share the same cores.

    Args:
        resolve: Finds the folder of a model by its name; None where there is no such model. It is
            called in a thread, for every request, so a new model is served at once.
        memory: Most bytes of the weights of all models that are kept in memory; default: half of
            this machine's memory, or of its GPU's.

    Example:
        >>> service = ChatService({"my-model": Path("models/mine")}.get)
    """

    def __init__(self, resolve: Callable[[str], Path | None], *, memory: int | None = None) -> None:
        self._resolve = resolve
        self._memory = memory
        self._importing = asyncio.Lock()
        self._parts: LoadedParts | None = None

    @asynccontextmanager
    async def create(self, body: dict[str, Any]) -> AsyncIterator[Response]:
        """Answer `POST /v1/chat/completions`.

        The model stays in memory, and writes, until the context is left.

        Args:
            body: The request.

        Yields:
            A JSON object, or a stream of server-sent events where the request asks for one.

        Raises:
            ApiError: 400 for what is malformed or not supported, or a model that is too large;
                404 with the code `model_not_found`; 500 where the model can't be loaded or broke
                off.
        """
        request = ChatRequest.read(body)
        async with self._model(request.model) as lease:
            prompt = await _render(lease.model, request)
            envelope = Envelope(
                request.model,
                request.legacy,
                request.named,
                request.include_usage,
                request.sampling.logprobs is not None,
            )
            one_call = request.legacy or not request.parallel or request.named
            prompts = [prompt] * request.n
            async with self._written(lease, prompts, request.sampling, one_call=one_call) as pieces:
                if request.stream:
                    yield _streaming(envelope.events(pieces))
                else:
                    answers = await _gathered(pieces, request.n)
                    yield JSONResponse(envelope.completion(answers))

    @asynccontextmanager
    async def complete(self, body: dict[str, Any]) -> AsyncIterator[Response]:
        """Answer `POST /v1/completions`, the older API that goes on with a text; see `create`."""
        request = CompletionRequest.read(body)
        async with self._model(request.model) as lease:
            from langchain_finetune.local.serving.prompts import (  # noqa: PLC0415 - loaded by now
                encode_text,
            )

            prompts = [encode_text(lease.model, each, request.sampling) for each in request.prompts]
            envelope = CompletionEnvelope(
                request.model,
                [prompt.text for prompt in prompts] if request.echo else [],
                request.include_usage,
                request.sampling.logprobs is not None,
                request.n,
            )
            answers = [prompt for prompt in prompts for _ in range(request.n)]
            async with self._written(lease, answers, request.sampling) as pieces:
                if request.stream:
                    yield _streaming(envelope.events(pieces))
                else:
                    written = await _gathered(pieces, len(answers))
                    yield JSONResponse(envelope.completion(written))

    @asynccontextmanager
    async def respond(self, body: dict[str, Any]) -> AsyncIterator[Response]:
        """Answer `POST /v1/responses`, of which nothing is kept; see `create`."""
        with errors_renamed():
            request = ResponseRequest.read(body)
        chat = request.chat
        async with self._model(chat.model) as lease:
            with errors_renamed():
                prompt = await _render(lease.model, chat)
            writer = ResponseWriter(chat.model, request.echoed)
            one_call = not chat.parallel or chat.named
            async with self._written(lease, [prompt], chat.sampling, one_call=one_call) as pieces:
                if chat.stream:
                    yield _streaming(writer.events(pieces))
                else:
                    yield JSONResponse(await writer.whole(pieces))

    async def warm(self) -> None:
        """Import what answering needs; it takes seconds, once."""
        async with self._importing:
            if self._parts is None:
                self._parts = await in_daemon_thread(lambda: _import(self._memory))

    async def unload(self, model: str) -> None:
        """Forget a model; an answer that it is writing now is still finished."""
        if self._parts:
            await self._parts.pool.forget(model)

    async def cards(self) -> list[dict[str, Any]]:
        """Return the models that only this service knows of: none."""
        return []

    async def close(self) -> None:
        """Do nothing: the models go with the process."""

    @asynccontextmanager
    async def _model(self, name: str) -> AsyncIterator[Lease["LoadedModel"]]:
        """Hold a model in memory for as long as the context lasts."""
        folder = await asyncio.to_thread(self._resolve, name)
        if folder is None:
            raise ApiError(
                404,
                f"The model '{name}' does not exist, or is not on this machine.",
                code="model_not_found",
                param="model",
            )
        await self.warm()
        assert self._parts
        lease = await self._parts.pool.lease(name, folder)
        try:
            yield lease
        finally:
            lease.release()

    def _written(
        self,
        lease: Lease["LoadedModel"],
        prompts: Sequence["Prompt"],
        sampling: Sampling,
        *,
        one_call: bool = False,
    ) -> AbstractAsyncContextManager[Pieces]:
        """Return the pieces of the answers to the prompts, each with the number of its answer."""
        assert self._parts
        return aclosing(_write(self._parts.manager, lease, prompts, sampling, one_call=one_call))


async def _write(
    manager: Any,
    lease: Lease["LoadedModel"],
    prompts: Sequence["Prompt"],
    sampling: Sampling,
    *,
    one_call: bool,
) -> Pieces:
    from langchain_finetune.local.serving.generation import (  # noqa: PLC0415 - loaded by now
        write,
    )

    for index, prompt in enumerate(prompts):
        pieces = write(manager, lease, prompt, sampling, index=index, one_call=one_call)
        async with aclosing(pieces):
            async for piece in pieces:
                yield index, piece


async def _render(loaded: "LoadedModel", request: ChatRequest) -> "Prompt":
    from langchain_finetune.local.serving.prompts import (  # noqa: PLC0415 - loaded by now
        compile_grammar,
        render_chat,
    )

    shape = request.shape
    grammar = await asyncio.to_thread(compile_grammar, loaded, shape) if shape else None
    return render_chat(loaded, request, grammar)


def _import(memory: int | None) -> LoadedParts:
    share_the_cpu()
    from langchain_finetune.local.serving import loading  # noqa: PLC0415 - seconds
    from langchain_finetune.local.serving.generation import make_manager  # noqa: PLC0415 - seconds

    # What was imported stays; looking through it would take most of the time of `loading.free`.
    gc.collect()
    gc.freeze()
    limit = model_memory() if memory is None else memory
    pool = ModelPool(limit, weigh=loading.weigh, load=loading.load, free=loading.free)
    return LoadedParts(make_manager(), pool)


async def _gathered(pieces: Pieces, number: int) -> list[list[Piece]]:
    answers: list[list[Piece]] = [[] for _ in range(number)]
    async for index, piece in pieces:
        answers[index].append(piece)
    return answers


def _streaming(events: AsyncIterator[str]) -> StreamingResponse:
    return StreamingResponse(events, media_type="text/event-stream")
