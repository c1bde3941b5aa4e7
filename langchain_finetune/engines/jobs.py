"""Jobs as every engine reports them: status, events, checkpoints and files."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from langchain_finetune.methods import Method

ENDED = frozenset({"succeeded", "failed", "cancelled"})
"""States after which nothing follows; any other, also an unknown one, goes on."""

Listed = TypeVar("Listed")


@dataclass(frozen=True)
class JobStatus:
    """The state of a job.

    Attributes:
        job_id: The job.
        status: Its state, such as `queued`, `running` or `succeeded`; the set is open.
        fine_tuned_model: Name of the new model, once there is one.
        trained_tokens: How many tokens were trained on, where the engine reports it.
        error_code: The engine's reason for a failure; the set is open.
        error_message: The engine's sentence for it.
        created_at: When it was made, in seconds since 1970.
        finished_at: When it ended, in seconds since 1970.
        result_files: Ids of the files with its metrics.
    """

    job_id: str
    status: str
    fine_tuned_model: str | None = None
    trained_tokens: int | None = None
    error_code: str | None = None
    error_message: str | None = None
    created_at: int | None = None
    finished_at: int | None = None
    result_files: tuple[str, ...] = ()

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to it; a success counts once its model has a name."""
        return self.status in ENDED and (
            self.status != "succeeded" or self.fine_tuned_model is not None
        )


@dataclass(frozen=True)
class JobEvent:
    """Something that happened to a job.

    Attributes:
        id: Names the event at the engine.
        created_at: When it happened, in seconds since 1970.
        level: `info`, `warn` or `error`.
        type: `message`, or `metrics` where `data` holds figures.
        message: The engine's words.
        data: Figures such as `{"step": 10, "train_loss": 0.4}`.
    """

    id: str
    created_at: int
    level: str
    type: str
    message: str
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class JobCheckpoint:
    """A model that was kept on the way.

    Attributes:
        id: Names the checkpoint at the engine.
        step: After how many steps it was kept.
        model: Its name, to chat with.
        metrics: Figures at that step, such as `{"valid_loss": 0.4}`.
    """

    id: str
    step: int
    model: str
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class JobProgress:
    """News: the job has gone on.

    Attributes:
        job_id: The job.
        status: Its state now; the set is open.
        message: The engine's words for an event, if one came.
        data: The event's figures, such as `{"step": 10, "train_loss": 0.4}`.
        event_id: Names the event. A process that is killed while it reports an event reports it
            again after the restart, under the same id.
    """

    job_id: str
    status: str
    message: str | None = None
    data: dict[str, Any] = field(default_factory=dict)
    event_id: str | None = None


@dataclass(frozen=True)
class EngineSilent:
    """News: the engine did not answer this time; it is asked again.

    Attributes:
        job_id: The job that is waited for, None while there is none.
    """

    job_id: str | None = None


@dataclass(frozen=True)
class RemoteJob:
    """A job as its engine keeps it.

    Attributes:
        status: Its state.
        base_model: What is fine-tuned, where the engine says it.
        metadata: What was written to it when it was created; empty where none is kept.
        hint_s: Seconds after which the engine wants to be asked again.
    """

    status: JobStatus
    base_model: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    hint_s: float = 0.0

    @property
    def id(self) -> str:
        """The job's id."""
        return self.status.job_id


@dataclass(frozen=True)
class NewJob:
    """What an engine is asked to create a job from.

    Attributes:
        model: The base.
        training_file: Id of the uploaded training file, once it is uploaded.
        validation_file: Id of the uploaded validation file, if any.
        method: The training method.
        hyperparameters: Those that are not left to the engine.
        suffix: Goes into the new model's name.
        seed: Seed of the training.
        metadata: Written to the job, so that it is found again.
        extra_body: Further fields of the request, as this engine names them.
    """

    model: str
    training_file: str = ""
    validation_file: str | None = None
    method: Method = "supervised"
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    suffix: str | None = None
    seed: int | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    extra_body: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class UploadedFile:
    """A training file at an engine.

    Attributes:
        id: Names the file at the engine.
        name: The name that it was uploaded under.
        size: Its bytes.
        usable: Whether a job can be created from it.
    """

    id: str
    name: str | None = None
    size: int | None = None
    usable: bool = True


@dataclass(frozen=True)
class ListPage(Generic[Listed]):
    """A part of a list, newest first.

    Attributes:
        entries: The entries.
        after: What to ask for the next page with; None at the end.
    """

    entries: list[Listed] = field(default_factory=list)
    after: str | None = None


def figures_of(row: Mapping[Any, Any]) -> dict[str, float]:
    """Return what is a number in a row."""
    figures: dict[str, float] = {}
    for name, value in row.items():
        try:
            figures[str(name)] = float(value)
        except (TypeError, ValueError):
            continue
    return figures
