"""What is told of a job: its state, its events, its checkpoints."""

from dataclasses import dataclass, field
from typing import Any

ENDED = frozenset({"succeeded", "failed", "cancelled"})
"""States after which nothing follows; any other, also one that is not known, goes on."""


@dataclass(frozen=True)
class JobStatus:
    """How a job stands.

    Attributes:
        job_id: The job.
        status: Its state, such as `queued`, `running` or `succeeded`; the set is open.
        fine_tuned_model: Name of the new model, once there is one.
        trained_tokens: How many tokens were trained on, where the engine says it.
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

    @classmethod
    def of(cls, job: Any) -> "JobStatus":
        """Return the state that an object of the SDK tells; servers may leave fields out."""
        # An empty error object of a good job is truthy in the SDK, so the code decides.
        error = getattr(job, "error", None)
        return cls(
            job_id=job.id,
            status=str(job.status),
            fine_tuned_model=getattr(job, "fine_tuned_model", None) or None,
            trained_tokens=getattr(job, "trained_tokens", None),
            error_code=getattr(error, "code", None),
            error_message=getattr(error, "message", None),
            created_at=getattr(job, "created_at", None),
            finished_at=getattr(job, "finished_at", None),
            result_files=tuple(getattr(job, "result_files", None) or ()),
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

    @classmethod
    def of(cls, event: Any) -> "JobEvent":
        """Return the event that an object of the SDK tells; servers may leave fields out."""
        data = getattr(event, "data", None)
        return cls(
            id=event.id,
            created_at=getattr(event, "created_at", None) or 0,
            level=getattr(event, "level", None) or "info",
            type=getattr(event, "type", None) or "message",
            message=getattr(event, "message", None) or "",
            data=data if isinstance(data, dict) else {},
        )


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

    @classmethod
    def of(cls, checkpoint: Any) -> "JobCheckpoint":
        """Return the checkpoint that an object of the SDK tells."""
        figures = getattr(checkpoint, "metrics", None)
        metrics = figures.to_dict() if figures else {}
        return cls(
            id=checkpoint.id,
            step=checkpoint.step_number,
            model=checkpoint.fine_tuned_model_checkpoint,
            metrics={name: value for name, value in metrics.items() if value is not None},
        )


@dataclass(frozen=True)
class JobProgress:
    """News: the job has gone on.

    Attributes:
        job_id: The job.
        status: Its state now; the set is open.
        message: The engine's words for an event, if one came.
        data: The event's figures, such as `{"step": 10, "train_loss": 0.4}`.
        event_id: Names the event. A process that is killed while it is told of an event is told
            of it again after the restart, under the same id.
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
