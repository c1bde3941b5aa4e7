"""A fine-tuning job and its events, with the fields of OpenAI's objects."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from langchain_finetune.local.records import Record

Status = Literal["validating_files", "queued", "running", "succeeded", "failed", "cancelled"]

ENDED: frozenset[Status] = frozenset({"succeeded", "failed", "cancelled"})


class Hyperparameters(BaseModel):
    """What steers the training; "auto" until the trainer has chosen."""

    n_epochs: int | Literal["auto"] = "auto"
    batch_size: int | Literal["auto"] = "auto"
    learning_rate_multiplier: float | Literal["auto"] = "auto"


class JobError(BaseModel):
    """Why a job failed; the message never holds training text."""

    code: str
    message: str
    param: str | None = None


class Job(Record):
    """A fine-tuning job; see `FineTuningJob` in the openai SDK for the meaning of its fields.

    Attributes:
        requested: The hyperparameters as they were asked for, kept for a second start.
    """

    object: Literal["fine_tuning.job"] = "fine_tuning.job"
    model: str
    status: Status = "validating_files"
    training_file: str
    validation_file: str | None = None
    hyperparameters: Hyperparameters
    requested: Hyperparameters = Field(json_schema_extra={"private": True})
    method: dict[str, Any] = Field(default_factory=dict)
    seed: int
    user_provided_suffix: str | None = None
    metadata: dict[str, str] | None = None
    fine_tuned_model: str | None = None
    trained_tokens: int | None = None
    estimated_finish: int | None = None
    finished_at: int | None = None
    error: JobError | None = None
    result_files: list[str] = Field(default_factory=list)
    integrations: list[Any] = Field(default_factory=list)
    organization_id: Literal["local"] = "local"

    def settle(self, hyperparameters: Hyperparameters) -> None:
        """Show these hyperparameters, in both places where OpenAI's API has them."""
        self.hyperparameters = hyperparameters
        self.method = {
            "type": "supervised",
            "supervised": {"hyperparameters": hyperparameters.model_dump()},
        }


class Event(Record):
    """Something that happened to a job.

    Attributes:
        job: The job's id.
    """

    object: Literal["fine_tuning.job.event"] = "fine_tuning.job.event"
    job: str = Field(json_schema_extra={"private": True})
    level: Literal["info", "warn", "error"] = "info"
    type: Literal["message", "metrics"] = "message"
    message: str
    data: dict[str, Any] = Field(default_factory=dict)
