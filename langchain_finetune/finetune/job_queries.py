"""Looking at a job and steering it: its state, checkpoints and metrics; cancel, pause, resume."""

import base64
import binascii
import csv
import io
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from contextlib import suppress
from functools import partial
from typing import Any

from openai import OpenAIError

from langchain_finetune.errors import EngineError, JobError, ModelRetiredError
from langchain_finetune.finetune.account import Account
from langchain_finetune.finetune.engines.errors import is_missing
from langchain_finetune.finetune.engines.openai import (
    list_checkpoints,
    list_events,
    read_file,
    retrieve_job,
    steer_job,
)
from langchain_finetune.finetune.find_job import model_is_gone
from langchain_finetune.finetune.flow import Call, Flow
from langchain_finetune.finetune.job_status import JobCheckpoint, JobEvent, JobStatus
from langchain_finetune.finetune.pagination import Pages
from langchain_finetune.finetune.retry import JOB, Retry, ask


def all_events(job_id: str, place: Account) -> Flow[list[JobEvent]]:
    """Return every event of a job, oldest first; none where the engine keeps none.

    Raises:
        EngineError: The engine does not answer, or refuses.
    """
    return (yield from new_events(job_id, frozenset(), place, place.retry))


def new_events(
    job_id: str, told: AbstractSet[str], place: Account, retry: Retry
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


_REFUSED = 400


def job_status(job_id: str, place: Account) -> Flow[JobStatus]:
    """Return how a job stands now."""
    job = yield from ask(
        partial(retrieve_job, job_id=job_id), place.base_url, JOB, retry=place.retry
    )
    return JobStatus.of(job)


def statuses_of(job_ids: Iterable[str], place: Account) -> Flow[dict[str, JobStatus | None]]:
    """Return how several jobs stand now; None for one that the engine does not have.

    Each is asked for once: where the engine does not answer, this fails soon.
    """
    found: dict[str, JobStatus | None] = {}
    for job_id in job_ids:
        job = yield from ask(
            partial(retrieve_job, job_id=job_id),
            place.base_url,
            JOB,
            none_if=is_missing,
            retry=Retry(attempts=1),
        )
        found[job_id] = job and JobStatus.of(job)
    return found


def steer(job_id: str, verb: str, place: Account) -> Flow[JobStatus]:
    """Cancel, pause or resume a job, and return how it stands then.

    A job that has ended stays as it is.
    """
    try:
        job = yield from ask(
            partial(steer_job, job_id=job_id, verb=verb), place.base_url, JOB, retry=place.retry
        )
    except EngineError as error:
        # The answer to an earlier attempt may be lost, so the job may be there already.
        if getattr(error.__cause__, "status_code", None) != _REFUSED:
            raise
        status = yield from job_status(job_id, place)
        if not status.ended:
            raise
        return status
    return JobStatus.of(job)


def job_checkpoints(job_id: str, place: Account) -> Flow[list[JobCheckpoint]]:
    """Return the checkpoints that a job has kept, by step."""
    found: list[JobCheckpoint] = []
    pages = Pages(partial(list_checkpoints, job_id=job_id), place)
    while pages.more:
        page = yield from pages.following()
        found += [JobCheckpoint.of(one) for one in page]
    return sorted(found, key=lambda checkpoint: checkpoint.step)


def job_metrics(job_id: str, place: Account) -> Flow[list[dict[str, float]]]:
    """Return the figures of each step: of the result file, or else of the events so far."""
    status = yield from job_status(job_id, place)
    for file_id in status.result_files:
        content = yield from _content(file_id)
        if rows := _table(content):
            return rows
    events = yield from all_events(job_id, place)
    return [_figures(event.data) for event in events if event.type == "metrics"]


def finished_model(job_id: str, checkpoint: int | None, place: Account) -> Flow[str]:
    """Return the name of the model that a job gave, or of one that it kept on the way.

    Raises:
        JobError: There is no such model (yet).
        ModelRetiredError: It is not there any more.
    """
    if checkpoint is not None:
        kept = yield from job_checkpoints(job_id, place)
        for one in kept:
            if one.step == checkpoint:
                return one.model
        steps = ", ".join(str(one.step) for one in kept) or "none"
        raise JobError(
            f"Job {job_id} kept no checkpoint at step {checkpoint}; it has: {steps}.",
            job_id=job_id,
        )
    status = yield from job_status(job_id, place)
    if status.fine_tuned_model is None:
        raise JobError(
            f"Job {job_id} has given no model: it is {status.status}. Wait for it with wait().",
            job_id=job_id,
        )
    if (yield from model_is_gone(status, place)):
        raise ModelRetiredError(
            f"The model {status.fine_tuned_model} of job {job_id} was deleted or shut down. "
            "Running the same chain again makes a new one.",
            job_id=job_id,
        )
    return status.fine_tuned_model


def _content(file_id: str) -> Flow[bytes]:
    """Return a file's content; none where the engine does not give it."""
    try:
        answer = yield Call(partial(read_file, file_id=file_id))
    except OpenAIError:
        return b""
    content: bytes = answer.content
    return content


def _table(content: bytes) -> list[dict[str, float]]:
    """Read a result file: CSV, which OpenAI encodes as base64 and others leave plain."""
    with suppress(binascii.Error):
        content = base64.b64decode(content, validate=True)
    rows = csv.DictReader(io.StringIO(content.decode("utf-8", "replace")))
    return [_figures(row) for row in rows]


def _figures(row: dict[Any, Any]) -> dict[str, float]:
    """Return what is a number in a row."""
    figures: dict[str, float] = {}
    for name, value in row.items():
        try:
            figures[str(name)] = float(value)
        except (TypeError, ValueError):
            continue
    return figures
