"""How to train: the hyperparameters that were asked for, and good ones where it says `auto`."""

from dataclasses import dataclass
from math import ceil, gcd
from typing import Literal

from langchain_finetune.local.hardware import SMALL_MODEL

Auto = Literal["auto"]

FULL_EXAMPLES = 600
"""Examples that a tiny model should see, repeats counted.

Measured with `nano` on a hundred calculator chats: 4 epochs answered 200 of 200 held-out questions
of the same kind, and more of other kinds than 8 epochs at twice the rate did.
"""

LORA_EXAMPLES = 300
"""The same for a model that knows its language already."""


@dataclass(frozen=True)
class Asked:
    """Hyperparameters as OpenAI's API takes them.

    Attributes:
        n_epochs: How often to go through the examples.
        batch_size: Examples a step.
        learning_rate_multiplier: Factor on the default learning rate.
    """

    n_epochs: int | Auto = "auto"
    batch_size: int | Auto = "auto"
    learning_rate_multiplier: float | Auto = "auto"


@dataclass(frozen=True)
class Hyperparameters:
    """The same, all of them numbers."""

    n_epochs: int
    batch_size: int
    learning_rate_multiplier: float


@dataclass(frozen=True)
class Plan:
    """Everything that was decided about a training run.

    Attributes:
        method: `full` trains every weight, `lora` small matrices that are merged afterwards.
        hyperparameters: As asked for, or chosen.
        learning_rate: The highest of the run; it falls along a cosine.
        device_batch_size: Sequences that are computed at once.
        accumulation: How many of those make a step.
    """

    method: Literal["full", "lora"]
    hyperparameters: Hyperparameters
    learning_rate: float
    device_batch_size: int
    accumulation: int


def make_plan(asked: Asked, *, examples: int, parameters: int) -> Plan:
    """Decide how to train, by the size of the data and of the model.

    Example:
        >>> make_plan(Asked(), examples=100, parameters=1_200_000).hyperparameters
        Hyperparameters(n_epochs=6, batch_size=8, learning_rate_multiplier=1.0)
    """
    full = parameters <= SMALL_MODEL
    batch_size = min(8, examples) if asked.batch_size == "auto" else asked.batch_size
    multiplier = 1.0 if asked.learning_rate_multiplier == "auto" else asked.learning_rate_multiplier
    if asked.n_epochs == "auto":
        wanted = ceil((FULL_EXAMPLES if full else LORA_EXAMPLES) / examples)
        epochs = min(max(wanted, 3), 14) if full else min(wanted, 5)
    else:
        epochs = asked.n_epochs
    # As many sequences at once as memory surely holds; a step adds up several such parts.
    device_batch_size = gcd(batch_size, 32 if full else 2)
    return Plan(
        method="full" if full else "lora",
        hyperparameters=Hyperparameters(epochs, batch_size, float(multiplier)),
        learning_rate=multiplier * (full_rate(parameters) if full else 2e-4),
        device_batch_size=device_batch_size,
        accumulation=batch_size // device_batch_size,
    )


def full_rate(parameters: int) -> float:
    """Return the default learning rate for training every weight; bigger models want less."""
    return float(min(5e-4, 5e-4 * (2_500_000 / parameters) ** 0.5))
