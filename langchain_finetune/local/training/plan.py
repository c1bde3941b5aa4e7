"""The training plan: hyperparameters as given, or chosen if they are `auto`."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import ceil, cos, gcd, pi
from typing import Any, TypeVar

from langchain_finetune.local.hardware import SMALL_MODEL
from langchain_finetune.local.training.methods import TRAINING
from langchain_finetune.methods import METHODS, Auto, Hyperparameters, Method

T = TypeVar("T", int, float)

FULL_EXAMPLES = 600
"""Examples that a tiny model should see, repeats counted.

Measured with `nano` on a hundred calculator chats: 4 epochs answered 200 of 200 held-out questions
of the same kind, and more of other kinds than 8 epochs at twice the rate did.
"""

LORA_EXAMPLES = 450
"""The same for a model that knows its language already.

SmolLM2-135M, made for English, called rightly in 24 of 40 held-out questions in five languages
after the first of three epochs of 152 calculator chats (in English in 8 of 8).
"""

CURVE_POINTS = 30
"""About how often metrics are reported."""

SAVE_SECONDS = 300
"""Most seconds of training that are lost when the process is killed, within a long epoch."""

LARGE_MODEL = 3_000_000_000
"""Parameters from which on LoRA gets twice the rank and half the learning rate."""


@dataclass(frozen=True)
class Plan:
    """All settings of a training run; None if not applicable.

    The learning rate is the highest of the run; it falls along a cosine. Each process computes
    `device_batch_size` sequences at once, and `accumulation` times that many in a step. `own` holds
    the hyperparameters that not every method has.
    """

    method: Method
    n_epochs: int
    batch_size: int
    learning_rate_multiplier: float
    lora_rank: int
    lora_alpha: float | None
    lora_targets: tuple[str, ...] | str | None
    load_in_4bit: bool | None
    early_stopping_patience: int | None
    eval_steps: int | None
    packing: bool | None
    learning_rate: float
    device_batch_size: int
    accumulation: int
    processes: int = 1
    own: Mapping[str, Any] = field(default_factory=dict)

    @property
    def hyperparameters(self) -> Hyperparameters:
        """The hyperparameters that were decided, as a job shows them."""
        decided = {name: getattr(self, name, None) for name in Hyperparameters.model_fields}
        return Hyperparameters(**decided | dict(self.own))

    @property
    def lora(self) -> bool:
        """Small matrices are trained and merged afterwards, in place of every weight."""
        return self.lora_rank > 0

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

    def steps_an_epoch(self, sequences: int) -> int:
        """Return the number of steps of an epoch."""
        batches = ceil(sequences / self.device_batch_size)
        return ceil(ceil(batches / self.processes) / self.accumulation)


def make_plan(
    given: Hyperparameters,
    *,
    examples: int,
    parameters: int,
    method: Method = "supervised",
    processes: int = 1,
    undesirable: int = 0,
) -> Plan:
    """Decide how to train, by the size of the data and of the model.

    So many of the examples are `undesirable`, where the method judges them. A batch size that is
    chosen here is a multiple of the `processes`, which share each batch.

    Example:
        >>> make_plan(Hyperparameters(), examples=100, parameters=1_200_000).n_epochs
        6
    """
    defaults = TRAINING[method]
    large = parameters >= LARGE_MODEL
    four_bits = given.load_in_4bit is True
    with_lora = parameters > SMALL_MODEL or four_bits
    rank = _or(given.lora_rank, (32 if large else 16) if with_lora else 0)
    lora = rank > 0
    batch_size = _or(given.batch_size, ceil(min(8, examples) / processes) * processes)
    multiplier = float(_or(given.learning_rate_multiplier, 1.0))
    if defaults.examples or lora:
        epochs = min(ceil((defaults.examples or LORA_EXAMPLES) / examples), 5)
    else:
        epochs = min(max(ceil(FULL_EXAMPLES / examples), 3), 14)
    patience = None if given.early_stopping_patience == "auto" else given.early_stopping_patience
    eval_steps = None if given.eval_steps == "auto" else given.eval_steps
    targets = "all-linear" if given.lora_targets == "auto" else given.lora_targets
    # A step adds up several such parts; `memory.fit_into_memory` divides them further.
    device_batch_size = gcd(batch_size, 32)
    rate, share = full_rate(parameters), defaults.rate
    if lora:
        rate, share = lora_rate(parameters), defaults.lora_rate or defaults.rate
    return Plan(
        method=method,
        n_epochs=_or(given.n_epochs, epochs),
        batch_size=batch_size,
        learning_rate_multiplier=multiplier,
        lora_rank=rank,
        lora_alpha=_or(given.lora_alpha, 2 * rank) if lora else None,
        lora_targets=targets if lora else None,
        load_in_4bit=four_bits or None,
        early_stopping_patience=patience,
        eval_steps=eval_steps,
        packing=given.packing is True if defaults.packs else None,
        learning_rate=multiplier * rate * share,
        device_batch_size=device_batch_size,
        accumulation=batch_size // device_batch_size,
        own={
            name: _or(getattr(given, name), chosen)
            for name, chosen in _own(given, method, examples, undesirable).items()
        },
    )


def _own(
    given: Hyperparameters, method: Method, examples: int, undesirable: int
) -> dict[str, float]:
    """Return the defaults of a method's own hyperparameters.

    What is undesirable weighs at most half as much as what is desirable: an answer that is pushed
    away resembles those that are wanted, in all but a word perhaps. `nano`, taught right and wrong
    calls alike, had 49 of 60 right; after KTO, by the ratio of all weights, 0 (1 : 4), 18 (1 : 1),
    46 (4 : 3, the most that KTO's authors advise), 60 (2 : 1, and 4 : 1).
    """
    own = {name: TRAINING[method].own[name] for name in METHODS[method].own}
    if undesirable and "undesirable_weight" in own:
        desirable = _or(given.desirable_weight, own["desirable_weight"]) * (examples - undesirable)
        own["undesirable_weight"] = round(min(1.0, max(0.05, desirable / undesirable / 2)), 3)
    return own


def warmup_steps(total_steps: int) -> int:
    """Return the number of steps in which the learning rate rises."""
    return min(5, total_steps // 10)


def logging_steps(total_steps: int) -> int:
    """Return the number of steps from one report of metrics to the next."""
    return max(1, round(total_steps / CURVE_POINTS))


def rate_share(step: int, total_steps: int) -> float:
    """Return a step's learning rate as a share of the highest, as transformers' cosine has it.

    Steps count from 0; the first one of a warm-up has a rate of 0.

    Example:
        >>> [rate_share(step, 20) for step in (0, 1, 2, 11)]
        [0.0, 0.5, 1.0, 0.5]
    """
    warmup = warmup_steps(total_steps)
    if step < warmup:
        return step / warmup
    return 0.5 * (1 + cos(pi * (step - warmup) / max(1, total_steps - warmup)))


def full_rate(parameters: int) -> float:
    """Return the default learning rate for training every weight; bigger models want less."""
    return float(min(5e-4, 5e-4 * (2_500_000 / parameters) ** 0.5))


def lora_rate(parameters: int) -> float:
    """Return the default learning rate for LoRA.

    For Llama models, Tinker's cookbook (`hyperparam_utils.get_lr`; Schulman et al. 2025, "LoRA
    Without Regret") has ten times the rate of full training, 5e-4 x (2000 / hidden size)^0.78. By
    the parameters of models of such widths, from 135 M to 8 B, that is this, to a fifth or so. The
    alpha of large models is twice that of these figures, so their rate is half.

    Example:
        >>> [f"{lora_rate(n * 10**6):.0e}" for n in (135, 1_200, 8_000)]
        ['1e-03', '5e-04', '1e-04']
    """
    rate = float(min(1e-3, 5e-4 * (1_200_000_000 / parameters) ** 0.4))
    return rate / 2 if parameters >= LARGE_MODEL else rate


def _or(given: T | Auto, default: T) -> T:
    return default if isinstance(given, str) else given
