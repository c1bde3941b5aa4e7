"""The requests of OpenAI's fine-tuning API, as every server of its shape takes them.

Each is a function of the SDK's client, sync or async, and returns the raw answer: its headers say
when to ask again, and a broken body is an answer that did not come, not an error of the SDK.
"""

from pathlib import Path
from typing import Any

from langchain_finetune.finetune.job_spec import JobSpec

_POLL_TIMEOUT_S = 60.0
"""A question that is asked again anyway need not wait as long as an upload."""

PAGE = 100
"""Entries that are asked for at once (OpenAI's largest page of jobs and events)."""


def upload(client: Any, name: str, path: Path) -> Any:
    """Upload a training file under a name; the async SDK reads it without blocking."""
    return client.files.with_raw_response.create(file=(name, path), purpose="fine-tune")


def retrieve_file(client: Any, file_id: str) -> Any:
    """Look at an uploaded file."""
    return client.files.with_raw_response.retrieve(file_id, timeout=_POLL_TIMEOUT_S)


def list_files(client: Any, after: str | None) -> Any:
    """List the training files, newest first."""
    return client.files.with_raw_response.list(
        purpose="fine-tune", order="desc", limit=PAGE, timeout=_POLL_TIMEOUT_S, **_behind(after)
    )


def delete_file(client: Any, file_id: str) -> Any:
    """Delete an uploaded file."""
    return client.files.with_raw_response.delete(file_id, timeout=_POLL_TIMEOUT_S)


def read_file(client: Any, file_id: str) -> Any:
    """Read a file's content."""
    return client.files.with_raw_response.content(file_id, timeout=_POLL_TIMEOUT_S)


def create_job(client: Any, spec: JobSpec, file_ids: list[str]) -> Any:
    """Create a job from the uploaded training file and, if any, validation file."""
    request: dict[str, Any] = {
        "model": spec.model,
        "training_file": file_ids[0],
        "metadata": spec.metadata,
    }
    if spec.validation is not None:
        request["validation_file"] = file_ids[1]
    if spec.hyperparameters or spec.method != "supervised":
        settings = {"hyperparameters": spec.hyperparameters} if spec.hyperparameters else {}
        request["method"] = {"type": spec.method, spec.method: settings}
    if spec.suffix is not None:
        request["suffix"] = spec.suffix
    if spec.seed is not None:
        request["seed"] = spec.seed
    if spec.extra_body:
        request["extra_body"] = spec.extra_body
    return client.fine_tuning.jobs.with_raw_response.create(**request)


def list_jobs(client: Any, metadata: dict[str, str] | None, after: str | None) -> Any:
    """List the jobs, newest first; servers may pass over the condition on their metadata."""
    condition = {"metadata": metadata} if metadata else {}
    return client.fine_tuning.jobs.with_raw_response.list(
        limit=PAGE, timeout=_POLL_TIMEOUT_S, **condition, **_behind(after)
    )


def retrieve_job(client: Any, job_id: str) -> Any:
    """Look at a job."""
    return client.fine_tuning.jobs.with_raw_response.retrieve(job_id, timeout=_POLL_TIMEOUT_S)


def list_events(client: Any, job_id: str, after: str | None) -> Any:
    """List a job's events, newest first."""
    return client.fine_tuning.jobs.with_raw_response.list_events(
        job_id, limit=PAGE, timeout=_POLL_TIMEOUT_S, **_behind(after)
    )


def list_checkpoints(client: Any, job_id: str, after: str | None) -> Any:
    """List a job's checkpoints, newest first."""
    return client.fine_tuning.jobs.checkpoints.with_raw_response.list(
        job_id, limit=PAGE, timeout=_POLL_TIMEOUT_S, **_behind(after)
    )


def steer_job(client: Any, job_id: str, verb: str) -> Any:
    """Cancel, pause or resume a job: `verb` is the SDK's name for it."""
    return getattr(client.fine_tuning.jobs.with_raw_response, verb)(job_id, timeout=_POLL_TIMEOUT_S)


def retrieve_model(client: Any, name: str) -> Any:
    """Look at a model."""
    return client.models.with_raw_response.retrieve(name, timeout=_POLL_TIMEOUT_S)


def _behind(after: str | None) -> dict[str, str]:
    return {"after": after} if after else {}
