"""Jobs as every engine reports them: status, events, checkpoints and files."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from langchain_finetune.methods import Method

ENDED = frozenset({"succeeded", "failed", "cancelled"})
"""Final states; a job in any other state, even an unknown one, is not finished."""

Listed = TypeVar("Listed")


@dataclass(frozen=True)
class JobStatus:
    """The status of a job.

    Attributes:
        job_id: Id of the job.
        status: Its state, such as `queued`, `running` or `succeeded`; new ones may be added.
        fine_tuned_model: Name of the fine-tuned model, when available.
        trained_tokens: Number of trained tokens, if reported.
        error_code: The engine's error code of a failure; new ones may be added.
        error_message: The engine's error message of a failure.
        created_at: Time of creation, in seconds since 1970.
        finished_at: Time of the end, in seconds since 1970.
        result_files: Ids of the result files, which contain its metrics.
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
        """Whether the job is finished; a successful one is once its model has a name."""
        return self.status in ENDED and (
            self.status != "succeeded" or self.fine_tuned_model is not None
        )


@dataclass(frozen=True)
class JobEvent:
    """An event of a job.

    Attributes:
        id: The engine's id of the event.
        created_at: Time of the event, in seconds since 1970.
        level: `info`, `warn` or `error`.
        type: `message`, or `metrics` if `data` contains metrics.
        message: The engine's message.
        data: Metrics such as `{"step": 10, "train_loss": 0.4}`.
    """

    id: str
    created_at: int
    level: str
    type: str
    message: str
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class JobCheckpoint:
    """A checkpoint of a job.

    Attributes:
        id: The engine's id of the checkpoint.
        step: Step of the checkpoint.
        model: Name of its model.
        metrics: Metrics of that step, such as `{"valid_loss": 0.4}`.
    """

    id: str
    step: int
    model: str
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class JobProgress:
    """Progress of a job.

    Attributes:
        job_id: Id of the job.
        status: Its current state; new ones may be added.
        message: Message of an event, if there is one.
        data: Metrics of the event, such as `{"step": 10, "train_loss": 0.4}`.
        event_id: Id of the event. A process that is killed while reporting an event reports it
            again after a restart, with the same id.
        level: Level of the event: `info`, `warn` or `error`.
    """

    job_id: str
    status: str
    message: str | None = None
    data: dict[str, Any] = field(default_factory=dict)
    event_id: str | None = None
    level: str = "info"


@dataclass(frozen=True)
class EngineSilent:
    """The engine did not respond, perhaps about an awaited job; the request is retried."""

    job_id: str | None = None


@dataclass(frozen=True)
class RemoteJob:
    """A job as its engine reports it; it asks to be polled again after `hint_s` seconds.

    `trained_at` is the address of the host at which the embedded engine trains it.
    """

    status: JobStatus
    base_model: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    hint_s: float = 0.0
    trained_at: str | None = None

    @property
    def id(self) -> str:
        """The job's id."""
        return self.status.job_id


@dataclass(frozen=True)
class NewJob:
    """A request to create a job, from the ids of its uploaded files.

    It holds the hyperparameters that the engine should not choose itself, the metadata by which the
    job is found again, and engine-specific fields of the request (`extra_body`).
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
    """A training file at an engine; `size` is in bytes."""

    id: str
    name: str | None = None
    size: int | None = None
    usable: bool = True


@dataclass(frozen=True)
class ListPage(Generic[Listed]):
    """A page of a list, newest first; `after` is the cursor of the next page, None at the end."""

    entries: list[Listed] = field(default_factory=list)
    after: str | None = None


RecordKind = Literal["models", "jobs", "events", "checkpoints", "completions", "messages"]
"""What an account has: models and jobs; events and checkpoints of a job; stored chat completions of
a model, and the messages of one."""


@dataclass(frozen=True)
class ApiRecord:
    """An object as the engine's API gives it, with fields that this package does not know."""

    id: str
    fields: dict[str, Any]


@dataclass(frozen=True)
class DownloadedFile:
    """A file on this machine: SHA-256 in hex, and size in bytes."""

    sha256: str
    size: int


@dataclass(frozen=True)
class ModelEnd:
    """The last days of a model, with the source of the dates.

    Attributes:
        stops: When it stops answering.
        source: Where that is announced.
        training_stops: When its base can no longer be trained, if known.
    """

    stops: dt.date
    source: str
    training_stops: dt.date | None = None


def figures_of(row: Mapping[Any, Any]) -> dict[str, float]:
    """Return the numeric values of a row."""
    figures: dict[str, float] = {}
    for name, value in row.items():
        try:
            figures[str(name)] = float(value)
        except (TypeError, ValueError):
            continue
    return figures
