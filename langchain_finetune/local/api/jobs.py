"""`/v1/fine_tuning/jobs`: create, follow, list and cancel jobs (OpenAI's Fine-tuning API)."""

import asyncio
import secrets
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.jobs.journal import Journal
from langchain_finetune.local.jobs.queue import JobQueue
from langchain_finetune.local.jobs.records import Hyperparameters
from langchain_finetune.local.models import Models
from langchain_finetune.local.records import answer

Limit = Annotated[int, Query(ge=1, le=1000)]


class _Strict(BaseModel):
    """A part of a request; what it does not know is refused rather than passed over."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class _Hyperparameters(_Strict):
    """Bounds as in OpenAI's fine-tuning guide; null means "auto", as the SDK's types allow."""

    n_epochs: Annotated[int, Field(ge=1, le=50)] | Literal["auto"] | None = None
    batch_size: Annotated[int, Field(ge=1, le=256)] | Literal["auto"] | None = None
    learning_rate_multiplier: (
        Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)] | Literal["auto"] | None
    ) = None


class _Supervised(_Strict):
    hyperparameters: _Hyperparameters | None = None


class _Method(BaseModel):
    """Other methods than the supervised one are refused by name, whatever they carry."""

    type: str
    supervised: _Supervised | None = None


class _Create(_Strict):
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
            Field(max_length=16),
        ]
        | None
    ) = None
    integrations: Annotated[list[Any], Field(max_length=0)] | None = None

    def requested(self) -> Hyperparameters:
        """Return the hyperparameters; those under `method` count where both are given."""
        if self.method and self.method.type != "supervised":
            raise ApiError(
                400,
                "This engine knows the method 'supervised' only.",
                code="unsupported_method",
                param="method.type",
            )
        supervised = self.method.supervised if self.method else None
        given = (supervised.hyperparameters if supervised else None) or self.hyperparameters
        return Hyperparameters(**given.model_dump(exclude_none=True) if given else {})


def create_jobs_router(queue: JobQueue, journal: Journal, models: Models) -> APIRouter:
    """Return the routes of the Fine-tuning API."""
    router = APIRouter(prefix="/fine_tuning/jobs")

    @router.post("")
    async def create(request: _Create) -> dict[str, Any]:
        hyperparameters = request.requested()
        model = models.target(request.model)
        await asyncio.to_thread(models.resolve, model)
        job = queue.create(
            model=model,
            training_file=request.training_file,
            validation_file=request.validation_file,
            hyperparameters=hyperparameters,
            suffix=request.suffix,
            seed=secrets.randbelow(2**31) if request.seed is None else request.seed,
            metadata=request.metadata,
        )
        return answer(job)

    @router.get("")
    async def page(request: Request, after: str | None = None, limit: Limit = 20) -> dict[str, Any]:
        return journal.page(limit=limit, after=after, metadata=_metadata_filter(request)).body()

    @router.get("/{job_id}")
    async def retrieve(job_id: str) -> dict[str, Any]:
        return answer(journal.get(job_id))

    @router.post("/{job_id}/cancel")
    async def cancel(job_id: str) -> dict[str, Any]:
        return answer(await queue.cancel(job_id))

    @router.get("/{job_id}/events")
    async def events(job_id: str, after: str | None = None, limit: Limit = 20) -> dict[str, Any]:
        return journal.events(job_id, limit=limit, after=after).body()

    @router.get("/{job_id}/checkpoints")
    async def checkpoints(job_id: str) -> dict[str, Any]:
        journal.get(job_id)
        return {"object": "list", "data": [], "has_more": False, "first_id": None, "last_id": None}

    return router


def _metadata_filter(request: Request) -> dict[str, str] | None:
    """Read `metadata[key]=value` pairs; None for `metadata=null`, which asks for jobs without."""
    if request.query_params.get("metadata") == "null":
        return None
    return {
        name[len("metadata[") : -1]: value
        for name, value in request.query_params.items()
        if name.startswith("metadata[") and name.endswith("]")
    }
