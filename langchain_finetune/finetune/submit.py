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
from dataclasses import replace
from functools import partial
from typing import Any

from langchain_finetune.convert.jsonl import WrittenFile
from langchain_finetune.errors import EngineError
from langchain_finetune.finetune.create import create_once
from langchain_finetune.finetune.fingerprint import FINGERPRINT, SUBMISSION, fingerprint_of
from langchain_finetune.finetune.job import JobSpec
from langchain_finetune.finetune.ledger import Submission
from langchain_finetune.finetune.lookup import find_job, known_job
from langchain_finetune.finetune.place import Place
from langchain_finetune.finetune.preflight import warn_before_submitting
from langchain_finetune.finetune.steps import Do, Flow, Sleep
from langchain_finetune.finetune.uploads import delete_upload, upload_once


def submit_once(spec: JobSpec, place: Place, *, reuse: bool = True) -> Flow[Any]:
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


def _made_already(fingerprint: str, spec: JobSpec, place: Place) -> Flow[Any]:
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


def _note(submission: str, fingerprint: str, spec: JobSpec, place: Place) -> Flow[None]:
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
