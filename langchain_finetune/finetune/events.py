"""The events of a job: each once, oldest first."""

from collections.abc import Set as AbstractSet
from functools import partial
from typing import Any

from langchain_finetune.finetune.ask import Retry
from langchain_finetune.finetune.engines.answers import is_missing
from langchain_finetune.finetune.engines.openai import list_events
from langchain_finetune.finetune.job_status import JobEvent
from langchain_finetune.finetune.pages import Pages
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
    found: list[Any] = []
    # A server of this shape need not keep events.
    pages = Pages(partial(list_events, job_id=job_id), place, none_if=is_missing, retry=retry)
    while pages.more:
        page = yield from pages.following()
        new = [one for one in page if one.id not in told]
        found += new
        if len(new) < len(page):
            break
    return [JobEvent.of(one) for one in reversed(found)]
