"""The request to create a job, and the checks before it is queued."""

import asyncio
import secrets
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.hardware import require_space
from langchain_finetune.local.identifiers import new_id, now
from langchain_finetune.local.jobs.queue import JobQueue
from langchain_finetune.local.jobs.schemas import JobRecord, method_object
from langchain_finetune.local.models import Models
from langchain_finetune.local.training.four_bits import require_four_bits
from langchain_finetune.local.training.spec import Host
from langchain_finetune.local.training.targets import require_targets
from langchain_finetune.methods import METHODS, Hyperparameters, Method, foreign

MAX_METADATA = 16
"""Most pairs of a job's metadata (OpenAI's API reference)."""

LIMITS = {
    "learning_rate_multiplier": 1000,
    "lora_rank": 256,
    "lora_alpha": 1000,
    "early_stopping_patience": 50,
    "eval_steps": 1_000_000,
}
"""Largest values that this engine takes, where the hyperparameter itself has none."""

AT_HOSTS: frozenset[Method] = frozenset({"supervised", "dpo"})
"""Methods that a training loop at a host knows."""

_MAX_TARGETS = 32
_MAX_TARGET_LENGTH = 64

_Short = Annotated[str, Field(max_length=64)]
_Long = Annotated[str, Field(max_length=512)]


class MethodPart(BaseModel):
    """The settings of one training method."""

    model_config = ConfigDict(extra="forbid")

    hyperparameters: Hyperparameters | None = None


class MethodRequest(BaseModel):
    """A training method by its type, with its settings under its own name."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, MethodPart | None]

    type: str

    @model_validator(mode="before")
    @classmethod
    def _only_known_methods(cls, given: Any) -> Any:
        """Refuse unknown methods by their type, before their settings are validated."""
        if not isinstance(given, dict):
            return given
        return {name: part for name, part in given.items() if name == "type" or name in METHODS}


class CreateJob(BaseModel):
    """A request for a fine-tuning job, as OpenAI's API and the engine's page send it."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    model: Annotated[str, Field(min_length=1, max_length=512)]
    training_file: _Short
    validation_file: _Short | None = None
    hyperparameters: Hyperparameters | None = None
    method: MethodRequest | None = None
    suffix: _Short | None = None
    seed: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    metadata: Annotated[dict[_Short, _Long], Field(max_length=MAX_METADATA)] | None = None
    integrations: list[Any] | None = None
    host: Host | None = None

    def method_settings(self) -> tuple[Method, Hyperparameters]:
        """Return the method and its hyperparameters; those under `method` count first.

        Raises:
            ApiError: 400 where the method is not known, or its hyperparameters do not fit.
        """
        kind = self.method.type if self.method else "supervised"
        method = next((name for name in METHODS if name == kind), None)
        if method is None:
            known = ", ".join(f"{name!r}" for name in METHODS)
            raise ApiError(
                400,
                f"This engine knows the methods {known} only.",
                code="unsupported_method",
                param="method.type",
            )
        part = (self.method.__pydantic_extra__ if self.method else {}).get(method)
        place, given = "hyperparameters", self.hyperparameters or Hyperparameters()
        if part and part.hyperparameters:
            place, given = f"method.{method}.hyperparameters", part.hyperparameters
        for name in foreign(method, given.model_fields_set):
            param = f"{place}.{name}"
            raise ApiError(400, f"{param}: The method {method} does not have it.", param=param)
        least = METHODS[method].least_batch
        if given.batch_size != "auto" and given.batch_size < least:
            message = f"batch_size must be at least {least} for the method {method}."
            raise ApiError(400, message, param="batch_size")
        if self.host and method not in AT_HOSTS:
            message = f"The method {method} trains here only, not at a host."
            raise ApiError(400, message, code="unsupported_method", param="method.type")
        fault = _fault_at_host(given) if self.host else None
        if fault := fault or _fault_of(given, validates=self.validation_file is not None):
            param, message = fault
            raise ApiError(400, message, param=param)
        return method, given


def _fault_of(given: Hyperparameters, *, validates: bool) -> tuple[str, str] | None:
    """Return the invalid field and a message, or None if the engine supports the request."""
    for name, most in LIMITS.items():
        value = getattr(given, name)
        if value != "auto" and value > most:
            return name, f"{name} must be at most {most}."
    targets = given.lora_targets
    if isinstance(targets, str):
        fits = targets in {"auto", "all-linear"}
    else:
        fits = len(targets) <= _MAX_TARGETS and max(map(len, targets)) <= _MAX_TARGET_LENGTH
    if not fits:
        return "lora_targets", (
            f"lora_targets must be 'all-linear', or at most {_MAX_TARGETS} names of at most"
            f" {_MAX_TARGET_LENGTH} characters."
        )
    for name in ("early_stopping_patience", "eval_steps"):
        if getattr(given, name) != "auto" and not validates:
            return "validation_file", (
                f"{name} watches the validation loss: give a validation_file too."
            )
    if given.lora_rank == 0 and (given.lora_alpha != "auto" or targets != "auto"):
        return "lora_rank", (
            "A lora_rank of 0 trains every weight, so it takes no lora_alpha or lora_targets."
        )
    if given.lora_rank == 0 and given.load_in_4bit is True:
        return "load_in_4bit", (
            "load_in_4bit is for LoRA, and a lora_rank of 0 trains every weight: leave one of the"
            " two out."
        )
    return None


def _fault_at_host(given: Hyperparameters) -> tuple[str, str] | None:
    """Return the hyperparameter that a host does not have, and a message, or None."""
    for name in ("lora_alpha", "lora_targets", "load_in_4bit", "packing"):
        if getattr(given, name) not in {"auto", False}:
            return name, f"{name} is the choice of the host that trains: leave it out."
    if given.lora_rank == 0:
        return "lora_rank", "A host trains with LoRA: lora_rank must be at least 1."
    return None


async def create_job(request: CreateJob, queue: JobQueue, models: Models, home: Path) -> JobRecord:
    """Check a request, and take the job on; see `create_jobs_router` for the arguments.

    Raises:
        ApiError: 400, 404 or 429; nothing was taken on.
    """
    method, hyperparameters = request.method_settings()
    if request.integrations:
        raise ApiError(
            400,
            "This engine sends nothing to other services: leave integrations out, and log the"
            " metrics of the job's events or its result file yourself (in LangChain with"
            " MetricsLogger).",
            code="unsupported_integration",
            param="integrations",
        )
    model = request.model if request.host else models.target(request.model)
    if request.host is None or request.host.weights == "home":
        base = await asyncio.to_thread(models.resolve, model)
        await asyncio.to_thread(require_space, home, base)
        if isinstance(hyperparameters.lora_targets, tuple):
            await asyncio.to_thread(require_targets, base, hyperparameters.lora_targets)
        if hyperparameters.load_in_4bit is True:
            await asyncio.to_thread(require_four_bits, base)
    return queue.add(
        JobRecord(
            id=new_id("ftjob"),
            created_at=now(),
            model=model,
            training_file=request.training_file,
            validation_file=request.validation_file,
            hyperparameters=hyperparameters,
            requested=hyperparameters,
            method=method_object(method, hyperparameters),
            user_provided_suffix=request.suffix,
            seed=secrets.randbelow(2**31) if request.seed is None else request.seed,
            metadata=request.metadata,
            host=request.host,
            trained_at=request.host and request.host.base_url.rstrip("/"),
        )
    )
