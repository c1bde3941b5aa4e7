"""Waiting for a job: when to ask, what an answer means, when to give up. No I/O."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from openai import OpenAIError

from langchain_finetune.errors import (
    EngineError,
    JobCancelledError,
    JobFailedError,
    JobTimeoutError,
)
from langchain_finetune.finetune.account import Account
from langchain_finetune.finetune.engines.errors import (
    GarbledError,
    error_hint_s,
    explained,
    hinted_s,
    may_pass,
    parsed,
)
from langchain_finetune.finetune.engines.openai import retrieve_job
from langchain_finetune.finetune.flow import Call, Do, Flow, Sleep, Tell
from langchain_finetune.finetune.job_queries import new_events
from langchain_finetune.finetune.job_status import (
    EngineSilent,
    JobEvent,
    JobProgress,
    JobStatus,
)
from langchain_finetune.finetune.retry import JOB, Retry

_GROWTH = 1.3
_PAGES = Retry(attempts=3, first_s=0.5)
_LAST_WORDS = 10
"""How often an ended job's events are asked for before its model is returned without them."""


@dataclass(frozen=True)
class Patience:
    """How to wait.

    Attributes:
        timeout_s: Seconds after which the wait ends; the job goes on.
        first_s: Seconds between the first two questions.
        longest_s: Seconds between two questions at most, where the server does not ask for more.
        clock: Seconds that only grow.
    """

    timeout_s: float
    first_s: float
    longest_s: float
    clock: Callable[[], float] = time.monotonic


def wait_for_job(job_id: str, patience: Patience, place: Account) -> Flow[JobStatus]:
    """Wait until a job has ended, and tell of each event once, in order, also across restarts.

    A state that is not known means that the job goes on. An engine that fails to answer does not
    end the wait; one that refuses the key does. The ledger remembers which events were
    told. One that was being told when the process died is told again, under the same id.

    Args:
        job_id: The job.
        patience: How to wait.
        place: Where the job is.

    Raises:
        JobFailedError: The engine gave the job up.
        JobCancelledError: It was cancelled.
        JobTimeoutError: It had not ended in time.
        EngineError: The engine refuses to tell.
    """
    give_up = patience.clock() + patience.timeout_s
    pause = patience.first_s
    told: set[str] = yield Do(partial(place.ledger.told, place.account, job_id))
    last_words = _LAST_WORDS
    while True:
        found = yield from _look(job_id, told, place)
        yield from _tell(job_id, found, told, place)
        if found.status is not None and found.status.ended:
            last_words -= 1
            if found.events is not None or not last_words:
                return _outcome(found.status)
        left = give_up - patience.clock()
        if left <= 0:
            raise JobTimeoutError(
                f"Job {job_id} had not ended after {patience.timeout_s:g} s; this ended the "
                "wait, not the job. Run the same chain again, with a longer timeout_s, to wait on.",
                job_id=job_id,
            )
        yield Sleep(min(max(pause, found.hint_s), left))
        pause = min(pause * _GROWTH, patience.longest_s)


@dataclass(frozen=True)
class _Found:
    """What one look at a job gave.

    Attributes:
        status: How it stands; None where no answer came.
        events: What is new; None where not all of it came.
        hint_s: When the server wants to be asked again.
    """

    status: JobStatus | None
    events: list[JobEvent] | None
    hint_s: float


def _look(job_id: str, told: set[str], place: Account) -> Flow[_Found]:
    try:
        answer = yield Call(partial(retrieve_job, job_id=job_id))
        job = parsed(answer, JOB, place.base_url)
        if job.id != job_id:
            raise GarbledError(f"The answer is about {job.id}.")
    except OpenAIError as error:
        if not may_pass(error):
            raise explained(error, place.base_url) from error
        return _Found(None, None, error_hint_s(error))
    status, hint = JobStatus.of(job), hinted_s(answer.headers)
    try:
        events = yield from new_events(job_id, told, place, _PAGES)
    except EngineError as error:
        cause = error.__cause__
        if not (isinstance(cause, OpenAIError) and may_pass(cause)):
            raise
        return _Found(status, None, max(hint, error_hint_s(cause)))
    return _Found(status, events, hint)


def _tell(job_id: str, found: _Found, told: set[str], place: Account) -> Flow[None]:
    if found.status is None:
        yield Tell(EngineSilent(job_id))
        return
    status = found.status.status
    for event in found.events or ():
        yield Tell(JobProgress(job_id, status, event.message, event.data, event.id))
        told.add(event.id)
        yield Do(partial(place.ledger.tell, place.account, job_id, event.id))
    if not found.events:
        yield Tell(JobProgress(job_id, status))


def _outcome(job: JobStatus) -> JobStatus:
    """Return a job that ended well; raise where it ended badly."""
    if job.status == "failed":
        raise JobFailedError(
            f"Job {job.job_id} failed ({job.error_code}): "
            f"{job.error_message or 'the engine gave no reason'}",
            job_id=job.job_id,
            code=job.error_code,
        )
    if job.status == "cancelled":
        raise JobCancelledError(
            f"Job {job.job_id} was cancelled. Running the same chain again makes a new one.",
            job_id=job.job_id,
        )
    return job
