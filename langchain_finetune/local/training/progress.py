"""What happens along a training: metrics are told, checkpoints kept, and the end is decided.

A checkpoint is written at the end of every epoch, and now and then within long ones, so that a
training that was killed goes on from there. Validation is measured before each epoch's checkpoint.
"""

import math
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from accelerate.utils import broadcast_object_list
from transformers import TrainerCallback

from langchain_finetune.local.training.checkpoints import (
    COMPLETE,
    checkpoint_steps,
    folder_of,
    kept,
    measures,
    ran_out_of_patience,
)
from langchain_finetune.local.training.events import TrainingFailure
from langchain_finetune.local.training.plan import Plan

SAVE_SECONDS = 300
"""Most seconds of training that are lost when the process is killed, within a long epoch."""

_RESUMING = ("optimizer.pt", "scheduler.pt", "scaler.pt")
"""What only the newest checkpoint needs; the optimizer's state is twice as large as the weights."""


class TrainingProgress(TrainerCallback):  # type: ignore[misc]  # transformers is not typed
    """Follows a training.

    Args:
        plan: How it is trained.
        work: Folder of the checkpoints.
        steps_an_epoch: Steps of each epoch.
        validates: There is a validation file.
        asked_to_stop: Set when the training shall save its state and end.
        on_metrics: Called with what `Reporter.metrics` takes.
    """

    def __init__(
        self,
        plan: Plan,
        work: Path,
        *,
        steps_an_epoch: int,
        validates: bool,
        asked_to_stop: threading.Event,
        on_metrics: Callable[..., None],
    ) -> None:
        self._patience = plan.hyperparameters.early_stopping_patience
        self._work = work
        self._steps_an_epoch = steps_an_epoch
        self._validates = validates
        self._asked_to_stop = asked_to_stop
        self._on_metrics = on_metrics
        self._training: dict[str, float] | None = None
        self._saved_at = time.monotonic()

    def on_step_end(self, _args: Any, state: Any, control: Any, **_: Any) -> None:
        """Decide what follows a step."""
        if state.global_step % self._steps_an_epoch == 0:
            control.should_log = True
            control.should_evaluate = self._validates
            control.should_save = True
        late = time.monotonic() - self._saved_at > SAVE_SECONDS
        # All processes must do as the first one: they save and end together.
        late, stop = broadcast_object_list([late, self._asked_to_stop.is_set()])
        if late or stop:
            control.should_save = True
        if stop:
            control.should_training_stop = True

    def on_log(
        self, _args: Any, state: Any, control: Any, logs: dict[str, float], **_: Any
    ) -> None:
        """Tell metrics; those of a step wait for the validation that comes just after it."""
        if "loss" in logs:
            if not math.isfinite(logs["loss"]):
                raise TrainingFailure(
                    "training_diverged",
                    f"The loss was no number at step {state.global_step}: take a smaller"
                    " learning_rate_multiplier.",
                )
            self._training = logs
            if not control.should_evaluate:
                self._tell(state, {})
        elif "eval_loss" in logs:
            self._tell(state, logs)

    def on_evaluate(self, _args: Any, state: Any, control: Any, **_: Any) -> None:
        """Stop where validation has not become better for long enough."""
        if ran_out_of_patience(state.log_history, self._patience):
            control.should_training_stop = True

    def on_save(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
        """Mark the checkpoint as whole; forget those that nobody will ask for."""
        self._saved_at = time.monotonic()
        if not state.is_world_process_zero:
            return
        folder = folder_of(self._work, state.global_step)
        (folder / COMPLETE).touch()
        keep = {*kept(state.log_history, self._epochs(state)), state.global_step}
        for step in checkpoint_steps(self._work):
            if step not in keep:
                # A process that is killed in here must not leave half of one that counts.
                (folder_of(self._work, step) / COMPLETE).unlink()
                shutil.rmtree(folder_of(self._work, step), ignore_errors=True)
            elif step != state.global_step:
                for name in _RESUMING:
                    (folder_of(self._work, step) / name).unlink(missing_ok=True)

    def _epochs(self, state: Any) -> list[int]:
        return list(range(self._steps_an_epoch, state.global_step + 1, self._steps_an_epoch))

    def _tell(self, state: Any, validation: dict[str, float]) -> None:
        if self._training is None:
            return
        self._on_metrics(
            step=state.global_step,
            total_steps=state.max_steps,
            epoch=state.epoch,
            **measures(self._training, validation),
        )
        self._training = None
