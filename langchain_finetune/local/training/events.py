"""What the training process tells the engine: one JSON object a line on standard output.

```text
{"event": "settings", "hyperparameters": {"n_epochs": 3, ...}, "trained_tokens": 5400,
 "total_steps": 39, "examples": 100, "method": "full", "resumed_from": null}
{"event": "metrics", "step": 1, "total_steps": 39, "epoch": 0.08, "train_loss": 2.1,
 "train_mean_token_accuracy": 0.5}
{"event": "done", "trained_tokens": 5400, "step": 26, "checkpoints": [{"step": 13,
 "train_loss": 0.4, ...}, ...]}
{"event": "stopped", "step": 20}
{"event": "failed", "code": "example_too_long", "message": "Line 7 ..."}
```

The last line is `done` or `stopped`, with exit status 0, or `failed`, with another. A process that
was killed says none of them. A helper, which trains along on another GPU, says nothing at all: its
exit status `OUT_OF_MEMORY` is what tells.
"""

import errno
import json
import sys
import traceback
from collections.abc import Mapping
from dataclasses import asdict
from types import TracebackType
from typing import Any, Self, TextIO

from langchain_finetune.local.training.plan import Plan

OUT_OF_MEMORY = errno.ENOMEM
"""Exit status of a training process for which memory did not suffice."""

LESS_MEMORY = "take a batch_size of 1, LoRA (lora_rank 8), shorter examples or a smaller base model"
"""What to do where memory does not suffice."""

_NO_MEMORY = ("out of memory", "allocate memory", "not enough memory", "alloc_failed")
"""How PyTorch says so without a class of its own: for CPUs, Apple's GPUs, CUDA's libraries."""


_DISK_FULL = ("no space left", "disk quota exceeded", "pytorchstreamwriter", "unexpected pos")
"""How safetensors and PyTorch, which raise no `OSError`, say that a file could not be written."""


class TrainingFailure(Exception):  # noqa: N818 - a job's end, not a fault of the program
    """A reason for which a job can't be done, told to its owner.

    Args:
        code: Stable name of the reason, such as `invalid_training_file`.
        message: One sentence that never quotes training text.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Reporter:
    """Writes the events; as a context, it also tells how the work within it failed.

    Args:
        stream: Where the lines go.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._failed = ""

    @property
    def status(self) -> int:
        """Exit status of a process that has reported this."""
        if not self._failed:
            return 0
        return OUT_OF_MEMORY if self._failed == "out_of_memory" else 1

    def settings(
        self,
        plan: Plan,
        *,
        trained_tokens: int,
        total_steps: int,
        examples: int,
        resumed_from: int | None,
    ) -> None:
        """Tell what will be done; what was `auto` is a number here.

        Args:
            plan: How it is trained.
            trained_tokens: Tokens of all epochs.
            total_steps: Steps of all epochs.
            examples: Lines of the training file.
            resumed_from: Steps that an earlier process had done; None for a new training.
        """
        self._write(
            "settings",
            hyperparameters=_given(asdict(plan.hyperparameters)),
            trained_tokens=trained_tokens,
            total_steps=total_steps,
            examples=examples,
            method="lora" if plan.lora else "full",
            resumed_from=resumed_from,
        )

    def metrics(
        self, *, step: int, total_steps: int, epoch: float, **measures: float | None
    ) -> None:
        """Tell how far training is, and how well it goes since the metrics before.

        Args:
            step: Steps that are done.
            total_steps: Steps of all epochs.
            epoch: Epochs that are done.
            **measures: What was measured, as `checkpoints.measures` names it.
        """
        self._write("metrics", step=step, total_steps=total_steps, epoch=epoch, **_given(measures))

    def stopped(self, *, step: int) -> None:
        """Tell that the training has saved its state and ended, as it was asked to."""
        self._write("stopped", step=step)

    def done(
        self, *, trained_tokens: int, step: int, checkpoints: Mapping[int, Mapping[str, Any]]
    ) -> None:
        """Tell that the model lies at its place.

        Args:
            trained_tokens: Tokens that were trained on, repeats counted.
            step: Step of the checkpoint that became the model.
            checkpoints: Steps of all checkpoints that are kept, and what was measured there.
        """
        told = [{"step": step, **_given(measured)} for step, measured in checkpoints.items()]
        self._write("done", trained_tokens=trained_tokens, step=step, checkpoints=told)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        """Report an error and hold it; the caller sees that `done` was never said."""
        if isinstance(error, TrainingFailure):
            self._failed = error.code
            self._write("failed", code=error.code, message=error.message)
        elif isinstance(error, Exception):
            code, told = _explained(error)
            self._failed = code
            self._write("failed", code=code, message=f"Training {told}.")
            _log(error, trace)
        return isinstance(error, Exception)

    def _write(self, event: str, **fields: object) -> None:
        self._stream.write(json.dumps({"event": event, **fields}) + "\n")
        self._stream.flush()


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _explained(error: Exception) -> tuple[str, str]:
    """Return a code and the end of a sentence that begins with `Training`."""
    if _is_out_of_memory(error):
        return "out_of_memory", f"ran out of memory: {LESS_MEMORY}"
    if _is_disk_full(error):
        return "insufficient_disk_space", "filled the disk: delete files or models"
    name = type(error).__name__
    return "internal_error", f"stopped on an error ({name}); the job's trainer.log has more"


def _is_out_of_memory(error: Exception) -> bool:
    # torch's class is named, not imported: the error may come before torch does.
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    said = str(error).lower()
    return isinstance(error, RuntimeError) and any(sign in said for sign in _NO_MEMORY)


def _is_disk_full(error: Exception) -> bool:
    if isinstance(error, OSError):
        return error.errno in {errno.ENOSPC, errno.EDQUOT}
    # safetensors' class is named, not imported: the error may come before the library does.
    writes = isinstance(error, RuntimeError) or type(error).__name__ == "SafetensorError"
    return writes and any(sign in str(error).lower() for sign in _DISK_FULL)


def _log(error: Exception, trace: TracebackType | None) -> None:
    traceback.print_tb(trace)
    # Other errors may quote what they stumbled over, and training text must not be logged.
    quotable = isinstance(error, OSError | RuntimeError | ImportError)
    sys.stderr.write(f"{type(error).__name__}{f': {error}' if quotable else ''}\n")
