"""OpenAI's APIs over local models; light to import, since torch comes on first use."""

import asyncio
import gc
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response, StreamingResponse

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.hardware import model_memory, share_the_cpu
from langchain_finetune.local.models import OnBase
from langchain_finetune.local.serving.answer import ChoicesWriter, Piece
from langchain_finetune.local.serving.chat.protocol import ChatRequest
from langchain_finetune.local.serving.chat.response import ChatWriter
from langchain_finetune.local.serving.completions.protocol import CompletionRequest
from langchain_finetune.local.serving.completions.response import CompletionWriter
from langchain_finetune.local.serving.model_pool import Lease, ModelPool, in_daemon_thread
from langchain_finetune.local.serving.protocol import model_not_found
from langchain_finetune.local.serving.responses.protocol import ResponseRequest, errors_renamed
from langchain_finetune.local.serving.responses.response import ResponseWriter
from langchain_finetune.local.template_process import STOPPED, TemplateStoppedError

if TYPE_CHECKING:
    from langchain_finetune.local.serving.generation import Prompt
    from langchain_finetune.local.serving.loading import LoadedModel
    from langchain_finetune.local.serving.scheduler import Scheduler


class ChatService:
    """Answers chats with the models in local folders.

    All that are asked for at one time are written together, those of each model in one step.

    `resolve` finds a model's folder by its name. It is called in a thread, for every request, so
    a new model is served at once. `memory` bounds the bytes of all weights that are kept; default:
    half of this machine's memory, or of its GPU's.

    Example:
        >>> service = ChatService({"my-model": Path("models/mine")}.get)
    """

    def __init__(
        self, resolve: Callable[[str], Path | OnBase | None], *, memory: int | None = None
    ) -> None:
        self._resolve = resolve
        self._memory = memory
        self._importing = asyncio.Lock()
        self._scheduler: Scheduler | None = None
        self._pool: ModelPool[LoadedModel] | None = None

    @asynccontextmanager
    async def create(self, body: dict[str, Any]) -> AsyncIterator[Response]:
        """Answer `POST /v1/chat/completions` with a JSON object or, if asked, a stream of events.

        The model stays in memory, and writes, until the context is left.

        Raises:
            ApiError: 400 for what is malformed or not supported, or a model that is too large;
                404 with the code `model_not_found`; 500 where the model can't be loaded or broke
                off.
        """
        request = ChatRequest.read(body)
        async with self._model(request.model) as lease:
            prompts = [await _render(lease.model, request)] * request.n
            writer = ChatWriter(request)
            async with self._answer(lease, prompts, writer, stream=request.stream) as response:
                yield response

    @asynccontextmanager
    async def complete(self, body: dict[str, Any]) -> AsyncIterator[Response]:
        """Answer `POST /v1/completions`, the older API that continues a text; see `create`."""
        request = CompletionRequest.read(body)
        async with self._model(request.model) as lease:
            from langchain_finetune.local.serving import generation  # noqa: PLC0415 - loaded by now

            read = [generation.encode_text(lease.model, each, request) for each in request.prompts]
            prompts = [prompt for prompt in read for _ in range(request.n)]
            writer = CompletionWriter(request, [prompt.text for prompt in read])
            async with self._answer(lease, prompts, writer, stream=request.stream) as response:
                yield response

    @asynccontextmanager
    async def respond(self, body: dict[str, Any]) -> AsyncIterator[Response]:
        """Answer `POST /v1/responses`; responses are not stored. See `create`."""
        with errors_renamed():
            request = ResponseRequest.read(body)
            async with self._model(request.model) as lease:
                prompt = await _render(lease.model, request.chat)
                writer = ResponseWriter(request)
                async with self._answer(lease, [prompt], writer, stream=request.stream) as response:
                    yield response

    async def warm(self) -> None:
        """Import the libraries for serving, which takes seconds."""
        async with self._importing:
            if self._pool is None:
                loaded = await in_daemon_thread(lambda: _import(self._memory))
                self._scheduler, self._pool = loaded

    async def unload(self, model: str) -> None:
        """Unload a model; an answer that it is writing now is still finished."""
        if self._pool:
            await self._pool.forget(model)

    async def cards(self) -> list[dict[str, Any]]:
        """Return the models that only this service knows of: none."""
        return []

    async def close(self) -> None:
        """Do nothing: the models go with the process."""

    @asynccontextmanager
    async def _model(self, name: str) -> AsyncIterator[Lease["LoadedModel"]]:
        """Hold a model in memory for as long as the context lasts."""
        found = await asyncio.to_thread(self._resolve, name)
        if found is None:
            raise model_not_found(f"The model '{name}' does not exist, or is not on this machine.")
        await self.warm()
        assert self._pool
        if isinstance(found, OnBase):
            lease = await self._pool.lease(name, found.adapter, (found.base_name, found.base))
        else:
            lease = await self._pool.lease(name, found)
        try:
            yield lease
        finally:
            lease.release()

    @asynccontextmanager
    async def _answer(
        self,
        lease: Lease["LoadedModel"],
        prompts: Sequence["Prompt"],
        writer: ChoicesWriter | ResponseWriter,
        *,
        stream: bool,
    ) -> AsyncIterator[Response]:
        """Let a model answer prompts; it stops when the context is left."""
        assert self._scheduler
        async with aclosing(_write(self._scheduler, lease, prompts)) as pieces:
            if stream:
                yield StreamingResponse(writer.events(pieces), media_type="text/event-stream")
            else:
                yield JSONResponse(await writer.whole(pieces))


async def _write(
    scheduler: "Scheduler", lease: Lease["LoadedModel"], prompts: Sequence["Prompt"]
) -> AsyncGenerator[tuple[int, Piece]]:
    """Yield the pieces of the answers, each with the number of its answer."""
    from langchain_finetune.local.serving.generation import begin  # noqa: PLC0415 - loaded by now

    answers = [begin(scheduler, lease, prompt, index) for index, prompt in enumerate(prompts)]
    try:
        for index, answer in enumerate(answers):
            async for piece in answer.pieces:
                yield index, piece
    finally:
        for answer in answers:
            answer.cancel()


async def _render(loaded: "LoadedModel", request: ChatRequest) -> "Prompt":
    from langchain_finetune.local.serving import generation  # noqa: PLC0415 - loaded by now

    def render() -> "Prompt":
        shape = request.shape
        grammar = generation.compile_grammar(loaded, shape) if shape else None
        return generation.render_chat(loaded, request, grammar)

    try:
        # A template is a program of its own, which may take its time.
        return await asyncio.to_thread(render)
    except TemplateStoppedError as error:
        raise ApiError(500, STOPPED, code="model_not_loadable", param="model") from error


def _import(memory: int | None) -> "tuple[Scheduler, ModelPool[LoadedModel]]":
    """Return what runs the models, and their pool."""
    share_the_cpu()
    from langchain_finetune.local.serving import generation, loading, scheduler  # noqa: F401, PLC0415 - seconds

    # What was imported stays; collecting it again would take most of the time of `loading.free`.
    gc.collect()
    gc.freeze()
    limit = model_memory() if memory is None else memory
    pool = ModelPool(limit, weigh=loading.weigh, load=loading.load, free=loading.free)
    return scheduler.Scheduler(limit // 4), pool
