"""The training itself, from its beginning or from its last checkpoint.

Importing this module takes seconds: it brings torch, transformers and TRL.
"""

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import set_seed

from langchain_finetune.local.training.checkpoints import (
    History,
    folder_of,
    last_checkpoint,
    measured_at,
    ran_out_of_patience,
    read_history,
)
from langchain_finetune.local.training.plan import Plan
from langchain_finetune.local.training.preferences import Encoded
from langchain_finetune.local.training.progress import TrainingProgress
from langchain_finetune.local.training.trainers import make_trainer


@dataclass(frozen=True)
class Fitted:
    """How far a training has come; its checkpoints lie in the folder for that.

    Attributes:
        history: What was measured on the way.
        steps: Steps that were done.
        steps_an_epoch: Steps of each epoch.
        finished: It came to its end; else it was asked to stop.
    """

    history: History
    steps: int
    steps_an_epoch: int
    finished: bool

    @property
    def epochs(self) -> list[int]:
        """The last step of each epoch that was done."""
        return list(range(self.steps_an_epoch, self.steps + 1, self.steps_an_epoch))


def fit(
    model: Any,
    tokenizer: Any,
    train: Encoded,
    validation: Encoded | None,
    *,
    plan: Plan,
    seed: int,
    work: Path,
    asked_to_stop: threading.Event,
    on_start: Callable[[int, int | None], None],
    on_metrics: Callable[..., None],
) -> Fitted:
    """Train a model; what comes of it are checkpoints.

    Args:
        model: A causal language model of transformers.
        tokenizer: Its tokenizer.
        train: What to train on: sequences, or pairs for DPO.
        validation: What to measure on at the end of each epoch.
        plan: How to train.
        seed: Start of all random numbers.
        work: Folder of the checkpoints; where it has some, training goes on from the last.
        asked_to_stop: Set when the training shall save its state and end.
        on_start: Called with the number of steps, and the step it goes on from or None.
        on_metrics: Called with what `Reporter.metrics` takes.

    Raises:
        TrainingFailure: `training_diverged`, when the loss is no number any more;
            `invalid_hyperparameters`, where LoRA's targets do not fit the model.
    """
    chosen = plan.hyperparameters
    batches = math.ceil(len(train) / plan.device_batch_size)
    steps_an_epoch = math.ceil(math.ceil(batches / plan.processes) / plan.accumulation)
    total = steps_an_epoch * chosen.n_epochs
    last = last_checkpoint(work)
    history = read_history(work, last) if last else []
    on_start(total, last)
    for step in [entry["step"] for entry in history if "loss" in entry]:
        # An engine that was killed may not have heard of them.
        on_metrics(
            step=step,
            total_steps=total,
            epoch=step / steps_an_epoch,
            **measured_at(history, step),
        )
    if last == total or ran_out_of_patience(history, chosen.early_stopping_patience):
        return Fitted(history, last or 0, steps_an_epoch, finished=True)
    # LoRA's matrices are drawn before the trainer sets its seed.
    set_seed(seed)
    trainer = make_trainer(
        model,
        tokenizer,
        train,
        validation,
        plan=plan,
        total_steps=total,
        seed=seed,
        work=work,
        callback=TrainingProgress(
            plan,
            work,
            steps_an_epoch=steps_an_epoch,
            validates=validation is not None,
            asked_to_stop=asked_to_stop,
            on_metrics=on_metrics,
        ),
    )
    trainer.train(resume_from_checkpoint=str(folder_of(work, last)) if last else None)
    state = trainer.state
    finished = state.global_step >= total or ran_out_of_patience(
        state.log_history, chosen.early_stopping_patience
    )
    return Fitted(state.log_history, state.global_step, steps_an_epoch, finished)
