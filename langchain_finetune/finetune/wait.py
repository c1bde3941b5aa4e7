"""Waits for a job: polling interval, outcome and timeout. No I/O."""

from dataclasses import dataclass
from functools import partial

from langchain_finetune.engines.flow import Do, Flow, Patience, Retry, Sleep, Tell
from langchain_finetune.engines.jobs import EngineSilent, JobEvent, JobProgress, JobStatus
from langchain_finetune.errors import (
    EngineError,
    JobCancelledError,
    JobFailedError,
    JobTimeoutError,
)
from langchain_finetune.finetune.connection import Account
from langchain_finetune.finetune.job_queries import new_events

_PAGES = Retry(attempts=3, first_s=0.5)
_LAST_LOOKS = 10
"""How often an ended job's events are asked for before its model is returned without them."""


def wait_for_job(job_id: str, patience: Patience, account: Account) -> Flow[JobStatus]:
    """Wait until a job has ended, and report each event once, in order, also across restarts.

    An unknown state means that the job goes on. An engine that fails to answer does not end the
    wait; one that refuses the key does. The ledger remembers which events were reported; one that
    was being reported when the process died is reported again, under the same id.

    Raises:
        JobFailedError: The engine gave the job up.
        JobCancelledError: It was cancelled.
        JobTimeoutError: It had not ended in time.
        EngineError: The engine refuses.
    """
    give_up = patience.clock() + patience.timeout_s
    pause = patience.first_s
    reported: set[str] = yield Do(partial(account.ledger.reported, account.id, job_id))
    last_looks = _LAST_LOOKS
    while True:
        found = yield from _look(job_id, reported, account)
        yield from _tell(job_id, found, reported, account)
        if found.status is not None and found.status.ended:
            last_looks -= 1
            if found.events is not None or not last_looks:
                return _outcome(found.status)
        left = give_up - patience.clock()
        if left <= 0:
            raise JobTimeoutError(
                f"Job {job_id} had not ended after {patience.timeout_s:g} s; this ended the "
                "wait, not the job. Run the same chain again, with a longer timeout_s, to wait on.",
                job_id=job_id,
            )
        yield Sleep(min(max(pause, found.hint_s), left))
        pause = min(pause * 1.3, patience.longest_s)


@dataclass(frozen=True)
class _Found:
    """The result of one look at a job: its state, None where no answer came, and its new events.

    The events are None where not all came. The server wants to be asked again after `hint_s`.
    """

    status: JobStatus | None
    events: list[JobEvent] | None
    hint_s: float


def _look(job_id: str, reported: set[str], account: Account) -> Flow[_Found]:
    try:
        job = yield from account.api.status(job_id)
    except EngineError as error:
        if not error.failure.may_pass:
            raise
        return _Found(None, None, error.failure.hint_s)
    try:
        events = yield from new_events(job_id, reported, account, _PAGES)
    except EngineError as error:
        if not error.failure.may_pass:
            raise
        return _Found(job.status, None, max(job.hint_s, error.failure.hint_s))
    return _Found(job.status, events, job.hint_s)


def _tell(job_id: str, found: _Found, reported: set[str], account: Account) -> Flow[None]:
    if found.status is None:
        yield Tell(EngineSilent(job_id))
        return
    status = found.status.status
    for event in found.events or ():
        yield Tell(JobProgress(job_id, status, event.message, event.data, event.id, event.level))
        reported.add(event.id)
        yield Do(partial(account.ledger.tell, account.id, job_id, event.id))
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
