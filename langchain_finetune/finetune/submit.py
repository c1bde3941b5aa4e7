"""Creates a job exactly once, even if responses are lost or processes die.

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

import datetime as dt
import secrets
import time
import warnings
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from filelock import AsyncFileLock, FileLock

from langchain_finetune.convert.jsonl import WrittenFile
from langchain_finetune.engines.flow import Do, Flow, Pages, Sleep, ask, ask_or_none
from langchain_finetune.engines.jobs import RemoteJob
from langchain_finetune.errors import (
    BudgetError,
    EngineError,
    FineTuningError,
    JobSubmissionError,
    ModelRetirementWarning,
)
from langchain_finetune.finetune.connection import Account, Connection
from langchain_finetune.finetune.interrupt import when_cancelled, when_interrupted
from langchain_finetune.finetune.job import Job
from langchain_finetune.finetune.job_queries import find_job, is_usable, remote_job, steer
from langchain_finetune.finetune.ledger import Submission
from langchain_finetune.finetune.training_files import (
    FINGERPRINT,
    SUBMISSION,
    JobSpec,
    fingerprint_of,
)
from langchain_finetune.home import ensure_home, home_path


def upload_once(file: WrittenFile, account: Account) -> Flow[tuple[str, bool]]:
    """Return the id of the uploaded file, and whether it was uploaded just now.

    A file that the ledger knows is taken again, and one whose upload had no answer is looked for
    by its name, which is its SHA-256, and its size. One that is missed costs only the upload.
    """
    ledger, retry = account.ledger, account.engine.pace.retry
    begun, file_id = yield Do(partial(ledger.upload, account.id, file.sha256))
    if file_id is not None:
        check = partial(account.api.file_is_usable, file_id)
        if (yield from ask_or_none(check, retry)):
            return file_id, False
    elif begun and (found := (yield from _find(file, account))):
        yield Do(partial(ledger.settle_upload, account.id, file.sha256, found))
        return found, not account.engine.shares_files
    yield Do(partial(ledger.settle_upload, account.id, file.sha256, None))
    yield Do(partial(ledger.begin_upload, account.id, file.sha256))
    made = yield from _upload(file, account)
    yield Do(partial(ledger.settle_upload, account.id, file.sha256, made))
    # The same content may be in use by another job.
    return made, not account.engine.shares_files


def delete_upload(file: WrittenFile, file_id: str, account: Account) -> Flow[None]:
    """Delete an uploaded file that nothing came of; that it can't be done is no error."""
    try:
        yield from account.api.delete_file(file_id)
    except EngineError:
        return
    yield Do(partial(account.ledger.settle_upload, account.id, file.sha256, None))


def _upload(file: WrittenFile, account: Account) -> Flow[str]:
    for attempt in count(1):
        try:
            return (yield from account.api.upload(_name(file), file.path))
        except EngineError as error:
            pause = account.engine.pace.retry.pause_after(attempt, error.failure)
            if pause is None:
                raise
        yield Sleep(pause)
        if found := (yield from _find(file, account)):
            return found
    raise AssertionError


def _find(file: WrittenFile, account: Account) -> Flow[str | None]:
    pages = Pages(account.api.files, account.engine.pace.retry, max_pages=5)
    while pages.more:
        for uploaded in (yield from pages.following()):
            if uploaded.usable and (uploaded.name, uploaded.size) == (_name(file), file.size):
                return uploaded.id
    return None


def _name(file: WrittenFile) -> str:
    return f"{file.sha256}.jsonl"


_UNKNOWN_OUTCOMES = 4


def create_once(spec: JobSpec, account: Account) -> Flow[RemoteJob]:
    """Request a job of uploaded files until it is created or refused, or the outcome is unknown.

    The ledger says that the job is asked for while it may exist unknown to this process.

    Raises:
        JobSubmissionError: It is refused, or it is not known whether it was made.
        EngineError: The key or the base was refused, or the engine is unreachable.
    """
    submission = spec.metadata[SUBMISSION]
    pace, begun, unknown = account.engine.pace, account.now(), 0
    for attempt in count(1):
        yield Do(partial(account.ledger.ask, submission))
        try:
            return (yield from account.api.create(spec))
        except EngineError as error:
            problem = error
        if problem.failure.outcome_unknown:
            unknown += 1
            for look in pace.looks:
                yield Sleep(look)
                mark = {name: spec.metadata[name] for name in (FINGERPRINT, SUBMISSION)}
                if job := (yield from find_job(mark, account, since=begun, in_any_state=True)):
                    return job
        elif not unknown:
            yield Do(partial(account.ledger.take_back, submission))
        pause = pace.retry.pause_after(attempt, problem.failure)
        if pause is None or unknown >= _UNKNOWN_OUTCOMES:
            break
        yield Sleep(pause)
    if unknown:
        raise JobSubmissionError(
            f"It is not known whether {account.base_url or account.engine.name} made the job: "
            f"{problem.failure.reason or problem} Run the same chain again: it looks for the job "
            "before it asks for one.",
            outcome_unknown=True,
            failure=problem.failure,
        ) from problem
    raise problem


def submit_once(
    spec: JobSpec, account: Account, *, fingerprint: str | None = None, reuse: bool = True
) -> Flow[RemoteJob]:
    """Return the job that is made from `spec`: with `reuse` an existing one, or a new one.

    Only one process may run this for a fingerprint at a time. A job that failed, was cancelled, or
    whose model is gone does not count. Also without `reuse`, a job that was asked for before and
    whose answer did not come is looked for first, and returned. The `fingerprint` is that of
    `fingerprint_of`, where the caller has it already.

    Raises:
        JobSubmissionError: The engine refuses, or it is not known whether it made the job.
        EngineError: The engine is unreachable, or refused the key or a file.
        BudgetError: The engine's own price is above the limit; no job was created.
        FineTuningError: The ledger cannot be written; nothing was sent.
    """
    fingerprint = fingerprint or fingerprint_of(spec, account.id)
    if job := (yield from _made_already(fingerprint, spec, account, reuse=reuse)):
        return job
    today = dt.datetime.fromtimestamp(account.now(), dt.UTC).date()
    for notice in (yield from account.api.notices(spec.model, today)):
        warnings.warn(notice, ModelRetirementWarning, stacklevel=2)
    submission = secrets.token_hex(8)
    marks = {FINGERPRINT: fingerprint, SUBMISSION: submission}
    spec = replace(spec, metadata={**spec.metadata, **marks})
    yield from _note(submission, fingerprint, spec, account)
    file_ids: dict[str, Any] = {}
    fresh: list[tuple[WrittenFile, str]] = []
    try:
        for field, file in spec.files.items():
            file_ids[field], is_fresh = yield from upload_once(file, account)
            if is_fresh:
                fresh.append((file, file_ids[field]))
        spec = replace(spec, **file_ids)
        yield from _check_quote(spec, account)
        job = yield from create_once(spec, account)
    except (EngineError, BudgetError):
        if (yield Do(partial(account.ledger.forget_unasked, submission))):
            for file, file_id in fresh:
                yield from delete_upload(file, file_id, account)
        raise
    yield Do(partial(account.ledger.settle, submission, job.id))
    return job


def _check_quote(spec: JobSpec, account: Account) -> Flow[None]:
    if spec.max_cost_usd is None:
        return
    price = yield from ask(partial(account.api.quote, spec), account.engine.pace.retry)
    if price > spec.max_cost_usd:
        raise BudgetError(
            f"Training would cost about ${price:,.2f} by the estimate of {account.base_url}, more "
            f"than max_cost_usd={spec.max_cost_usd:g}. No job was created. Select fewer chats, set "
            "fewer epochs, or raise max_cost_usd."
        )


def _made_already(
    fingerprint: str, spec: JobSpec, account: Account, *, reuse: bool
) -> Flow[RemoteJob | None]:
    """Return the newest job of this fingerprint that can still give a model, or None.

    Without `reuse`, only one counts that was asked for and that nobody has heard of since.
    """
    attempts: list[Submission] = yield Do(partial(account.ledger.submissions, fingerprint))
    unsure = {one.submission: one.asked_at for one in attempts if one.unsure and one.asked_at}
    marks = {FINGERPRINT: fingerprint}
    wanted = [marks] if reuse else [{**marks, SUBMISSION: submission} for submission in unsure]
    job: RemoteJob | None = None
    for pause in (0.0, *account.engine.pace.looks) if unsure else ():
        yield Sleep(pause)
        for mark in wanted:
            job = job or (yield from find_job(mark, account, since=min(unsure.values())))
        if job:
            break
    for attempt in attempts:
        if reuse and job is None and attempt.job_id is not None:
            status = partial(account.api.status, attempt.job_id)
            known = yield from ask_or_none(status, account.engine.pace.retry)
            if known is not None and (yield from is_usable(known, account)):
                job = known
    if reuse and job is None and not unsure:
        # Another home may have had it made, or this home's ledger may be lost.
        job = yield from find_job(marks, account)
    yield Do(
        partial(account.ledger.forget, *(one.submission for one in attempts if not one.job_id))
    )
    if job is not None and job.id not in {attempt.job_id for attempt in attempts}:
        found = job.metadata.get(SUBMISSION) or secrets.token_hex(8)
        yield from _note(found, fingerprint, spec, account)
        yield Do(partial(account.ledger.settle, found, job.id))
    return job


def _note(submission: str, fingerprint: str, spec: JobSpec, account: Account) -> Flow[None]:
    yield Do(
        partial(
            account.ledger.begin,
            submission,
            fingerprint,
            account=account.id,
            engine=account.engine.name,
            base_url=account.base_url,
            base_model=spec.model,
            training_sha256=spec.training.sha256,
        )
    )


def submit_spec(spec: JobSpec, connection: Connection, *, reuse: bool, on_cancel: str) -> Job:
    """Create a job, or with `reuse` find the existing one.

    `on_cancel` says whether Ctrl-C cancels (`cancel`) a job that is being made, or lets it be.
    """
    abandon = partial(connection.run, partial(_abandon, spec, time.time()))
    cancel = abandon if on_cancel == "cancel" else None
    with when_interrupted(cancel), FileLock(_lock_path(spec)):
        return connection.run(partial(_submit, spec, reuse))


async def asubmit_spec(
    spec: JobSpec, connection: Connection, *, reuse: bool, on_cancel: str
) -> Job:
    """Have a job made without blocking; as `submit_spec` otherwise."""
    abandon = partial(connection.arun, partial(_abandon, spec, time.time()))
    cancel = abandon if on_cancel == "cancel" else None
    async with when_cancelled(cancel), AsyncFileLock(_lock_path(spec)):
        return await connection.arun(partial(_submit, spec, reuse))


def job_of_id(job_id: str, account: Account) -> Flow[Job]:
    """Return the handle of a job that the engine knows."""
    if not job_id:
        raise FineTuningError("The id of a job is needed, such as ftjob-abc123.")
    return Job.of((yield from remote_job(job_id, account)), account)


def _submit(spec: JobSpec, reuse: bool, account: Account) -> Flow[Job]:  # noqa: FBT001 - partial's
    fingerprint = fingerprint_of(spec, account.id)
    job = yield from submit_once(spec, account, fingerprint=fingerprint, reuse=reuse)
    marks = {FINGERPRINT: fingerprint}
    return Job.of(job, account, replace(spec, metadata={**spec.metadata, **marks}))


def _abandon(spec: JobSpec, begun: float, account: Account) -> Flow[None]:
    """Cancel the job that was asked for since `begun`, if it was made."""
    fingerprint = fingerprint_of(spec, account.id)
    attempts: list[Submission] = yield Do(partial(account.ledger.submissions, fingerprint))
    for attempt in attempts:
        if attempt.begun_at < begun or attempt.asked_at is None:
            continue
        job_id = attempt.job_id
        for pause in (0.0, *account.engine.pace.looks):
            if job_id is None:
                yield Sleep(pause)
                mark = {FINGERPRINT: fingerprint, SUBMISSION: attempt.submission}
                job = yield from find_job(mark, account, since=begun, in_any_state=True)
                job_id = None if job is None else job.id
        if job_id is not None:
            yield Do(partial(account.ledger.settle, attempt.submission, job_id))
            yield from steer(job_id, "cancel", account)


def _lock_path(spec: JobSpec) -> Path:
    """Return the lock that lets one process at a time submit this data."""
    folder = ensure_home(home_path()) / "locks"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder / f"{spec.training.sha256[:16]}.lock"
