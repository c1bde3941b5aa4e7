"""A fine-tuning job and its events, with the fields of OpenAI's objects."""

from typing import Any, Literal

from pydantic import BaseModel, Field, SerializerFunctionWrapHandler, model_serializer

from langchain_finetune.local.documents import Record
from langchain_finetune.local.training.spec import Host
from langchain_finetune.methods import METHODS, Hyperparameters, Method

JobState = Literal[
    "validating_files", "queued", "running", "paused", "succeeded", "failed", "cancelled"
]

_OF_HOSTS = frozenset({"host", "trained_at"})

ENDED: frozenset[JobState] = frozenset({"succeeded", "failed", "cancelled"})


class JobErrorRecord(BaseModel):
    """Why a job failed; the message never holds training text."""

    code: str
    message: str
    param: str | None = None


class JobRecord(Record):
    """A fine-tuning job; see `FineTuningJob` in the openai SDK for the meaning of its fields.

    Attributes:
        hyperparameters: As requested, and as the trainer chose them once it has started.
        requested: The hyperparameters of the request, kept for a second start.
        validated: The files were checked and are fit.
        starts: How often its training has begun since it last made progress.
        reached: The last step that a start went on from.
        started_at: When its training began first.
        examples: Number of examples in its training file, once its files are checked.
        validation_examples: That in its validation file.
        host: Where its model is trained, step by step, instead of here.
        trained_at: Its address, by which clients tell such jobs apart.
    """

    object: Literal["fine_tuning.job"] = "fine_tuning.job"
    model: str
    status: JobState = "validating_files"
    training_file: str
    validation_file: str | None = None
    hyperparameters: Hyperparameters
    requested: Hyperparameters = Field(json_schema_extra={"private": True})
    validated: bool = Field(default=False, json_schema_extra={"private": True})
    starts: int = Field(default=0, json_schema_extra={"private": True})
    reached: int = Field(default=0, json_schema_extra={"private": True})
    started_at: int | None = Field(default=None, json_schema_extra={"private": True})
    examples: int | None = Field(default=None, json_schema_extra={"private": True})
    validation_examples: int | None = Field(default=None, json_schema_extra={"private": True})
    host: Host | None = Field(default=None, json_schema_extra={"private": True})
    trained_at: str | None = None
    method: dict[str, Any]
    seed: int
    user_provided_suffix: str | None = None
    metadata: dict[str, str] | None = None
    fine_tuned_model: str | None = None
    trained_tokens: int | None = None
    estimated_finish: int | None = None
    finished_at: int | None = None
    error: JobErrorRecord | None = None
    result_files: list[str] = Field(default_factory=list)
    integrations: list[Any] = Field(default_factory=list)
    organization_id: Literal["local"] = "local"

    @model_serializer(mode="wrap")
    def _without_empty_host(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out the host of a job that has none: its record stays as it always was."""
        shown: dict[str, Any] = handler(self)
        kept = shown.items()
        return {name: value for name, value in kept if value or name not in _OF_HOSTS}

    def settle(self, hyperparameters: Hyperparameters) -> None:
        """Set these hyperparameters in both places of OpenAI's job object."""
        self.hyperparameters = hyperparameters
        self.method = method_object(self.method_type, hyperparameters)

    @property
    def method_type(self) -> Method:
        """The training method."""
        method: Method = self.method["type"]
        return method

    @property
    def name(self) -> str:
        """What people call the job: the suffix of its model, or its id."""
        return self.user_provided_suffix or self.id

    @property
    def method_label(self) -> str:
        """The training method's short name for people."""
        return METHODS[self.method_type].label


def method_object(method: Method, hyperparameters: Hyperparameters) -> dict[str, Any]:
    """Return the `method` of OpenAI's job object."""
    return {"type": method, method: {"hyperparameters": hyperparameters.model_dump()}}


class EventRecord(Record):
    """Something that happened to a job."""

    object: Literal["fine_tuning.job.event"] = "fine_tuning.job.event"
    job: str = Field(json_schema_extra={"private": True})
    level: Literal["info", "warn", "error"] = "info"
    type: Literal["message", "metrics"] = "message"
    message: str
    data: dict[str, Any] = Field(default_factory=dict)


class Checkpoint(Record):
    """A model of an earlier epoch; it answers under the name `fine_tuned_model_checkpoint`."""

    object: Literal["fine_tuning.job.checkpoint"] = "fine_tuning.job.checkpoint"
    fine_tuning_job_id: str
    fine_tuned_model_checkpoint: str
    step_number: int
    metrics: dict[str, float]
