"""What the training process reports to the engine: one JSON object a line on standard output.

```text
{"event": "settings", "hyperparameters": {"n_epochs": 3, ...}, "trained_tokens": 5400,
 "total_steps": 39, "examples": 100, "method": "full", "resumed_from": null}
{"event": "metrics", "step": 1, "total_steps": 39, "epoch": 0.08, "train_loss": 2.1,
 "train_mean_token_accuracy": 0.5}
{"event": "done", "trained_tokens": 5400, "step": 26, "checkpoints": [{"step": 13,
 "train_loss": 0.4, ...}, ...]}
{"event": "waiting", "reason": "the host has no capacity now"}
{"event": "stopped", "step": 20}
{"event": "failed", "code": "example_too_long", "message": "Line 7 ..."}
```

The last line is `done` or `stopped`, with exit status 0, or `failed`, with another. A process that
was killed writes none of them. A helper, which trains along on another GPU, writes nothing at all:
its exit status `OUT_OF_MEMORY` has to do.
"""

import errno
import math
import sys
import traceback
from typing import Annotated, Any, Literal, Self, TextIO

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from langchain_finetune.methods import Hyperparameters

OUT_OF_MEMORY = errno.ENOMEM
"""Exit status of a training process that ran out of memory."""

LESS_MEMORY = (
    "take a batch_size of 1, LoRA (lora_rank 8), load_in_4bit, shorter examples or a smaller base"
    " model"
)
"""What to do about it."""

WORKER_LOST = "worker_lost"
"""Code of a failure after which a training goes on from its last checkpoint: one of the processes
that train together is gone."""

_CONNECTION_LOST = ("gloo/transport", "connection closed by peer", "connection reset by peer")
"""How gloo says so, without a class of its own; `torch.distributed` has `DistError` for NCCL."""

_NO_MEMORY = ("out of memory", "allocate memory", "not enough memory", "alloc_failed")
"""How PyTorch says so without a class of its own: for CPUs, Apple's GPUs, CUDA's libraries."""

_DISK_FULL = ("no space left", "disk quota exceeded", "pytorchstreamwriter", "unexpected pos")
"""How safetensors and PyTorch, which raise no `OSError`, say that a file could not be written."""


class Started(BaseModel):
    """What was decided before the first step; its tokens and steps are those of all epochs.

    The method is `lora`, `qlora` or `full`; `resumed_from` are the steps that an earlier process
    had done.
    """

    event: Literal["settings"] = "settings"
    hyperparameters: Hyperparameters
    trained_tokens: int
    total_steps: int
    examples: int
    method: str
    resumed_from: int | None = None


class Measures(BaseModel):
    """What was measured at one step, by the names of `checkpoints.MEASURES`."""

    model_config = ConfigDict(extra="allow", ser_json_inf_nan="constants")
    __pydantic_extra__: dict[str, float | None]

    step: int

    def data(self) -> dict[str, Any]:
        """Return the numbers that JSON can represent; a loss may be infinite or NaN."""
        found = self.model_dump(exclude={"event"})
        return {name: n for name, n in found.items() if n is not None and math.isfinite(n)}


class Metrics(Measures):
    """How far training is (epochs are those done), and how well since the metrics before."""

    event: Literal["metrics"] = "metrics"
    total_steps: int
    epoch: float | None = None


class Done(BaseModel):
    """The models are in the output folder: the checkpoint of `step`, and others that are kept.

    Of the trained tokens, repeats count. Models that stay at the host of a training loop have their
    names there in `hosted`, by step.
    """

    event: Literal["done"] = "done"
    trained_tokens: int
    step: int
    checkpoints: list[Measures]
    hosted: dict[int, str] = Field(default_factory=dict)


class Waiting(BaseModel):
    """The host of a training loop does not go on now; without a reason, it goes on again."""

    event: Literal["waiting"] = "waiting"
    reason: str | None = None


class Stopped(BaseModel):
    """The training has saved its state and stopped on request."""

    event: Literal["stopped"] = "stopped"
    step: int


class Failed(BaseModel):
    """The training has failed for a known reason."""

    event: Literal["failed"] = "failed"
    code: str
    message: str


TrainingEvent = Started | Metrics | Waiting | Done | Stopped | Failed

EVENTS: TypeAdapter[TrainingEvent] = TypeAdapter(
    Annotated[TrainingEvent, Field(discriminator="event")]
)
"""Reads a line of the report."""


class TrainingFailure(Exception):  # noqa: N818 - a job's end, not a fault of the program
    """A reason for which a job can't be done, reported to its owner.

    The code is one such as `invalid_training_file`; the message never quotes training text.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Reporter:
    """Writes the events; as a context, it also reports how the work within it failed."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._failed = ""

    @property
    def status(self) -> int:
        """Exit status of a process that has reported this."""
        if not self._failed:
            return 0
        return OUT_OF_MEMORY if self._failed == "out_of_memory" else 1

    def report(self, event: TrainingEvent) -> None:
        """Write an event."""
        self._stream.write(event.model_dump_json() + "\n")
        self._stream.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        """Report an error and hold it; the caller sees that there was no `done`."""
        if not isinstance(error, Exception):
            return False
        if isinstance(error, TrainingFailure):
            code, message = error.code, error.message
        else:
            code, message = _explained(error)
            _log(error)
        self._failed = code
        self.report(Failed(code=code, message=message))
        return True


def _explained(error: Exception) -> tuple[str, str]:
    """Return the code and the message of an unexpected error."""
    if _is_out_of_memory(error):
        return "out_of_memory", f"Training ran out of memory: {LESS_MEMORY}."
    if _is_disk_full(error):
        return "insufficient_disk_space", "Training filled the disk: delete files or models."
    if _is_connection_lost(error):
        return WORKER_LOST, "The connection to another process of this training was lost."
    name = type(error).__name__
    return "internal_error", f"Training stopped on an error ({name}); see the job's trainer.log."


def _is_out_of_memory(error: Exception) -> bool:
    # torch's class is named, not imported: the error may come before torch does.
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    message = str(error).lower()
    return isinstance(error, RuntimeError) and any(sign in message for sign in _NO_MEMORY)


def _is_disk_full(error: Exception) -> bool:
    if isinstance(error, OSError):
        return error.errno in {errno.ENOSPC, errno.EDQUOT}
    # safetensors' class is named, not imported: the error may come before the library does.
    writes = isinstance(error, RuntimeError) or type(error).__name__ == "SafetensorError"
    return writes and any(sign in str(error).lower() for sign in _DISK_FULL)


def _is_connection_lost(error: Exception) -> bool:
    if not isinstance(error, RuntimeError):
        return False
    kinds = {kind.__name__ for kind in type(error).__mro__}
    return "DistError" in kinds or any(sign in str(error).lower() for sign in _CONNECTION_LOST)


def _log(error: Exception) -> None:
    traceback.print_tb(error.__traceback__)
    # Other errors may quote what they stumbled over, and training text must not be logged.
    quotable = isinstance(error, OSError | RuntimeError | ImportError)
    sys.stderr.write(f"{type(error).__name__}{f': {error}' if quotable else ''}\n")
