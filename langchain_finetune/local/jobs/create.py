"""_Strict."""

import asyncio
import secrets
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.hardware import require_space
from langchain_finetune.local.jobs.queue import JobQueue
from langchain_finetune.local.jobs.schemas import Hyperparameters, JobRecord, MethodType
from langchain_finetune.local.models import Models

_MAX_METADATA = 16
"""Most pairs of a job's metadata (OpenAI's API reference)."""


_Positive = Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)]


class _Strict(BaseModel):
    """A part of a request; what it does not know is refused rather than passed over."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class _Hyperparameters(_Strict):
    """Bounds as in OpenAI's fine-tuning guide; null means "auto", as the SDK's types allow.

    Those from `lora_rank` on are this engine's own.
    """

    n_epochs: Annotated[int, Field(ge=1, le=50)] | Literal["auto"] | None = None
    batch_size: Annotated[int, Field(ge=1, le=256)] | Literal["auto"] | None = None
    learning_rate_multiplier: _Positive | Literal["auto"] | None = None
    lora_rank: Annotated[int, Field(ge=0, le=256)] | Literal["auto"] | None = None
    lora_alpha: _Positive | Literal["auto"] | None = None
    lora_targets: (
        Annotated[list[Annotated[str, Field(max_length=64)]], Field(min_length=1, max_length=32)]
        | Literal["auto", "all-linear"]
        | None
    ) = None
    early_stopping_patience: Annotated[int, Field(ge=1, le=50)] | Literal["auto"] | None = None
    packing: bool | Literal["auto"] | None = None


class _DpoHyperparameters(_Hyperparameters):
    beta: Annotated[float, Field(gt=0, le=2)] | Literal["auto"] | None = None


class _Supervised(_Strict):
    hyperparameters: _Hyperparameters | None = None


class _Dpo(_Strict):
    hyperparameters: _DpoHyperparameters | None = None


class _Method(BaseModel):
    """A method that is not known is refused by name, whatever it carries."""

    type: str
    supervised: _Supervised | None = None
    dpo: _Dpo | None = None


class CreateJob(_Strict):
    """What a request for a job asks for; the engine's page asks in the same way."""

    model: Annotated[str, Field(min_length=1, max_length=512)]
    training_file: Annotated[str, Field(max_length=64)]
    validation_file: Annotated[str, Field(max_length=64)] | None = None
    hyperparameters: _Hyperparameters | None = None
    method: _Method | None = None
    suffix: Annotated[str, Field(max_length=64)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    metadata: (
        Annotated[
            dict[
                Annotated[str, StringConstraints(max_length=64)],
                Annotated[str, StringConstraints(max_length=512)],
            ],
            Field(max_length=_MAX_METADATA),
        ]
        | None
    ) = None
    integrations: list[Any] | None = None

    def asked(self) -> tuple[MethodType, Hyperparameters]:
        """Return the method and its hyperparameters; those under `method` count where both are."""
        kind: MethodType
        part: _Supervised | _Dpo | None
        match self.method:
            case None:
                kind, part = "supervised", None
            case _Method(type="supervised"):
                kind, part = "supervised", self.method.supervised
            case _Method(type="dpo"):
                kind, part = "dpo", self.method.dpo
            case _:
                raise ApiError(
                    400,
                    "This engine knows the methods 'supervised' and 'dpo' only.",
                    code="unsupported_method",
                    param="method.type",
                )
        given = (part.hyperparameters if part else None) or self.hyperparameters
        asked = Hyperparameters(**given.model_dump(exclude_none=True) if given else {})
        if isinstance(asked.early_stopping_patience, int) and not self.validation_file:
            raise ApiError(
                400,
                "early_stopping_patience watches the validation loss: give a validation_file too.",
                param="validation_file",
            )
        if asked.lora_rank == 0 and (asked.lora_alpha or asked.lora_targets):
            raise ApiError(
                400,
                "A lora_rank of 0 trains every weight, so it takes no lora_alpha or lora_targets.",
                param="lora_rank",
            )
        return kind, asked

    def refuse_integrations(self) -> None:
        """Refuse what would send data away from this machine."""
        if self.integrations:
            raise ApiError(
                400,
                "This engine sends nothing to other services: leave integrations out, and log the"
                " metrics of the job's events or its result file yourself (in LangChain with"
                " MetricsLogger).",
                code="unsupported_integration",
                param="integrations",
            )


async def create_job(request: CreateJob, queue: JobQueue, models: Models, home: Path) -> JobRecord:
    """Check a request, and take the job on; see `create_jobs_router` for the arguments.

    Raises:
        ApiError: 400, 404 or 429; nothing was taken on.
    """
    method, hyperparameters = request.asked()
    request.refuse_integrations()
    model = models.target(request.model)
    base = await asyncio.to_thread(models.resolve, model)
    await asyncio.to_thread(require_space, home, base)
    return queue.create(
        model=model,
        training_file=request.training_file,
        validation_file=request.validation_file,
        method=method,
        hyperparameters=hyperparameters,
        suffix=request.suffix,
        seed=secrets.randbelow(2**31) if request.seed is None else request.seed,
        metadata=request.metadata,
    )
