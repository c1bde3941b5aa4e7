"""Checkpoints of a training on disk, and their metrics. Does not import torch.

They are transformers' own folders, `checkpoint-N` after step N. One counts only once it holds the
file `complete`: a process may be killed while it writes.
"""

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from langchain_finetune.local.training.events import Measures

COMPLETE = "complete"

OPTIMIZERS = ("optimizer.pt", "optimizer.bin")
"""A training goes on from a checkpoint that has one, which is twice as large as the weights; the
second is that of processes that share a model out."""

LAST_EPOCHS = 3
"""Epochs whose checkpoints are offered as models (OpenAI's fine-tuning guide)."""

MEASURES = {
    "loss": "loss",
    "mean_token_accuracy": "mean_token_accuracy",
    "rewards/accuracies": "reward_accuracy",
    "rewards/margins": "reward_margin",
}
"""Names of measures in TRL's logs and in `Measures`, there after `train_` or `valid_`; the last two
are DPO's."""

History = Sequence[Mapping[str, Any]]
"""What transformers logs: `{"step", "epoch", "loss", ...}` and `{"step", "eval_loss", ...}`."""


def folder_of(work: Path, step: int) -> Path:
    """Return the folder of the checkpoint of a step."""
    return work / f"checkpoint-{step}"


def checkpoint_steps(work: Path) -> list[int]:
    """Return the steps of all complete checkpoints, in order."""
    return sorted(int(mark.parent.name[11:]) for mark in work.glob(f"checkpoint-*/{COMPLETE}"))


def resumable_steps(work: Path) -> list[int]:
    """Return the steps of the checkpoints that a training can go on from, in order."""
    return [
        step
        for step in checkpoint_steps(work)
        if any((folder_of(work, step) / name).exists() for name in OPTIMIZERS)
    ]


def last_checkpoint(work: Path, *, tidy: bool = True) -> int | None:
    """Return the step of the last checkpoint to go on from; to `tidy`, remove incomplete ones.

    On another machine than that which wrote it, a complete one may look incomplete for a while.
    """
    for folder in work.glob("checkpoint-*") if tidy else ():
        if not (folder / COMPLETE).exists():
            shutil.rmtree(folder, ignore_errors=True)
    steps = resumable_steps(work)
    return steps[-1] if steps else None


def set_aside(work: Path, step: int | None) -> bool:
    """Let a checkpoint, on which a training broke, count no longer; return whether it did.

    It does not, and is kept, where a later one shows that the training got further.
    """
    if step is None or resumable_steps(work)[-1:] != [step]:
        return False
    (folder_of(work, step) / COMPLETE).unlink()
    return True


def read_history(work: Path, step: int) -> History:
    """Return the log up to a checkpoint."""
    state = json.loads((folder_of(work, step) / "trainer_state.json").read_text())
    return list(state["log_history"])


def best(history: History) -> int | None:
    """Return the step with the lowest validation loss; None if no validation loss is finite.

    Example:
        >>> best([{"step": 2, "eval_loss": 0.5}, {"step": 4, "eval_loss": 0.7}])
        2
    """
    validated = [entry for entry in history if math.isfinite(entry.get("eval_loss", math.nan))]
    return min(validated, key=lambda entry: entry["eval_loss"])["step"] if validated else None


def kept(history: History, epochs: Sequence[int]) -> list[int]:
    """Return the steps of the checkpoints to keep: those of the last epochs, and the best.

    `epochs` are the last steps of all epochs so far.
    """
    found = {best(history), *epochs[-LAST_EPOCHS:]}
    return sorted(step for step in found if step is not None)


def ran_out_of_patience(history: History, patience: int | None) -> bool:
    """Return whether the lowest validation loss is at least `patience` validations ago."""
    validated = [entry["step"] for entry in history if "eval_loss" in entry]
    if patience is None or not validated:
        return False
    lowest = best(history)
    since = len(validated) if lowest is None else len(validated) - 1 - validated.index(lowest)
    return since >= patience


def measures(training: Mapping[str, float], validation: Mapping[str, float]) -> dict[str, float]:
    """Return log entries of training and validation as fields of `Measures`.

    Example:
        >>> measures({"loss": 0.5}, {"eval_loss": 0.6})
        {'train_loss': 0.5, 'valid_loss': 0.6}
    """
    return {
        f"{part}_{ours}": entry[prefix + theirs]
        for part, entry, prefix in (("train", training, ""), ("valid", validation, "eval_"))
        for theirs, ours in MEASURES.items()
        if prefix + theirs in entry
    }


def measured_at(history: History, step: int) -> Measures:
    """Return the metrics of a step."""

    def entry(name: str) -> Mapping[str, Any]:
        return next((each for each in history if each["step"] == step and name in each), {})

    return Measures(step=step, **measures(entry("loss"), entry("eval_loss")))
