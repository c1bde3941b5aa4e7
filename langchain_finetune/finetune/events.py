"""The events of a job: each once, oldest first."""

from collections.abc import Set as AbstractSet
from functools import partial

from langchain_finetune.finetune.ask import LIST, Retry, ask
from langchain_finetune.finetune.engines.answers import is_missing
from langchain_finetune.finetune.engines.openai import list_events
from langchain_finetune.finetune.job_status import JobEvent
from langchain_finetune.finetune.place import Place
from langchain_finetune.finetune.steps import Flow


def all_events(job_id: str, place: Place) -> Flow[list[JobEvent]]:
    """Return every event of a job, oldest first; none where the engine keeps none.

    Raises:
        EngineError: The engine does not answer, or refuses.
    """
    return (yield from new_events(job_id, frozenset(), place, place.retry))


def new_events(
    job_id: str, told: AbstractSet[str], place: Place, retry: Retry
) -> Flow[list[JobEvent]]:
    """Return the events that were not told yet, oldest first.

    Args:
        job_id: The job.
        told: Ids of the events that were told; behind a page with one of them, none is new.
        place: Where the job is.
        retry: How often to ask for each page.

    Raises:
        EngineError: Not all pages came; what came alone would leave a gap.
    """
    found: dict[str, JobEvent] = {}
    after: str | None = None
    while True:
        page = yield from ask(
            partial(list_events, job_id=job_id, after=after),
            place.base_url,
            LIST,
            none_if=is_missing,
            retry=retry,
        )
        # A server of this shape need not keep events. A page may hold an event twice.
        events = {one.id: JobEvent.of(one) for one in page.data} if page else {}
        behind = events.keys() & told
        more = bool(events.keys() - found.keys()) and getattr(page, "has_more", False)
        found = {**found, **{name: one for name, one in events.items() if name not in told}}
        if behind or not more:
            return list(reversed(found.values()))
        after = page.data[-1].id
