"""The steps that are served: each a Runnable that takes and gives plain data."""

import asyncio
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from fastapi import HTTPException
from langchain_core.callbacks import AsyncCallbackManagerForChainRun
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError

from langchain_finetune.errors import (
    ConvertError,
    EngineUnreachableError,
    FineTuningError,
    JobError,
    LoadError,
)
from langchain_finetune.langserve.forms import as_form
from langchain_finetune.langserve.jobs import ServedJobs
from langchain_finetune.langserve.serializer import ModelManifest

_STATUSES = ((LoadError, 400), (ConvertError, 400), (JobError, 409), (EngineUnreachableError, 503))
_REFUSED = 502
_LOCAL_PAUSE_S = 1.0
_PAUSE_S = 5.0


class JobRequest(BaseModel):
    """Which job."""

    model_config = ConfigDict(extra="forbid")

    job_id: str = Field(min_length=1)


class EventsRequest(JobRequest):
    """Which events: those after the one that was seen last, or all."""

    after: str | None = None


class ChainRequest(JobRequest):
    """What to ask the chain of a finished model."""

    input: Any


class ServedStep(Runnable[Any, Any]):
    """A step over the jobs of a chain.

    Args:
        jobs: The jobs.
        input_type: What it takes.
    """

    def __init__(self, jobs: ServedJobs, input_type: type[BaseModel] = JobRequest) -> None:
        self._jobs = jobs
        self._input_type = as_form(input_type)
        self.name = type(self).__name__

    @property
    def InputType(self) -> type[BaseModel]:  # noqa: N802 - Runnable's name for it
        """What it takes."""
        return self._input_type

    @property
    def OutputType(self) -> Any:  # noqa: N802 - Runnable's name for it
        """Plain data: a model has no JSON schema."""
        return dict[str, Any]

    @abstractmethod
    async def answer(self, request: Any, config: RunnableConfig) -> Any:
        """Return the answer to a request of the input's type."""

    def invoke(
        self,
        input: Any,  # noqa: A002 - Runnable's name for it
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Any:
        """Answer like `ainvoke`, where no event loop runs."""
        return asyncio.run(self.ainvoke(input, config, **kwargs))

    async def ainvoke(
        self,
        input: Any,  # noqa: A002 - Runnable's name for it
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Any:
        """Return the answer.

        Raises:
            HTTPException: What went wrong, as a status and a sentence.
        """
        return await self._acall_with_config(self._answer, input, config, **kwargs)

    async def astream(
        self,
        input: Any,  # noqa: A002 - Runnable's name for it
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[Any]:
        """Yield the answer piece by piece, where it comes in pieces.

        Raises:
            HTTPException: What went wrong; `{"error": {"status", "message"}}` is yielded before.
        """

        async def once() -> AsyncIterator[Any]:
            yield input

        pieces = self._atransform_stream_with_config(once(), self._pieces, config, **kwargs)
        async for piece in pieces:
            yield piece

    async def pieces(self, request: Any, config: RunnableConfig) -> AsyncIterator[Any]:
        """Yield the pieces of the answer: by default all of it."""
        yield await self.answer(request, config)

    async def _answer(
        self, given: Any, run_manager: AsyncCallbackManagerForChainRun, config: RunnableConfig
    ) -> Any:
        del run_manager  # LangChain hands the config on only beside it.
        with as_http_errors():
            return await self.answer(self._input_type.model_validate(given), config)

    async def _pieces(
        self,
        given: AsyncIterator[Any],
        run_manager: AsyncCallbackManagerForChainRun,
        config: RunnableConfig,
    ) -> AsyncIterator[Any]:
        del run_manager
        async for each in given:
            try:
                with as_http_errors():
                    async for piece in self.pieces(self._input_type.model_validate(each), config):
                        yield piece
            except HTTPException as error:
                # Of an error in a stream LangServe tells nothing, and its playground shows nothing.
                yield {"error": {"status": error.status_code, "message": error.detail}}
                raise


class Submit(ServedStep):
    """Make a job of the chats that a query selects; answers at once with the job."""

    async def answer(self, request: BaseModel, config: RunnableConfig) -> dict[str, Any]:
        """Return the job as data."""
        del config
        # Forms send every field; what is left as it is leaves it to the loader.
        query = request.model_dump(exclude_defaults=True)
        job = await self._jobs.submit(query)
        return job.model_dump(mode="json")


class StatusStep(ServedStep):
    """How a job stands."""

    async def answer(self, request: JobRequest, config: RunnableConfig) -> dict[str, Any]:
        """Return its state, and its model once there is one."""
        del config
        job = await self._jobs.find(request.job_id)
        return asdict(await job.status_async())


class Cancel(ServedStep):
    """Cancel a job; one that has ended stays as it is."""

    async def answer(self, request: JobRequest, config: RunnableConfig) -> dict[str, Any]:
        """Return its state afterwards."""
        del config
        job = await self._jobs.find(request.job_id)
        return asdict(await job.cancel_async())


class Model(ServedStep):
    """The model of a job that has succeeded; see `FineTuneSerializer`."""

    async def answer(self, request: JobRequest, config: RunnableConfig) -> dict[str, Any]:
        """Return its manifest; a trace shows no more of it than a caller sees."""
        del config
        return ModelManifest.of(await self._jobs.model(request.job_id)).model_dump()


class Events(ServedStep):
    """All events of a job; streamed, each as it happens until the job has ended."""

    async def answer(self, request: EventsRequest, config: RunnableConfig) -> dict[str, Any]:
        """Return what has happened so far."""
        del config
        job = await self._jobs.find(request.job_id)
        events = [asdict(event) for event in await job.events_async()]
        return {"events": _after(events, request.after)}

    async def pieces(
        self, request: EventsRequest, config: RunnableConfig
    ) -> AsyncIterator[dict[str, Any]]:
        """Yield each event once, in order; a client that comes back names the last it saw."""
        del config
        job = await self._jobs.find(request.job_id)
        seen = request.after
        while True:
            # The state first: what happens after it is asked for comes with the next look.
            status = await job.status_async()
            events = [asdict(event) for event in await job.events_async()]
            for event in _after(events, seen):
                seen = event["id"]
                yield event
            if status.ended:
                return
            await asyncio.sleep(_LOCAL_PAUSE_S if job.engine == "local" else _PAUSE_S)


class FinishedChain(ServedStep):
    """The chain that a finished model stands in.

    Args:
        jobs: The jobs.
        make_chain: Puts a model into its chain.
    """

    def __init__(
        self, jobs: ServedJobs, make_chain: Callable[[ChatOpenAI], Runnable[Any, Any]]
    ) -> None:
        super().__init__(jobs, ChainRequest)
        self._make_chain = make_chain

    @property
    def OutputType(self) -> Any:  # noqa: N802 - Runnable's name for it
        """Whatever the chain gives."""
        return Any

    async def answer(self, request: ChainRequest, config: RunnableConfig) -> Any:
        """Return what the chain gives."""
        chain = await self._chain(request.job_id)
        return await chain.ainvoke(fitting(chain, request.input), config)

    async def pieces(self, request: ChainRequest, config: RunnableConfig) -> AsyncIterator[Any]:
        """Yield what the chain streams."""
        chain = await self._chain(request.job_id)
        async for piece in chain.astream(fitting(chain, request.input), config):
            yield piece

    async def _chain(self, job_id: str) -> Runnable[Any, Any]:
        return self._make_chain(await self._jobs.chain_model(job_id))


def fitting(chain: Runnable[Any, Any], given: Any) -> Any:
    """Return a chain's input as it takes it: messages and prompts are made of their JSON.

    Raises:
        HTTPException: The chain takes no such input (422).
    """
    try:
        schema: Any = chain.get_input_schema()
        taken = schema.model_validate(given)
    except ValidationError as error:
        # Only the rule: the input is the caller's, but errors are traced too.
        fault = error.errors(include_input=False)[0]["msg"]
        raise HTTPException(422, f"The model's chain takes no such input: {fault}.") from None
    return taken.root if isinstance(taken, RootModel) else given


@contextmanager
def as_http_errors() -> Iterator[None]:
    """Turn this package's errors into answers with a status; their sentences hold no secrets."""
    try:
        yield
    except FineTuningError as error:
        status = next((code for kind, code in _STATUSES if isinstance(error, kind)), _REFUSED)
        raise HTTPException(status, str(error)) from error


def _after(events: list[dict[str, Any]], seen: str | None) -> list[dict[str, Any]]:
    ids = [event["id"] for event in events]
    return events[ids.index(seen) + 1 :] if seen in ids else events
