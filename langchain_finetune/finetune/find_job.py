"""Finding the job that was made already: by id, or by what its metadata says."""

from functools import partial
from typing import Any

from openai import OpenAIError

from langchain_finetune.errors import EngineError
from langchain_finetune.finetune.account import Account
from langchain_finetune.finetune.engines.errors import is_missing, model_is_missing
from langchain_finetune.finetune.engines.openai import list_jobs, retrieve_job, retrieve_model
from langchain_finetune.finetune.flow import Flow
from langchain_finetune.finetune.job_status import JobStatus
from langchain_finetune.finetune.pagination import Pages
from langchain_finetune.finetune.retry import JOB, ask

_PAGES = 20
_CLOCKS_DIFFER_S = 24 * 3600.0


def known_job(job_id: str, place: Account) -> Flow[Any]:
    """Return a job by its id if it can still give a model; None where it can't."""
    job = yield from ask(
        partial(retrieve_job, job_id=job_id),
        place.base_url,
        JOB,
        none_if=is_missing,
        retry=place.retry,
    )
    if job is None or not (yield from _usable(job, place)):
        return None
    return job


def find_job(
    metadata: dict[str, str],
    place: Account,
    *,
    since: float | None = None,
    in_any_state: bool = False,
) -> Flow[Any]:
    """Return the newest job with this metadata that can still give a model; else None.

    Args:
        metadata: What the job must carry.
        place: Where to look.
        since: The job is not older than this (seconds since 1970). With it the plain list is
            read up to there; without it the engine is asked to look for the metadata, and what
            it lists is looked through up to 2,000 jobs.
        in_any_state: Return also one that failed, was cancelled, or whose model is gone.
    """
    oldest = since - _CLOCKS_DIFFER_S if since is not None else None
    condition = metadata if since is None else None
    pages = Pages(partial(list_jobs, metadata=condition), place, most=_PAGES)
    while pages.more:
        for job in (yield from pages.following()):
            if oldest is not None and (getattr(job, "created_at", None) or oldest) < oldest:
                return None
            if not _carries(job, metadata):
                continue
            if in_any_state or (yield from _usable(job, place)):
                return job
    return None


def model_is_gone(job: JobStatus, place: Account) -> Flow[bool]:
    """Tell whether the engine says that a finished job's model is not there any more.

    A model may appear some time after its job has ended, and a server may list none of its
    models; neither counts as gone.
    """
    if place.now() - (job.finished_at or 0) < place.model_appears_s:
        return False
    name = job.fine_tuned_model or ""
    try:
        yield from ask(partial(retrieve_model, name=name), place.base_url, retry=place.retry)
    except EngineError as error:
        cause = error.__cause__
        if isinstance(cause, OpenAIError) and is_missing(cause):
            return model_is_missing(cause)
        raise
    return False


def _carries(job: Any, metadata: dict[str, str]) -> bool:
    found = getattr(job, "metadata", None) or {}
    return all(found.get(key) == value for key, value in metadata.items())


def _usable(job: Any, place: Account) -> Flow[bool]:
    """Tell whether a job goes on, or has ended with a model that is still there."""
    status = JobStatus.of(job)
    if status.status in {"failed", "cancelled"}:
        return False
    if not status.ended:
        return True
    return not (yield from model_is_gone(status, place))
