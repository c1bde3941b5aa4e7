"""Nebius Token Factory: a job's checkpoint answers only once it is made a custom model.

Source of fact: the API reference of Nebius Token Factory, `POST /v0/models` with `name`,
`base_model` and `source` (`<job>:<checkpoint>`); the status goes from `validating` to `active`.
The name that it answers with is the one to call.
"""

from functools import partial
from typing import Any
from urllib.parse import urljoin

from openai import OpenAIError
from pydantic import BaseModel, ConfigDict, Field

from langchain_finetune.errors import DeployError
from langchain_finetune.finetune.engines.deployment import Pause, ask_until_ready
from langchain_finetune.finetune.flow import Call, Flow
from langchain_finetune.finetune.job_status import JobStatus

NEBIUS_URL = "https://api.tokenfactory.nebius.com/v1/"
_GONE = frozenset({"error", "deleted"})


class NebiusDeployment(BaseModel):
    """How a fine-tuned model is served by Nebius.

    Attributes:
        name: Goes into the served model's name.
        base_model: The base that serves it, as Nebius names it for serving; by default the one
            that was trained.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")
    base_model: str | None = None


def deploy_on_nebius(
    job: JobStatus, base: str, base_url: str, deployment: NebiusDeployment, pause: Pause
) -> Flow[str]:
    """Make the job's last checkpoint a custom model and wait until it answers; return its name.

    A model that was made of the same checkpoint before is used again.

    Args:
        job: The job.
        base: The base that was trained.
        base_url: The engine's address, which ends in `/v1/`.
        deployment: How to serve it.
        pause: How long to wait.

    Raises:
        DeployError: Nebius refused, gave up, or took too long.
    """
    models_url = urljoin(base_url.rstrip("/") + "/", "../v0/models")
    try:
        checkpoints = yield Call(
            lambda client: client.fine_tuning.jobs.checkpoints.list(job.job_id)
        )
        newest = max(checkpoints.data, key=lambda each: each.step_number, default=None)
        if newest is None:
            raise DeployError(
                f"Job {job.job_id} succeeded, but lists no checkpoint to serve.", job_id=job.job_id
            )
        source = f"{job.job_id}:{newest.id}"
        known = yield Call(lambda client: client.get(models_url, cast_to=object))
        name = _served(known, source)
        if name is None:
            body = {
                "name": deployment.name,
                "base_model": deployment.base_model or base,
                "source": source,
            }
            # A second request would make a second model.
            made = yield Call(partial(_create, models_url, body))
            name = str(made["name"])
    except OpenAIError as error:
        raise DeployError(
            f"Nebius did not take the model of job {job.job_id} ({error}). Its checkpoints are "
            "kept: run the same again, or serve one by hand.",
            job_id=job.job_id,
        ) from error
    yield from ask_until_ready(
        lambda client: client.get(models_url, cast_to=object),
        partial(_state, name),
        job_id=job.job_id,
        what=f"Nebius' model {name!r}",
        pause=pause,
    )
    return name


def _served(answer: Any, source: str) -> str | None:
    """Return the name of a model that was made of this checkpoint."""
    for model in _models(answer):
        if model.get("source") == source and model.get("status") not in _GONE:
            return str(model["name"])
    return None


def _state(name: str, answer: Any) -> tuple[bool, str | None]:
    """Tell of the list of models whether this one is ready, and how it failed."""
    # A name can hold slashes, so it is looked up in the list and not by its address.
    statuses = [str(model.get("status")) for model in _models(answer) if model.get("name") == name]
    status = statuses[0] if statuses else ""
    return status == "active", status if status in _GONE else None


def _models(answer: Any) -> list[dict[str, Any]]:
    models = answer.get("data") if isinstance(answer, dict) else answer
    return [model for model in models or () if isinstance(model, dict)]


def _create(url: str, body: dict[str, Any], client: Any) -> Any:
    return client.with_options(max_retries=0).post(url, cast_to=object, body=body)
