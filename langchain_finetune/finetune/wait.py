"""Waiting for a job: when to ask, what an answer means, when to give up. No I/O."""

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from typing import Any

from openai import APIConnectionError, APIStatusError, OpenAIError

from langchain_finetune.errors import JobCancelledError, JobFailedError, JobTimeoutError
from langchain_finetune.finetune.engines.openai import checked, explained
from langchain_finetune.finetune.job import EngineSilent, FinishedJob, JobProgress
from langchain_finetune.finetune.steps import Call, Flow, Sleep, Tell

_GROWTH = 1.3
_EVENTS_A_PAGE = 100
_RETRIED_STATUS = frozenset({408, 409, 429})
_SERVER_ERROR = 500


@dataclass(frozen=True)
class Patience:
    """How to wait.

    Attributes:
        timeout_s: Seconds after which the wait ends; the job goes on.
        first_s: Seconds between the first two questions.
        longest_s: Seconds between two questions at most.
        clock: Seconds that only grow.
    """

    timeout_s: float
    first_s: float
    longest_s: float
    clock: Callable[[], float] = time.monotonic


def wait_for_job(job_id: str, patience: Patience, base_url: str) -> Flow[FinishedJob]:
    """Wait until a job has ended, and tell of each event once, in order.

    A state that is not known means that the job goes on. An engine that fails to answer does not
    end the wait; one that refuses the key does.

    Args:
        job_id: The job.
        patience: How to wait.
        base_url: The engine's address, for messages.

    Raises:
        JobFailedError: The engine gave the job up.
        JobCancelledError: It was cancelled.
        JobTimeoutError: It had not ended in time.
        EngineError: The engine refuses to tell.
    """
    give_up = patience.clock() + patience.timeout_s
    pause = patience.first_s
    seen: set[str] = set()
    while True:
        job = yield from _asked(lambda client: client.fine_tuning.jobs.retrieve(job_id), base_url)
        if job is None:
            yield Tell(EngineSilent(job_id))
        else:
            yield from _tell_events(job_id, job.status, seen, base_url)
            if finished := _ended(job):
                return finished
        left = give_up - patience.clock()
        if left <= 0:
            raise JobTimeoutError(
                f"Job {job_id} had not ended after {patience.timeout_s:g} s; this ended the "
                f"wait, not the job. Wait longer (timeout_s), or look at it at {base_url}.",
                job_id=job_id,
            )
        yield Sleep(min(pause, left))
        pause = min(pause * _GROWTH, patience.longest_s)


def _asked(request: Callable[[Any], Any], base_url: str) -> Generator[Call, Any, Any]:
    """Return the engine's answer, or None where it gave none this time."""
    try:
        answer = yield Call(request)
    except OpenAIError as error:
        if _may_pass(error):
            return None
        raise explained(error, base_url) from error
    return checked(answer, base_url)


def _may_pass(error: OpenAIError) -> bool:
    if isinstance(error, APIStatusError):
        return error.status_code >= _SERVER_ERROR or error.status_code in _RETRIED_STATUS
    return isinstance(error, APIConnectionError)


def _tell_events(job_id: str, status: str, seen: set[str], base_url: str) -> Flow[None]:
    """Tell of the events that are new; the engine lists the newest first, in pages."""
    fresh: list[Any] = []
    after: str | None = None
    while True:
        page = yield from _asked(partial(_list_events, job_id, after), base_url)
        if page is None:
            break
        new = [event for event in page.data if event.id not in seen]
        fresh += new
        if not page.has_more or len(new) < len(page.data):
            break
        after = page.data[-1].id
    for event in reversed(fresh):
        seen.add(event.id)
        data = event.data if isinstance(event.data, dict) else {}
        yield Tell(JobProgress(job_id, status, event.message, data))
    if not fresh:
        yield Tell(JobProgress(job_id, status))


def _list_events(job_id: str, after: str | None, client: Any) -> Any:
    where = {"limit": _EVENTS_A_PAGE} | ({"after": after} if after else {})
    return client.fine_tuning.jobs.list_events(job_id, **where)


def _ended(job: Any) -> FinishedJob | None:
    """Return the finished job, None while it goes on; raise where it ended badly."""
    if job.status == "succeeded" and job.fine_tuned_model:
        return FinishedJob(job.id, job.fine_tuned_model, job.trained_tokens)
    if job.status == "failed":
        # An empty error object of a good job is truthy in the SDK, so the code decides.
        code = job.error.code if job.error else None
        why = (job.error.message if job.error else None) or "the engine gave no reason"
        raise JobFailedError(f"Job {job.id} failed ({code}): {why}", job_id=job.id, code=code)
    if job.status == "cancelled":
        raise JobCancelledError(f"Job {job.id} was cancelled.", job_id=job.id)
    return None
