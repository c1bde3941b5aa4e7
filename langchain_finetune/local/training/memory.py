"""How many sequences a training computes at once, by the memory that they were measured to take.

A probe computes one step of the longest sequence. Activations of more grow with their number, and
the gradients and the optimizer's state are known, so what so many would take follows. The number
is divided until they fit into the half of the device that is for training; where not even one
does, activations are computed again in place of being kept. The steps stay as they are.

Importing this module takes a second: it brings torch.
"""

import resource
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch

from langchain_finetune.local.hardware import device, model_memory

_STATE = 3
"""Bytes of gradients and of AdamW's two moments, as a multiple of the trained weights' bytes."""


@dataclass(frozen=True)
class Need:
    """Bytes that a training takes: `fixed` for itself, and `each` for each sequence at once.

    Example:
        >>> Need(fixed=100, each=50).most(8, allowed=320)
        4
        >>> Need(fixed=100, each=50).most(8, allowed=90) is None
        True
    """

    fixed: int
    each: int

    def most(self, number: int, allowed: int) -> int | None:
        """Return the largest divisor of `number` sequences that fits; None if not even one does."""
        divisors = (n for n in range(number, 0, -1) if number % n == 0)
        return next((n for n in divisors if self.fixed + n * self.each <= allowed), None)


def fit_into_memory(trainer: Any, longest: int, *, processes: int) -> None:
    """Set how many sequences a trainer computes at once; its weights stay as they are.

    `longest` is the place of the longest example in its training data.
    """
    settings = trainer.args
    number = settings.per_device_train_batch_size
    allowed = model_memory() // (processes if device() == "cpu" else 1)
    need = _measured(trainer, longest)
    at_once = need and need.most(number, allowed)
    if not at_once:
        settings.activation_checkpointing = True
        trainer.model.activation_checkpointing_enable()
        # Without it, nothing that is trained would be an input of what is computed again.
        trainer.model.enable_input_require_grads()
        need = _measured(trainer, longest)
        # Half of the memory is not all of it: one may do.
        at_once = (need and need.most(number, allowed)) or 1
    if at_once < number or settings.activation_checkpointing:
        again = ", activations computed again" if settings.activation_checkpointing else ""
        sys.stderr.write(f"By memory, {at_once} of {number} sequences at once{again}.\n")
    settings.per_device_train_batch_size = trainer._train_batch_size = at_once  # noqa: SLF001
    settings.per_device_eval_batch_size = at_once
    settings.gradient_accumulation_steps *= number // at_once


def _measured(trainer: Any, longest: int) -> Need | None:
    """Compute a step of one example; None if the device has too little memory for it."""
    model = trainer.model.train()
    trained = sum(each.nbytes for each in model.parameters() if each.requires_grad)
    batch = trainer._prepare_inputs(trainer.data_collator([trainer.train_dataset[longest]]))  # noqa: SLF001
    before = _taken(reset=True)
    try:
        # A dropout must not change what the seed draws later.
        with torch.random.fork_rng(), trainer.accelerator.autocast():
            trainer.compute_loss(model, batch).backward()
        peak = _taken()
    except torch.OutOfMemoryError:
        return None
    finally:
        model.zero_grad(set_to_none=True)
        # TRL's measures of steps; this was none.
        trainer._metrics["train"].clear()  # noqa: SLF001
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    return Need(fixed=before + _STATE * trained, each=max(peak - before, 1))


def _taken(*, reset: bool = False) -> int:
    """Return the most memory taken since the last reset; with `reset`, what is taken now."""
    where = device()
    if where == "cuda":
        if reset:
            torch.cuda.reset_peak_memory_stats()
        return int(torch.cuda.max_memory_allocated())
    if where == "mps":
        if reset:
            torch.mps.empty_cache()
        return int(torch.mps.driver_allocated_memory())
    if reset:
        # Linux forgets the highest mark; elsewhere it may be one of before, which errs on the
        # safe side.
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
        return int(psutil.Process().memory_info().rss)
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return highest if sys.platform == "darwin" else highest * 1024
