"""Nebius Token Factory: a job's checkpoint answers only once it is made a custom model.

Sources: its API reference (`POST /v0/models` with `name`, `base_model` and `source`, which is
`<job>:<checkpoint>`; the status goes from `validating` to `active`, and the name in the answer is
the one to call) and docs.tokenfactory.nebius.com/post-training/datasets (50 GB; text; the last
message is a text answer, no call). It trains open models, whose templates differ: what it does not
say, is a warning. Prices depend on the size of the base: they are for the user to give.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urljoin

from openai import OpenAIError
from pydantic import Field

from langchain_finetune.checks.profiles import (
    CHATML_TOKENS,
    KEYS,
    MB,
    OPEN_MODELS,
    UNPROVEN,
    Profile,
)
from langchain_finetune.engines.base import Deployment
from langchain_finetune.engines.deployment import PATIENCE, ask_until_ready
from langchain_finetune.engines.flow import Call, Flow, Patience
from langchain_finetune.engines.jobs import JobStatus
from langchain_finetune.engines.openai_compatible import OpenAICompatibleEngine
from langchain_finetune.errors import DeployError

_GONE = frozenset({"error", "deleted"})


class NebiusDeployment(Deployment):
    """How a fine-tuned model is served by Nebius.

    Attributes:
        name: Goes into the served model's name.
        base_model: The base that serves it, as Nebius names it for serving; by default the one
            that was trained.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")
    base_model: str | None = Field(
        default=None,
        description="The base that serves it, where it has another name there.",
        json_schema_extra={"option": "serving-base"},
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _NebiusEngine(OpenAICompatibleEngine):
    def deploy(
        self,
        status: JobStatus,
        base: str,
        deployment: NebiusDeployment,
        patience: Patience = PATIENCE,
    ) -> Flow[str]:
        """Make the job's last checkpoint a custom model and wait until it answers; return its name.

        A model that was made of the same checkpoint before is used again.

        Raises:
            DeployError: Nebius refused, gave up, or took too long.
        """
        job_id = status.job_id
        url = urljoin((self.base_url or "").rstrip("/") + "/", "../v0/models")

        def models(client: Any) -> Any:
            return client.get(url, cast_to=object)

        try:
            kept = yield Call(
                lambda client: client.fine_tuning.jobs.checkpoints.list(job_id), (OpenAIError,)
            )
            newest = max(kept.data, key=lambda each: each.step_number, default=None)
            if newest is None:
                raise DeployError(
                    f"Job {job_id} succeeded, but lists no checkpoint to serve.", job_id=job_id
                )
            source = f"{job_id}:{newest.id}"
            name = _served((yield Call(models, (OpenAIError,))), source)
            if name is None:
                served_by = deployment.base_model or base
                body = {"name": deployment.name, "base_model": served_by, "source": source}
                made = yield Call(
                    lambda client: client.post(url, cast_to=object, body=body), (OpenAIError,)
                )
                name = str(made["name"])
        except OpenAIError as error:
            raise DeployError(
                f"Nebius did not take the model of job {job_id} ({error}). Its checkpoints are "
                "kept: run the same again, or serve one by hand.",
                job_id=job_id,
            ) from error
        what = f"Nebius' model {name!r}"
        yield from ask_until_ready(models, partial(_state, name), job_id, what, patience)
        return name


def _served(answer: Any, source: str) -> str | None:
    """Return the name of a model that was made of this checkpoint."""
    for model in _models(answer):
        if model.get("source") == source and model.get("status") not in _GONE:
            return str(model["name"])
    return None


def _state(name: str, answer: Any) -> tuple[bool, str | None]:
    """Return whether the list of models has this one ready, and how it failed."""
    # A name can hold slashes, so it is looked up in the list and not by its address.
    statuses = [str(model.get("status")) for model in _models(answer) if model.get("name") == name]
    status = statuses[0] if statuses else ""
    return status == "active", status if status in _GONE else None


def _models(answer: Any) -> list[dict[str, Any]]:
    models = answer.get("data") if isinstance(answer, dict) else answer
    return [model for model in models or () if isinstance(model, dict)]


ENGINE = _NebiusEngine(
    name="nebius",
    summary="Nebius Token Factory, which makes a custom model before it answers",
    key_variable="NEBIUS_API_KEY",
    base_url="https://api.tokenfactory.nebius.com/v1/",
    profile=Profile(
        name="nebius",
        keys={role: KEYS[role] for role in ("system", "user", "assistant", "tool")},
        parts=frozenset({"text"}),
        max_images=0,
        special_tokens=CHATML_TOKENS,
        max_file_bytes=50 * 1024 * MB,
        max_example_bytes=16 * MB,
        text_answer_last=True,
        warnings=UNPROVEN | OPEN_MODELS | {"call_last", "special_token"},
    ),
    deployment=NebiusDeployment,
)
