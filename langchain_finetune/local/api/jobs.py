"""`/v1/fine_tuning/jobs`: create, follow, list, pause, cancel (OpenAI's Fine-tuning API)."""

import asyncio
import secrets
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.documents import answer
from langchain_finetune.local.hardware import require_space
from langchain_finetune.local.jobs.journal import Journal
from langchain_finetune.local.jobs.queue import JobQueue
from langchain_finetune.local.jobs.records import Hyperparameters, Job, MethodType
from langchain_finetune.local.models import Models

_MAX_METADATA = 16
"""Most pairs of a job's metadata (OpenAI's API reference)."""

Limit = Annotated[int, Query(ge=1, le=1000)]


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


async def create_job(request: CreateJob, queue: JobQueue, models: Models, home: Path) -> Job:
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


def create_jobs_router(queue: JobQueue, journal: Journal, models: Models, home: Path) -> APIRouter:
    """Return the routes of the Fine-tuning API.

    Args:
        queue: Takes the jobs on.
        journal: Knows what became of them.
        models: What can be fine-tuned.
        home: Folder on the disk that a training fills.
    """
    router = APIRouter(prefix="/fine_tuning/jobs")

    @router.post("")
    async def create(request: CreateJob) -> dict[str, Any]:
        return answer(await create_job(request, queue, models, home))

    @router.get("")
    async def page(request: Request, after: str | None = None, limit: Limit = 20) -> dict[str, Any]:
        return journal.page(limit=limit, after=after, metadata=_metadata_filter(request)).body()

    @router.get("/{job_id}")
    async def retrieve(job_id: str) -> dict[str, Any]:
        return answer(journal.get(job_id))

    @router.post("/{job_id}/cancel")
    async def cancel(job_id: str) -> dict[str, Any]:
        return answer(await queue.cancel(job_id))

    @router.post("/{job_id}/pause")
    async def pause(job_id: str) -> dict[str, Any]:
        return answer(await queue.pause(job_id))

    @router.post("/{job_id}/resume")
    async def resume(job_id: str) -> dict[str, Any]:
        return answer(queue.resume(job_id))

    @router.get("/{job_id}/events")
    async def events(job_id: str, after: str | None = None, limit: Limit = 20) -> dict[str, Any]:
        return journal.events(job_id, limit=limit, after=after).body()

    @router.get("/{job_id}/checkpoints")
    async def checkpoints(
        job_id: str, after: str | None = None, limit: Limit = 10
    ) -> dict[str, Any]:
        return journal.checkpoints(job_id, limit=limit, after=after).body()

    return router


def _metadata_filter(request: Request) -> dict[str, str] | None:
    """Read `metadata[key]=value` pairs; None for `metadata=null`, which asks for jobs without."""
    if request.query_params.get("metadata") == "null":
        return None
    asked = {
        name[len("metadata[") : -1]: value
        for name, value in request.query_params.items()
        if name.startswith("metadata[") and name.endswith("]")
    }
    if len(asked) > _MAX_METADATA:
        raise ApiError(
            400, f"A job has at most {_MAX_METADATA} pairs of metadata.", param="metadata"
        )
    return asked
