"""How to train: the hyperparameters that were asked for, and good ones where it says `auto`."""

from dataclasses import dataclass, replace
from math import ceil, gcd
from typing import Literal, TypeVar

from langchain_finetune.local.hardware import SMALL_MODEL

Auto = Literal["auto"]
Method = Literal["supervised", "dpo"]
T = TypeVar("T", int, float)

FULL_EXAMPLES = 600
"""Examples that a tiny model should see, repeats counted.

Measured with `nano` on a hundred calculator chats: 4 epochs answered 200 of 200 held-out questions
of the same kind, and more of other kinds than 8 epochs at twice the rate did.
"""

LORA_EXAMPLES = 300
"""The same for a model that knows its language already."""

DPO_EXAMPLES = 300
"""The same for preferences, whatever the model: they refine what it can do already."""

DPO_BETA = 0.1
"""How closely DPO stays with the model it starts from (Rafailov et al. 2023, section 6)."""

DPO_RATE = 0.3
"""DPO's learning rate as a share of the supervised one.

Measured with `nano`, taught right and wrong calculator calls alike: a hundred preferences for the
right ones, in 3 epochs, brought 83 right answers of 100 held-out questions to 100.
"""

LARGE_MODEL = 3_000_000_000
"""Parameters from which on LoRA gets twice the rank and half the learning rate."""


@dataclass(frozen=True)
class Asked:
    """Hyperparameters as the API takes them: OpenAI's, and this engine's own.

    Attributes:
        n_epochs: How often to go through the examples.
        batch_size: Examples a step.
        learning_rate_multiplier: Factor on the default learning rate.
        beta: How closely DPO stays with the model it starts from.
        lora_rank: Rank of LoRA's matrices; 0 trains every weight instead.
        lora_alpha: Scale of LoRA's matrices, divided by the rank.
        lora_targets: Names of the layers that get matrices, or `all-linear`.
        early_stopping_patience: Stop after so many epochs without a lower validation loss.
        packing: Several examples share a row, in place of padding; see `packing`.
    """

    n_epochs: int | Auto = "auto"
    batch_size: int | Auto = "auto"
    learning_rate_multiplier: float | Auto = "auto"
    beta: float | Auto = "auto"
    lora_rank: int | Auto = "auto"
    lora_alpha: float | Auto = "auto"
    lora_targets: list[str] | str = "auto"
    early_stopping_patience: int | Auto = "auto"
    packing: bool | Auto = "auto"


@dataclass(frozen=True)
class Hyperparameters:
    """The same, decided; None where it does not apply."""

    n_epochs: int
    batch_size: int
    learning_rate_multiplier: float
    beta: float | None
    lora_rank: int
    lora_alpha: float | None
    lora_targets: list[str] | str | None
    early_stopping_patience: int | None
    packing: bool | None = None


@dataclass(frozen=True)
class Plan:
    """Everything that was decided about a training run.

    Attributes:
        method: What is learnt from: answers, or preferences between two.
        hyperparameters: As asked for, or chosen.
        learning_rate: The highest of the run; it falls along a cosine.
        device_batch_size: Sequences that a process computes at once.
        accumulation: How many of those, in each process, make a step.
        processes: How many train together.
    """

    method: Method
    hyperparameters: Hyperparameters
    learning_rate: float
    device_batch_size: int
    accumulation: int
    processes: int = 1

    def shared_by(self, processes: int) -> "Plan":
        """Return the plan for so many processes; the batch must be a multiple of them."""
        sequences = self.device_batch_size * self.accumulation // processes
        at_once = gcd(sequences, self.device_batch_size)
        return replace(
            self,
            device_batch_size=at_once,
            accumulation=sequences // at_once,
            processes=processes,
        )

    @property
    def lora(self) -> bool:
        """Small matrices are trained and merged afterwards, in place of every weight."""
        return self.hyperparameters.lora_rank > 0


def make_plan(
    asked: Asked, *, examples: int, parameters: int, method: Method = "supervised"
) -> Plan:
    """Decide how to train, by the size of the data and of the model.

    Args:
        asked: Hyperparameters of the job.
        examples: Lines of the training file.
        parameters: The base model's.
        method: What is learnt from.

    Example:
        >>> make_plan(Asked(), examples=100, parameters=1_200_000).hyperparameters.n_epochs
        6
    """
    rank = _or(asked.lora_rank, _default_rank(parameters))
    lora = rank > 0
    batch_size = _or(asked.batch_size, min(8, examples))
    multiplier = _or(asked.learning_rate_multiplier, 1.0)
    epochs = _or(asked.n_epochs, _default_epochs(examples, lora=lora, method=method))
    patience = None if asked.early_stopping_patience == "auto" else asked.early_stopping_patience
    targets = "all-linear" if asked.lora_targets == "auto" else asked.lora_targets
    # As many sequences at once as memory surely holds; a step adds up several such parts.
    device_batch_size = gcd(batch_size, 2 if parameters > SMALL_MODEL else 32)
    rate = _lora_rate(parameters) if lora else full_rate(parameters)
    return Plan(
        method=method,
        hyperparameters=Hyperparameters(
            n_epochs=epochs,
            batch_size=batch_size,
            learning_rate_multiplier=float(multiplier),
            beta=_or(asked.beta, DPO_BETA) if method == "dpo" else None,
            lora_rank=rank,
            lora_alpha=_or(asked.lora_alpha, 2 * rank) if lora else None,
            lora_targets=targets if lora else None,
            early_stopping_patience=patience,
            packing=asked.packing is True if method == "supervised" else None,
        ),
        learning_rate=multiplier * rate * (DPO_RATE if method == "dpo" else 1),
        device_batch_size=device_batch_size,
        accumulation=batch_size // device_batch_size,
    )


def full_rate(parameters: int) -> float:
    """Return the default learning rate for training every weight; bigger models want less."""
    return float(min(5e-4, 5e-4 * (2_500_000 / parameters) ** 0.5))


def _lora_rate(parameters: int) -> float:
    return 2e-4 if parameters < LARGE_MODEL else 1e-4


def _default_rank(parameters: int) -> int:
    if parameters <= SMALL_MODEL:
        return 0
    return 16 if parameters < LARGE_MODEL else 32


def _default_epochs(examples: int, *, lora: bool, method: Method) -> int:
    if method == "dpo":
        return min(ceil(DPO_EXAMPLES / examples), 5)
    if lora:
        return min(ceil(LORA_EXAMPLES / examples), 5)
    return min(max(ceil(FULL_EXAMPLES / examples), 3), 14)


def _or(given: T | Auto, default: T) -> T:
    return default if isinstance(given, str) else given
