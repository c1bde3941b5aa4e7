"""How many sequences a training computes at once, by the memory that they were measured to take.

A probe computes one step of the longest sequence. Activations of more grow with their number, and
the gradients and the optimizer's state are known, so what so many would take follows. The number
is divided until they fit into the half of the device that is for training; where not even one
does, activations are computed again in place of being kept. The steps stay as they are.

Importing this module takes a second: it brings torch.
"""

import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import gcd
from pathlib import Path
from typing import Any

import psutil
import torch
from accelerate.utils import gather_object

from langchain_finetune.local.hardware import device, model_memory, trains_in_bfloat16
from langchain_finetune.local.training.plan import Plan

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
    at_once = _least(need.most(number, allowed) if need else None, processes)
    if not at_once:
        settings.activation_checkpointing = True
        trainer.model.activation_checkpointing_enable()
        # Without it, nothing that is trained would be an input of what is computed again.
        trainer.model.enable_input_require_grads()
        need = _measured(trainer, longest)
        # Half of the memory is not all of it: one may do.
        at_once = _least(need.most(number, allowed) if need else None, processes) or 1
    if at_once < number or settings.activation_checkpointing:
        again = ", activations computed again" if settings.activation_checkpointing else ""
        sys.stderr.write(f"By memory, {at_once} of {number} sequences at once{again}.\n")
    settings.per_device_train_batch_size = trainer._train_batch_size = at_once  # noqa: SLF001
    settings.per_device_eval_batch_size = at_once
    settings.gradient_accumulation_steps *= number // at_once


def must_be_shared_out(plan: Plan, parameters: int) -> bool:
    """Return whether processes have to share a model out (FSDP2), since one GPU can't hold it.

    By the bytes of weights, and of gradients and AdamW's moments of those that are trained. Bases
    in 4 bits can't be shared out.
    """
    if plan.processes == 1 or plan.load_in_4bit or device() != "cuda":
        return False
    weight = 2 if plan.lora and trains_in_bfloat16() else 4
    return parameters * (weight if plan.lora else weight * (1 + _STATE)) > model_memory()


def _least(here: int | None, processes: int) -> int:
    """Return what each of the processes that train together can take: they have to do the same."""
    if processes == 1:
        return here or 0
    found = gather_object([here or 0])
    # All are divisors of the same number.
    return gcd(*found) if all(found) else 0


@contextmanager
def _by_itself(accelerator: Any) -> Iterator[None]:
    """Let a process count alone: where memory runs out, it is not there for the others."""
    names = ("gather", "gather_for_metrics")
    for name in names:
        setattr(accelerator, name, lambda given: given)
    try:
        yield
    finally:
        for name in names:
            delattr(accelerator, name)


def _measured(trainer: Any, longest: int) -> Need | None:
    """Compute a step of one example; None if the device has too little memory for it."""
    model = trainer.model.train()
    trained = sum(each.nbytes for each in model.parameters() if each.requires_grad)
    batch = trainer._prepare_inputs(trainer.data_collator([trainer.train_dataset[longest]]))  # noqa: SLF001
    before = _taken(reset=True)
    try:
        # A dropout must not change what the seed draws later.
        accelerator = trainer.accelerator
        with torch.random.fork_rng(), accelerator.autocast(), _by_itself(accelerator):
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
