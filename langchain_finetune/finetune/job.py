"""What a fine-tuning job is asked for, and what is told of it while it runs."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from langchain_finetune.convert.jsonl import WrittenFile

Auto = Literal["auto"]


class Hyperparameters(BaseModel):
    """Hyperparameters of supervised fine-tuning, as OpenAI's API names them.

    Attributes:
        n_epochs: How often each example is seen, 1 to 50.
        batch_size: Examples of one step, 1 to 256.
        learning_rate_multiplier: Scales the engine's own learning rate.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    n_epochs: Auto | Annotated[int, Field(ge=1, le=50)] = "auto"
    batch_size: Auto | Annotated[int, Field(ge=1, le=256)] = "auto"
    learning_rate_multiplier: Auto | Annotated[float, Field(gt=0)] = "auto"


@dataclass(frozen=True)
class JobSpec:
    """All that a job is made from.

    Attributes:
        model: The base.
        training: The spooled training file.
        validation: The spooled validation file, if any.
        hyperparameters: Those that are not left to the engine.
        suffix: Goes into the new model's name.
        seed: For the engine.
        metadata: Written to the job at the engine; strings only.
    """

    model: str
    training: WrittenFile
    validation: WrittenFile | None = None
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    suffix: str | None = None
    seed: int | None = None
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class JobCreated:
    """News: the engine has made the job; from now on it may cost."""

    job_id: str
    base_url: str
    model: str
    training_sha256: str
    training_path: Path


@dataclass(frozen=True)
class JobProgress:
    """News: the job has gone on.

    Attributes:
        job_id: The job.
        status: Its state now; the set is open.
        message: The engine's words for an event, if one came.
        data: The event's figures, such as `{"step": 10, "train_loss": 0.4}`.
    """

    job_id: str
    status: str
    message: str | None = None
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class EngineSilent:
    """News: the engine did not answer this time; the wait goes on.

    Attributes:
        job_id: The job.
    """

    job_id: str


News = JobCreated | JobProgress | EngineSilent


def progress_of(news: JobProgress | EngineSilent) -> JobProgress:
    """Return news as progress, which is what callers are told."""
    if isinstance(news, EngineSilent):
        return JobProgress(news.job_id, "the engine does not answer, trying again")
    return news


@dataclass(frozen=True)
class FinishedJob:
    """A job that ended well.

    Attributes:
        job_id: The job.
        fine_tuned_model: Name of the new model.
        trained_tokens: How many tokens were trained on, where the engine says it.
    """

    job_id: str
    fine_tuned_model: str
    trained_tokens: int | None
