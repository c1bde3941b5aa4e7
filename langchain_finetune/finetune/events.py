"""The events of a job: each once, oldest first."""

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from functools import partial
from typing import Any

from openai import OpenAIError

from langchain_finetune.finetune.ask import LIST, answered, ask
from langchain_finetune.finetune.engines.answers import is_missing
from langchain_finetune.finetune.engines.openai import list_events
from langchain_finetune.finetune.job_status import JobEvent
from langchain_finetune.finetune.place import Place
from langchain_finetune.finetune.steps import Flow


def all_events(job_id: str, place: Place) -> Flow[list[JobEvent]]:
    """Return every event of a job, oldest first.

    Raises:
        EngineError: The engine does not answer, or refuses.
    """

    def page(after: str | None) -> Flow[Any]:
        request = partial(list_events, job_id=job_id, after=after)
        return ask(request, place.base_url, LIST, retry=place.retry)

    return (yield from _read(page, frozenset()))


def new_events(job_id: str, told: AbstractSet[str], place: Place) -> Flow[list[JobEvent]]:
    """Return the events that were not told yet, oldest first. Asks for each page once.

    Args:
        job_id: The job.
        told: Ids of the events that were told; behind a page with one of them, none is new.
        place: Where the job is.

    Raises:
        OpenAIError: Not all pages came; what came alone would leave a gap.
        EngineError: What answers does not speak OpenAI's API.
    """

    def page(after: str | None) -> Flow[Any]:
        request = partial(list_events, job_id=job_id, after=after)
        return answered(request, place.base_url, LIST)

    try:
        return (yield from _read(page, told))
    except OpenAIError as error:
        # A server of this shape need not keep events.
        if is_missing(error):
            return []
        raise


def _read(page: Callable[[str | None], Flow[Any]], told: AbstractSet[str]) -> Flow[list[JobEvent]]:
    """Read pages, newest first, until there are no more or one holds what was told."""
    found: dict[str, JobEvent] = {}
    after: str | None = None
    while True:
        answer = yield from page(after)
        # Keyed by id: a page may hold an event twice.
        events = {one.id: JobEvent.of(one) for one in answer.data}
        behind = events.keys() & told
        more = getattr(answer, "has_more", False) and bool(events.keys() - found.keys())
        found = {**found, **{name: one for name, one in events.items() if name not in told}}
        if behind or not more:
            return list(reversed(found.values()))
        after = answer.data[-1].id
