"""Submitting from `FineTune`: one process at a time, and what an interrupt leaves behind."""

import time
from functools import partial
from pathlib import Path

from filelock import AsyncFileLock, FileLock

from langchain_finetune.errors import FineTuningError
from langchain_finetune.finetune.ask import JOB, ask
from langchain_finetune.finetune.connection import Connection
from langchain_finetune.finetune.engines.openai import retrieve_job
from langchain_finetune.finetune.fingerprint import SUBMISSION, fingerprint_of
from langchain_finetune.finetune.handle import Job
from langchain_finetune.finetune.interrupted import when_cancelled, when_interrupted
from langchain_finetune.finetune.job import JobSpec
from langchain_finetune.finetune.ledger import Submission
from langchain_finetune.finetune.look import steer
from langchain_finetune.finetune.lookup import find_job
from langchain_finetune.finetune.place import Place
from langchain_finetune.finetune.steps import Do, Flow, Sleep
from langchain_finetune.finetune.submit import submit_once
from langchain_finetune.home import ensure_home, home_path


def submit_spec(spec: JobSpec, connection: Connection, *, reuse: bool, on_cancel: str) -> Job:
    """Have a job made, or find the one that is there.

    Args:
        spec: What the job is made from.
        connection: Where.
        reuse: Whether a job that is there will do.
        on_cancel: Whether Ctrl-C cancels (`cancel`) a job that is being made, or lets it be.
    """
    abandon = partial(connection.run, partial(_abandon, spec, time.time()))
    with (
        when_interrupted(abandon if on_cancel == "cancel" else None),
        FileLock(_lock_path(spec)),
    ):
        return connection.run(partial(_submit, spec, reuse))


async def asubmit_spec(
    spec: JobSpec, connection: Connection, *, reuse: bool, on_cancel: str
) -> Job:
    """Have a job made without blocking; as `submit_spec` otherwise."""
    abandon = partial(connection.arun, partial(_abandon, spec, time.time()))
    async with (
        when_cancelled(abandon if on_cancel == "cancel" else None),
        AsyncFileLock(_lock_path(spec)),
    ):
        return await connection.arun(partial(_submit, spec, reuse))


def job_of_id(job_id: str, place: Place) -> Flow[Job]:
    """Return the handle of a job that the engine knows."""
    if not job_id:
        raise FineTuningError("The id of a job is needed, such as ftjob-abc123.")
    answer = yield from ask(
        partial(retrieve_job, job_id=job_id), place.base_url, JOB, retry=place.retry
    )
    return Job.of(answer, place)


def _submit(spec: JobSpec, reuse: bool, place: Place) -> Flow[Job]:  # noqa: FBT001 - partial's
    answer = yield from submit_once(spec, place, reuse=reuse)
    return Job.of(answer, place, spec)


def _abandon(spec: JobSpec, begun: float, place: Place) -> Flow[None]:
    """Cancel the job that was asked for since `begun`, if it was made."""
    fingerprint = fingerprint_of(spec, place.account)
    attempts: list[Submission] = yield Do(partial(place.ledger.submissions, fingerprint))
    for attempt in attempts:
        if attempt.begun_at < begun or attempt.asked_at is None:
            continue
        job_id = attempt.job_id
        for pause in (0.0, *place.looks):
            if job_id is None:
                yield Sleep(pause)
                mark = {SUBMISSION: attempt.submission}
                job = yield from find_job(mark, place, since=begun, in_any_state=True)
                job_id = job and job.id
        if job_id is not None:
            yield Do(partial(place.ledger.settle, attempt.submission, job_id))
            yield from steer(job_id, "cancel", place)


def _lock_path(spec: JobSpec) -> Path:
    """Return the lock that lets one process at a time submit this data."""
    folder = ensure_home(home_path()) / "locks"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder / f"{spec.training.sha256[:16]}.lock"
