"""The steps of a served chain: Runnables that take and return plain data."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from typing import Any

from fastapi import HTTPException
from langchain_core.callbacks import AsyncCallbackManagerForChainRun
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError

from langchain_finetune.arguments import words_of
from langchain_finetune.errors import (
    ConvertError,
    EngineUnreachableError,
    FineTuningError,
    JobError,
    LoadError,
)
from langchain_finetune.langserve.jobs import ServedJobs
from langchain_finetune.langserve.playground_schema import playground_model
from langchain_finetune.langserve.serializer import ModelManifest

_STATUSES = ((LoadError, 400), (ConvertError, 400), (JobError, 409), (EngineUnreachableError, 503))


class JobRequest(BaseModel):
    """A request about one job."""

    model_config = ConfigDict(extra="forbid")

    job_id: str = Field(min_length=1)


class EventsRequest(JobRequest):
    """A request for a job's events: those after the event `after`, or all."""

    after: str | None = None


class ChainRequest(JobRequest):
    """Input for the chain of a finished model."""

    input: Any


class ServedStep(Runnable[Any, Any]):
    """A step of a served chain, implemented by a coroutine function; `name` is that in traces.

    `stream` yields the answer in chunks; by default, the answer is one chunk.
    """

    def __init__(
        self,
        name: str,
        answer: Callable[[Any, RunnableConfig], Awaitable[Any]],
        request_type: type[BaseModel] = JobRequest,
        *,
        stream: Callable[[Any, RunnableConfig], AsyncIterator[Any]] | None = None,
        output_type: Any = dict[str, Any],
    ) -> None:
        self.name = name
        self._answer = answer
        self._stream = stream or self._one_chunk
        self._request_type = playground_model(request_type)
        self._output_type = output_type

    @property
    def InputType(self) -> type[BaseModel]:  # noqa: N802 - defined by Runnable
        """Model of the requests."""
        return self._request_type

    @property
    def OutputType(self) -> Any:  # noqa: N802 - defined by Runnable
        """Type of the answers."""
        return self._output_type

    def invoke(
        self,
        input: Any,  # noqa: A002 - defined by Runnable
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Any:
        """Return the answer like `ainvoke`, outside of an event loop."""
        return asyncio.run(self.ainvoke(input, config, **kwargs))

    async def ainvoke(
        self,
        input: Any,  # noqa: A002 - defined by Runnable
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Any:
        """Return the answer."""
        return await self._acall_with_config(self._call, input, config, **kwargs)

    async def astream(
        self,
        input: Any,  # noqa: A002 - defined by Runnable
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[Any]:
        """Yield the answer in chunks; a failure yields `{"error": {"status", "message"}}` first."""

        async def inputs() -> AsyncIterator[Any]:
            yield input

        chunks = self._atransform_stream_with_config(inputs(), self._chunks, config, **kwargs)
        async for chunk in chunks:
            yield chunk

    async def _call(
        self, given: Any, run_manager: AsyncCallbackManagerForChainRun, config: RunnableConfig
    ) -> Any:
        del run_manager  # LangChain passes the config only to functions that take this, too.
        with http_errors():
            return await self._answer(self._request_type.model_validate(given), config)

    async def _chunks(
        self,
        inputs: AsyncIterator[Any],
        run_manager: AsyncCallbackManagerForChainRun,
        config: RunnableConfig,
    ) -> AsyncIterator[Any]:
        del run_manager
        async for given in inputs:
            try:
                with http_errors():
                    request = self._request_type.model_validate(given)
                    async for chunk in self._stream(request, config):
                        yield chunk
            except HTTPException as error:
                # LangServe hides the cause of a broken stream; its playground would show nothing.
                yield {"error": {"status": error.status_code, "message": error.detail}}
                raise

    async def _one_chunk(self, request: Any, config: RunnableConfig) -> AsyncIterator[Any]:
        yield await self._answer(request, config)


def served_steps(
    jobs: ServedJobs,
    query_type: type[BaseModel],
    make_chain: Callable[[ChatOpenAI], Runnable[Any, Any]],
) -> dict[str, ServedStep]:
    """Return the steps of a served chain by the names of their routes.

    `submit` takes a query; `make_chain` builds the chain around a finished model.
    """

    async def submit(query: BaseModel, _: RunnableConfig) -> dict[str, Any]:
        # Forms send every field; a field with its default value is left to the loader.
        job = await jobs.submit(query.model_dump(exclude_defaults=True))
        return job.model_dump(mode="json")

    async def status(request: JobRequest, _: RunnableConfig) -> dict[str, Any]:
        job = await jobs.find(request.job_id)
        return asdict(await job.astatus())

    async def cancel(request: JobRequest, _: RunnableConfig) -> dict[str, Any]:
        job = await jobs.find(request.job_id)
        return asdict(await job.acancel())

    async def model(request: JobRequest, _: RunnableConfig) -> dict[str, Any]:
        # A manifest, so that traces contain no more of the model than callers see.
        return ModelManifest.of(await jobs.model(request.job_id)).model_dump()

    async def events(request: EventsRequest, _: RunnableConfig) -> dict[str, Any]:
        job = await jobs.find(request.job_id)
        found = [asdict(event) for event in await job.aevents()]
        return {"events": _after(found, request.after)}

    async def chain(request: ChainRequest, config: RunnableConfig) -> Any:
        finished = make_chain(await jobs.chain_model(request.job_id))
        return await finished.ainvoke(chain_input(finished, request.input), config)

    async def stream_chain(request: ChainRequest, config: RunnableConfig) -> AsyncIterator[Any]:
        finished = make_chain(await jobs.chain_model(request.job_id))
        async for chunk in finished.astream(chain_input(finished, request.input), config):
            yield chunk

    return {
        "submit": ServedStep("submit", submit, query_type),
        "status": ServedStep("status", status),
        "events": ServedStep("events", events, EventsRequest, stream=partial(_stream_events, jobs)),
        "cancel": ServedStep("cancel", cancel),
        "model": ServedStep("model", model),
        "chain": ServedStep("chain", chain, ChainRequest, stream=stream_chain, output_type=Any),
    }


async def _stream_events(
    jobs: ServedJobs, request: EventsRequest, _: RunnableConfig
) -> AsyncIterator[dict[str, Any]]:
    job = await jobs.find(request.job_id)
    seen = request.after
    while True:
        # Status first: an event that happens after it is found by the next poll.
        status = await job.astatus()
        for event in _after([asdict(each) for each in await job.aevents()], seen):
            seen = event["id"]
            yield event
        if status.ended:
            return
        await asyncio.sleep(1.0 if job.engine == "local" else 5.0)


def chain_input(chain: Runnable[Any, Any], given: Any) -> Any:
    """Return JSON input as a chain expects it, with messages and prompts, or refuse it (422)."""
    try:
        schema: Any = chain.get_input_schema()
        parsed = schema.model_validate(given)
    except ValidationError as error:
        # Without the input: errors are traced, and the input is the caller's.
        [first, *_] = error.errors(include_input=False)
        place = ".".join(map(str, first["loc"])) or "it"
        reason = f"{place} {words_of(first)}"
        raise HTTPException(422, f"The chain does not accept this input: {reason}.") from None
    return parsed.root if isinstance(parsed, RootModel) else given


@contextmanager
def http_errors() -> Iterator[None]:
    """Turn this package's errors into HTTP errors; their messages contain no secrets."""
    try:
        yield
    except FineTuningError as error:
        status = next((code for kind, code in _STATUSES if isinstance(error, kind)), 502)
        raise HTTPException(status, str(error)) from error


def _after(events: list[dict[str, Any]], seen: str | None) -> list[dict[str, Any]]:
    ids = [event["id"] for event in events]
    return events[ids.index(seen) + 1 :] if seen in ids else events
