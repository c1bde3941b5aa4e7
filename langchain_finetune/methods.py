"""Training methods and hyperparameters: the one table that every room reads.

A new method begins with its row of `METHODS`; `tests/unit/test_methods.py` names what it lacks.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import (
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from langchain_finetune.arguments import CheckedArguments

Auto = Literal["auto"]

Method = Literal["supervised", "dpo", "kto"]
"""A training method, by its name in OpenAI's fine-tuning API; OpenAI itself has no `kto`."""

LineKind = Literal["supervised", "preference", "unpaired_preference", "completion"]
"""What a line of a training file holds: a chat whose answers are trained on, a pair of answers, a
chat and whether its last answer is desirable, or a prompt and its completion."""

MAX_EPOCHS = 50

_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_ALWAYS_SHOWN = frozenset({"n_epochs", "batch_size", "learning_rate_multiplier"})


class Hyperparameters(CheckedArguments):
    """Hyperparameters of fine-tuning; `auto` leaves the choice to the engine.

    They are named as in OpenAI's API, where null means `auto`, too. As a document the model holds
    OpenAI's first three always and the others where they were given or chosen.

    Example:
        >>> Hyperparameters(n_epochs=3, lora_rank=8).model_dump(exclude_defaults=True)
        {'n_epochs': 3, 'lora_rank': 8}
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    n_epochs: Annotated[int, Field(ge=1, le=MAX_EPOCHS)] | Auto = Field(
        default="auto",
        title="Epochs",
        description="How often each example is seen. Default: chosen by the number of examples.",
    )
    batch_size: Annotated[int, Field(ge=1, le=256)] | Auto = Field(
        default="auto",
        title="Batch size",
        description="Examples of one step. Default of the embedded engine: 8.",
    )
    learning_rate_multiplier: _Positive | Auto = Field(
        default="auto",
        title="Learning rate multiplier",
        description="Scales the engine's own learning rate. Default of the embedded engine: 1.",
    )
    beta: Annotated[float, Field(gt=0, le=2)] | Auto = Field(
        default="auto",
        title="Beta of DPO and KTO",
        description="Methods dpo and kto only: how closely the model keeps to its base; a higher"
        " value keeps closer. Default of the embedded engine: 0.1.",
    )
    desirable_weight: _Positive | Auto = Field(
        default="auto",
        title="Weight of desirable answers",
        description="Method kto only: scales the loss of desirable answers. Default of the embedded"
        " engine: 1.",
    )
    undesirable_weight: _Positive | Auto = Field(
        default="auto",
        title="Weight of undesirable answers",
        description="Method kto only: scales the loss of undesirable answers. Default of the"
        " embedded engine: 1, or less: they weigh at most half as much as the desirable ones.",
    )
    lora_rank: Annotated[int, Field(ge=0)] | Auto = Field(
        default="auto",
        title="LoRA rank",
        description="Embedded engine only: rank of LoRA's matrices; 0 trains all weights. Default:"
        " 0 up to 100 M parameters, 16 up to 3 B, 32 from there on.",
    )
    lora_alpha: _Positive | Auto = Field(
        default="auto",
        title="LoRA alpha",
        description="Embedded engine only: scales what LoRA's matrices add, divided by the rank."
        " Default: twice the rank.",
    )
    lora_targets: Annotated[tuple[str, ...], Field(min_length=1)] | str = Field(
        default="auto",
        title="LoRA targets",
        description="Embedded engine only: ends of the names of the layers that get matrices, or"
        " all-linear. Default: all-linear.",
    )
    load_in_4bit: bool | Auto = Field(
        default="auto",
        title="Base in 4 bits",
        description="Embedded engine only: QLoRA, which holds the base's weights in 4 bits while"
        " LoRA trains; it takes less memory, and longer. Needs the extra qlora. Default: false.",
    )
    early_stopping_patience: Annotated[int, Field(ge=1)] | Auto = Field(
        default="auto",
        title="Early stopping patience",
        description="Embedded engine only: stop after so many validations without a lower loss"
        " (epochs, unless eval_steps is given). Default: no early stop.",
    )
    eval_steps: Annotated[int, Field(ge=1)] | Auto = Field(
        default="auto",
        title="Steps between validations",
        description="Embedded engine only: measure on the validation file every so many steps, too;"
        " the best of all becomes the model. Default: at the end of each epoch.",
    )
    packing: bool | Auto = Field(
        default="auto",
        title="Packing",
        description="Embedded engine only, method supervised: put the examples of a batch in one"
        " row, in place of padding; they do not see each other. Default: false.",
    )

    @model_validator(mode="before")
    @classmethod
    def _null_means_auto(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        return {name: value for name, value in given.items() if value is not None}

    @model_serializer(mode="wrap")
    def _without_defaults(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        shown = _ALWAYS_SHOWN | self.model_fields_set
        return {name: value for name, value in handler(self).items() if name in shown}


def read_targets(text: str) -> tuple[str, ...] | str:
    """Return `lora_targets` as people write them: names with commas between, or `all-linear`.

    Example:
        >>> read_targets("q_proj, v_proj"), read_targets("q_proj"), read_targets("all-linear")
        (('q_proj', 'v_proj'), ('q_proj',), 'all-linear')
    """
    names = tuple(name for each in text.split(",") if (name := each.strip()))
    return text.strip() if names in {(), ("auto",), ("all-linear",)} else names


@dataclass(frozen=True)
class TrainingMethod:
    """One training method, as all rooms know it.

    The rooms keep what they need besides in one table each: `checks.methods.CHECKS` by kind of
    line, `local.training.methods.TRAINING` by method.
    """

    name: Method
    lines: tuple[LineKind, ...]
    """Kinds of line that it trains on; the embedded engine takes the first."""
    label: str
    words: str
    """What it does, as a choice on the page."""
    loss_unit: str
    own: frozenset[str] = frozenset()
    """Names of its hyperparameters that not every method has."""
    least_batch: int = 1
    """Fewest examples of a step."""


METHODS: Mapping[Method, TrainingMethod] = {
    "supervised": TrainingMethod(
        name="supervised",
        lines=("supervised", "completion"),
        label="supervised",
        words="Supervised: learn the answers",
        loss_unit="nats per token",
    ),
    "dpo": TrainingMethod(
        name="dpo",
        lines=("preference",),
        label="DPO",
        words="DPO: prefer one answer to another",
        loss_unit="nats per pair",
        own=frozenset({"beta"}),
    ),
    "kto": TrainingMethod(
        name="kto",
        lines=("unpaired_preference",),
        label="KTO",
        words="KTO: learn from thumbs up and thumbs down",
        loss_unit="loss per answer",
        own=frozenset({"beta", "desirable_weight", "undesirable_weight"}),
        # An answer is compared with those to the other prompts of its step.
        least_batch=2,
    ),
}


def method_of(lines: LineKind) -> TrainingMethod:
    """Return the method that trains on lines of a kind.

    Example:
        >>> method_of("preference").name
        'dpo'
    """
    return next(method for method in METHODS.values() if lines in method.lines)


def foreign(method: str, names: Iterable[str]) -> list[str]:
    """Return the names of hyperparameters that only other methods have.

    Example:
        >>> foreign("supervised", ["n_epochs", "beta"])
        ['beta']
    """
    owners = [(other, name) for other in METHODS.values() for name in other.own]
    own = {name for other, name in owners if other.name == method}
    return [name for name in names if name in {name for _, name in owners} - own]
