"""What the training process does for each training method: its encoder, trainer and defaults."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from langchain_finetune.local.training.encoding import Encoder
from langchain_finetune.local.training.preferences import (
    encode_preferences,
    encode_unpaired_preferences,
)
from langchain_finetune.local.training.sequences import Encoded
from langchain_finetune.methods import Method

Numbered = Iterable[tuple[int, Mapping[str, Any]]]
"""Examples of a file, each with the number of its line, from 1."""


@dataclass(frozen=True)
class MethodTraining:
    """How a method trains.

    Attributes:
        trainer: `module:function` that makes the trainer; it is imported only to train, since TRL
            takes seconds. See `trainers.supervised_trainer` for its arguments.
        packs: The loss is a mean over tokens, so that examples may share a row, and batches may
            have any size.
        rate: Its learning rate as a share of the supervised one.
        lora_rate: The same for LoRA; None for the same share.
        examples: Examples that a model should see, repeats counted; None to go by the model.
        own: Defaults of the hyperparameters that not every method has.
    """

    encode: Callable[[Encoder, Numbered], list[Encoded]]
    trainer: str
    packs: bool = False
    rate: float = 1.0
    lora_rate: float | None = None
    examples: int | None = None
    own: Mapping[str, float] = field(default_factory=dict)


TRAINING: Mapping[Method, MethodTraining] = {
    "supervised": MethodTraining(
        encode=Encoder.encode,
        trainer="langchain_finetune.local.training.trainers:supervised_trainer",
        packs=True,
    ),
    # The rate was measured with `nano`, taught right and wrong calculator calls alike: a hundred
    # preferences for the right ones, in 3 epochs, brought 83 right answers of 100 held-out
    # questions to 100. It takes few examples, since it refines what the model can do already. The
    # default of beta is that of Rafailov et al. 2023, section 6. With LoRA nothing was measured; a
    # tenth comes nearer to what others take for it (TRL and Unsloth document 5e-6).
    "dpo": MethodTraining(
        encode=encode_preferences,
        trainer="langchain_finetune.local.training.trainers:dpo_trainer",
        rate=0.3,
        lora_rate=0.1,
        examples=300,
        own={"beta": 0.1},
    ),
    # Its rates are those of DPO. With `nano` and fourteen thumbs, in 5 epochs, the answer that had
    # been less likely for each of eight other questions became the more likely one. The defaults of
    # its own hyperparameters are TRL's; that of `undesirable_weight` is the most, see `plan`.
    "kto": MethodTraining(
        encode=encode_unpaired_preferences,
        trainer="langchain_finetune.local.training.kto:kto_trainer",
        rate=0.3,
        lora_rate=0.1,
        examples=300,
        own={"beta": 0.1, "desirable_weight": 1.0, "undesirable_weight": 1.0},
    ),
}
