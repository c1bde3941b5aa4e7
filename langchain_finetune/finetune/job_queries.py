"""Job status, events, checkpoints, metrics and models; cancelling, pausing and resuming."""

import math
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import replace
from functools import partial

from langchain_finetune.engines.base import Deployment, Steering
from langchain_finetune.engines.flow import Flow, Pages, Retry, ask, ask_or_none
from langchain_finetune.engines.jobs import (
    JobCheckpoint,
    JobEvent,
    JobStatus,
    RemoteJob,
    figures_of,
)
from langchain_finetune.errors import EngineError, FineTuningError, JobError, ModelRetiredError
from langchain_finetune.finetune.connection import Account

_DAY_S = 24 * 3600.0


def remote_job(job_id: str, account: Account) -> Flow[RemoteJob]:
    """Return a job as its engine keeps it."""
    return ask(partial(account.api.status, job_id), account.engine.pace.retry)


def job_status(job_id: str, account: Account) -> Flow[JobStatus]:
    """Return the state of a job."""
    return (yield from remote_job(job_id, account)).status


def statuses_of(job_ids: Iterable[str], account: Account) -> Flow[dict[str, JobStatus | None]]:
    """Return the states of several jobs; None for one that the engine does not have.

    Each is asked for once: where the engine does not answer, this fails soon.
    """
    found: dict[str, JobStatus | None] = {}
    for job_id in job_ids:
        job = yield from ask_or_none(partial(account.api.status, job_id), Retry(attempts=1))
        found[job_id] = None if job is None else job.status
    return found


def newest_jobs(limit: int, account: Account) -> Flow[list[RemoteJob]]:
    """Return the account's jobs, newest first, up to a number."""
    found: list[RemoteJob] = []
    pages = Pages(partial(account.api.jobs, None), account.engine.pace.retry)
    while pages.more and len(found) < limit:
        found += yield from pages.following()
    return found[:limit]


def job_of_model(name: str, job_ids: Iterable[str], account: Account) -> Flow[str | None]:
    """Return the first of these jobs that made a model, or None; each is asked for once."""
    for job_id in job_ids:
        job = yield from ask_or_none(partial(account.api.status, job_id), Retry(attempts=1))
        if job is not None and job.status.fine_tuned_model == name:
            return job_id
    return None


def all_events(job_id: str, account: Account) -> Flow[list[JobEvent]]:
    """Return every event of a job, oldest first; none where the engine keeps none."""
    account.engine.require("events")
    return (yield from new_events(job_id, frozenset(), account, account.engine.pace.retry))


def new_events(
    job_id: str, known: AbstractSet[str], account: Account, retry: Retry
) -> Flow[list[JobEvent]]:
    """Return the events that are not known yet, oldest first.

    Behind a page with an event that is known (by its id), none is new.

    Raises:
        EngineError: Not all pages came; what came alone would leave a gap.
    """
    found: list[JobEvent] = []
    # A server of OpenAI's shape need not keep events.
    pages = Pages(partial(account.api.events, job_id), retry, optional=True)
    while pages.more and "events" in account.engine.capabilities:
        page = yield from pages.following()
        new = [event for event in page if event.id not in known]
        found += new
        if len(new) < len(page):
            break
    return found[::-1]


def steer(job_id: str, verb: Steering, account: Account) -> Flow[JobStatus]:
    """Cancel, pause or resume a job, and return its state then.

    A job that has ended stays as it is.
    """
    account.engine.require(verb)
    try:
        job = yield from ask(partial(account.api.steer, job_id, verb), account.engine.pace.retry)
    except EngineError as error:
        # The answer to an earlier attempt may be lost, so the job may be there already.
        if not error.failure.invalid:
            raise
        status = yield from job_status(job_id, account)
        if not status.ended:
            raise
        return status
    return job.status


def job_checkpoints(job_id: str, account: Account) -> Flow[list[JobCheckpoint]]:
    """Return the checkpoints that a job has kept, by step."""
    account.engine.require("checkpoints")
    found: list[JobCheckpoint] = []
    pages = Pages(partial(account.api.checkpoints, job_id), account.engine.pace.retry)
    while pages.more:
        found += yield from pages.following()
    return sorted(found, key=lambda checkpoint: checkpoint.step)


def job_metrics(job_id: str, account: Account) -> Flow[list[dict[str, float]]]:
    """Return the figures of each step: of the result, or else of the events so far."""
    account.engine.require("metrics")
    status = yield from job_status(job_id, account)
    if rows := (yield from account.api.metrics(status)):
        return rows
    events = yield from new_events(job_id, frozenset(), account, account.engine.pace.retry)
    return [figures_of(event.data) for event in events if event.type == "metrics"]


def find_job(
    metadata: dict[str, str],
    account: Account,
    *,
    since: float | None = None,
    in_any_state: bool = False,
) -> Flow[RemoteJob | None]:
    """Return the newest job with this metadata that can still give a model; else None.

    With `since` (by this machine's clock), the job is not older, and the plain list is read up to
    there; without it the engine is asked to look for the metadata. Up to 2,000 jobs are looked
    through. With `in_any_state`, the job may have failed, or its model may be gone.
    """
    # How old the job is at most. The clocks of the two machines are never compared.
    age = None if since is None else max(account.now() - since, 0.0) + _DAY_S
    newest = last = math.inf
    is_newest_first = True
    condition = metadata if since is None else None
    pages = Pages(partial(account.api.jobs, condition), account.engine.pace.retry, max_pages=20)
    while pages.more:
        for job in (yield from pages.following()):
            if age is not None and (created := job.status.created_at):
                newest = created if last == math.inf else newest
                is_newest_first &= created <= last
                last = created
                # In another order, the job may come behind older ones.
                if is_newest_first and created < newest - age:
                    return None
            if not account.engine.carries(job, metadata):
                continue
            if in_any_state or (yield from is_usable(job, account)):
                return job
    return None


def is_usable(job: RemoteJob, account: Account) -> Flow[bool]:
    """Return whether a job goes on, or has ended with a model that is still there."""
    if job.status.status in {"failed", "cancelled"}:
        return False
    return not (job.status.ended and (yield from model_is_gone(job.status, account)))


def model_is_gone(status: JobStatus, account: Account) -> Flow[bool]:
    """Return whether the engine reports that a finished job's model no longer exists.

    A model may appear some time after its job has ended, and a server may list none of its
    models; neither counts as gone.
    """
    pace = account.engine.pace
    if account.now() - (status.finished_at or 0) < pace.model_appears_s:
        return False
    try:
        name = status.fine_tuned_model or ""
        yield from ask(partial(account.api.check_model, name), pace.retry)
    except EngineError as error:
        if not error.failure.missing:
            raise
        return error.failure.model_missing
    return False


def answering_model(
    job_id: str,
    base: str,
    checkpoint: int | None,
    deployment: Deployment | None,
    account: Account,
) -> Flow[str]:
    """Return the name by which a job's model answers, and deploy it where that takes a step.

    With `checkpoint`, it is the model that was kept at this step instead of the last.

    Raises:
        JobError: The job does not have this model (yet), or it cannot be deployed.
        ModelRetiredError: The model no longer exists.
        FineTuningError: The engine deploys models, and nothing says how.
    """
    name = yield from finished_model(job_id, checkpoint, account)
    wanted = account.engine.deployment
    if wanted is None or account.engine.answers_at_once(name):
        return name
    if not isinstance(deployment, wanted):
        raise FineTuningError(
            f"The model of job {job_id} answers at {account.engine.name} only once it is "
            f"deployed: give deployment={wanted.__name__}(...)."
        )
    status = replace((yield from job_status(job_id, account)), fine_tuned_model=name)
    return (yield from account.api.deploy(status, base, deployment))


def undeploy(job_id: str, deployment: Deployment, account: Account) -> Flow[None]:
    """Remove what an interrupted deployment left unfinished."""
    if isinstance(deployment, account.engine.deployment or ()):
        status = yield from job_status(job_id, account)
        yield from account.api.undeploy(status, deployment)


def finished_model(job_id: str, checkpoint: int | None, account: Account) -> Flow[str]:
    """Return the name of the model that a job gave, or of one that it kept on the way."""
    if checkpoint is not None:
        kept = yield from job_checkpoints(job_id, account)
        for one in kept:
            if one.step == checkpoint:
                return one.model
        steps = ", ".join(str(one.step) for one in kept) or "none"
        raise JobError(
            f"Job {job_id} kept no checkpoint at step {checkpoint}; it has: {steps}.",
            job_id=job_id,
        )
    status = yield from job_status(job_id, account)
    if status.fine_tuned_model is None:
        raise JobError(
            f"Job {job_id} has given no model: it is {status.status}. Wait for it with wait().",
            job_id=job_id,
        )
    if (yield from model_is_gone(status, account)):
        raise ModelRetiredError(
            f"The model {status.fine_tuned_model} of job {job_id} was deleted or shut down. "
            "Running the same chain again makes a new one.",
            job_id=job_id,
        )
    return status.fine_tuned_model
