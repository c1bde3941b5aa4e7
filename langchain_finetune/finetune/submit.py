"""Having a job made exactly once, though answers get lost and processes die.

OpenAI's API has no idempotency key: a request that is repeated makes a second job, and a second
bill. So every attempt is written into the ledger before anything is sent, and carries two marks
in the job's metadata: the fingerprint of all it is made from, and an id of the attempt. Before a
job is asked for, it is looked for: in the ledger, and in the engine's own list. After an outcome
that is not known (no answer, a 5xx, a killed process) the list is read several times, with pauses,
before the job is asked for again.

What remains uncertain: an engine that carries a request out only after all those looks, or whose
list lags behind longer, and one that keeps no metadata (then only the ledger counts). And the lock
that lets one process at a time submit is a file in the home: two homes that submit at the very
same moment don't see each other.
"""

import secrets
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from filelock import AsyncFileLock, FileLock
from openai import APIStatusError, OpenAIError

from langchain_finetune.convert.jsonl import WrittenFile
from langchain_finetune.errors import (
    EngineError,
    FineTuningError,
    JobSubmissionError,
    TrainingNotAvailableError,
)
from langchain_finetune.finetune.account import Account
from langchain_finetune.finetune.cancellation import when_cancelled, when_interrupted
from langchain_finetune.finetune.connection import Connection
from langchain_finetune.finetune.deprecations import CLOSING, is_openai, warn_before_submitting
from langchain_finetune.finetune.engines.errors import (
    error_hint_s,
    explained,
    may_pass,
    nobody_there,
    outcome_unknown,
    reason,
)
from langchain_finetune.finetune.engines.openai import create_job, retrieve_job
from langchain_finetune.finetune.find_job import find_job, known_job
from langchain_finetune.finetune.fingerprint import FINGERPRINT, SUBMISSION, fingerprint_of
from langchain_finetune.finetune.flow import Do, Flow, Sleep
from langchain_finetune.finetune.job import Job
from langchain_finetune.finetune.job_queries import steer
from langchain_finetune.finetune.job_spec import JobSpec
from langchain_finetune.finetune.ledger import Submission
from langchain_finetune.finetune.retry import JOB, answered, ask
from langchain_finetune.finetune.uploads import delete_upload, upload_once
from langchain_finetune.home import ensure_home, home_path

_NOT_AVAILABLE = "training_not_available"


def refusal(error: OpenAIError, place: Account) -> EngineError:
    """Return the error to raise for a job that an engine refused to make.

    Args:
        error: What the SDK raised.
        place: Where the job was asked for.
    """
    if isinstance(error, APIStatusError) and error.code == _NOT_AVAILABLE:
        since = f" {CLOSING.sentence()}" if is_openai(place.base_url) else ""
        return TrainingNotAvailableError(
            f"The engine at {place.base_url} lets this account make no fine-tuning jobs "
            f"({error.code}): {reason(error)}{since} What remains: engine='local', the embedded "
            "engine, which needs no account; or another server of OpenAI's fine-tuning API, by "
            "base_url (Azure, Nebius, ...)."
        )
    known = explained(error, place.base_url)
    if type(known) is EngineError and isinstance(error, APIStatusError):
        return JobSubmissionError(
            f"The engine at {place.base_url} refused the job ({error.status_code}): {reason(error)}"
        )
    return known


_UNKNOWN_OUTCOMES = 4


def create_once(spec: JobSpec, file_ids: list[str], place: Account) -> Flow[Any]:
    """Ask for a job until it is made, is refused, or it can't be known.

    The ledger says that the job is asked for while it may exist unknown to this process.

    Args:
        spec: What the job is made from; its metadata names the submission.
        file_ids: The uploaded files.
        place: Where it is made.

    Raises:
        JobSubmissionError: It is refused, or it is not known whether it was made.
        EngineError: The key or the base is refused, or the engine can't be reached.
    """
    submission = spec.metadata[SUBMISSION]
    begun = place.now()
    unknown = 0
    for turn, pause in enumerate([*place.retry.pauses(), None], start=1):
        yield Do(partial(place.ledger.ask, submission))
        try:
            return (
                yield from answered(
                    partial(create_job, spec=spec, file_ids=file_ids), place.base_url, JOB
                )
            )
        except OpenAIError as error:
            problem = error
        if outcome_unknown(problem):
            unknown += 1
            for look in place.looks:
                yield Sleep(look)
                mark = {SUBMISSION: submission}
                if job := (yield from find_job(mark, place, since=begun, in_any_state=True)):
                    return job
        elif not unknown:
            yield Do(partial(place.ledger.take_back, submission))
        gone = nobody_there(problem) and turn >= place.retry.refused_attempts
        if pause is None or gone or unknown >= _UNKNOWN_OUTCOMES or not may_pass(problem):
            break
        yield Sleep(max(pause, error_hint_s(problem)))
    if unknown:
        raise JobSubmissionError(
            f"It is not known whether {place.base_url} made the job: {reason(problem)} "
            "Run the same chain again: it looks for the job before it asks for one.",
            outcome_unknown=True,
        ) from problem
    raise refusal(problem, place) from problem


def submit_once(spec: JobSpec, place: Account, *, reuse: bool = True) -> Flow[Any]:
    """Return the job that is made from `spec`: one that is there already, or a new one.

    Only one process may run this for a fingerprint at a time. A job that failed, was cancelled,
    or whose model is gone does not count.

    Args:
        spec: What the job is made from.
        place: Where it is made.
        reuse: Whether a job that is there already will do.

    Returns:
        The job as the SDK gives it.

    Raises:
        JobSubmissionError: The engine refuses, or it is not known whether it made the job.
        EngineError: The engine can't be reached, or refuses the key or a file.
        FineTuningError: The ledger can't be written; nothing was sent.
    """
    fingerprint = fingerprint_of(spec, place.account)
    if reuse and (job := (yield from _made_already(fingerprint, spec, place))):
        return job
    yield from warn_before_submitting(spec.model, place)
    submission = secrets.token_hex(8)
    marks = {FINGERPRINT: fingerprint, SUBMISSION: submission}
    spec = replace(spec, metadata={**spec.metadata, **marks})
    yield from _note(submission, fingerprint, spec, place)
    file_ids: list[str] = []
    fresh: list[tuple[WrittenFile, str]] = []
    try:
        for file in [file for file in (spec.training, spec.validation) if file]:
            file_id, is_fresh = yield from upload_once(file, place)
            file_ids.append(file_id)
            if is_fresh:
                fresh.append((file, file_id))
        job = yield from create_once(spec, file_ids, place)
    except EngineError:
        if (yield Do(partial(place.ledger.forget_unasked, submission))):
            for file, file_id in fresh:
                yield from delete_upload(file, file_id, place)
        raise
    yield Do(partial(place.ledger.settle, submission, job.id))
    return job


def _made_already(fingerprint: str, spec: JobSpec, place: Account) -> Flow[Any]:
    """Return the newest job of this fingerprint that can still give a model, or None."""
    attempts: list[Submission] = yield Do(partial(place.ledger.submissions, fingerprint))
    unsure = [attempt.asked_at for attempt in attempts if attempt.unsure and attempt.asked_at]
    marks = {FINGERPRINT: fingerprint}
    job: Any = None
    for pause in (0.0, *place.looks) if unsure else ():
        yield Sleep(pause)
        if job := (yield from find_job(marks, place, since=min(unsure))):
            break
    for attempt in attempts:
        if job is None and attempt.job_id is not None:
            job = yield from known_job(attempt.job_id, place)
    if job is None and not unsure:
        # Another home may have had it made, or this home's ledger may be lost.
        job = yield from find_job(marks, place)
    yield Do(partial(place.ledger.forget, *(one.submission for one in attempts if not one.job_id)))
    if job is not None and job.id not in {attempt.job_id for attempt in attempts}:
        found = (getattr(job, "metadata", None) or {}).get(SUBMISSION) or secrets.token_hex(8)
        yield from _note(found, fingerprint, spec, place)
        yield Do(partial(place.ledger.settle, found, job.id))
    return job


def _note(submission: str, fingerprint: str, spec: JobSpec, place: Account) -> Flow[None]:
    yield Do(
        partial(
            place.ledger.begin,
            submission,
            fingerprint,
            account=place.account,
            engine=place.engine,
            base_url=place.base_url,
            base_model=spec.model,
            training_sha256=spec.training.sha256,
        )
    )


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


def job_of_id(job_id: str, place: Account) -> Flow[Job]:
    """Return the handle of a job that the engine knows."""
    if not job_id:
        raise FineTuningError("The id of a job is needed, such as ftjob-abc123.")
    answer = yield from ask(
        partial(retrieve_job, job_id=job_id), place.base_url, JOB, retry=place.retry
    )
    return Job.of(answer, place)


def _submit(spec: JobSpec, reuse: bool, place: Account) -> Flow[Job]:  # noqa: FBT001 - partial's
    answer = yield from submit_once(spec, place, reuse=reuse)
    return Job.of(answer, place, spec)


def _abandon(spec: JobSpec, begun: float, place: Account) -> Flow[None]:
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
