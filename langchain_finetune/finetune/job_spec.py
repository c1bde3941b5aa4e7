"""What a fine-tuning job is asked for."""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from langchain_finetune.convert.jsonl import WrittenFile

Auto = Literal["auto"]


class Hyperparameters(BaseModel):
    """Hyperparameters of fine-tuning, as OpenAI's API names them.

    Attributes:
        n_epochs: How often each example is seen, 1 to 50.
        batch_size: Examples of one step, 1 to 256.
        learning_rate_multiplier: Scales the engine's own learning rate.
        beta: Of preference pairs only: how closely the model keeps to its base, above 0 to 2; a
            greater one keeps closer.
        lora_rank: Of the embedded engine: rank of LoRA's matrices; 0 trains all weights.
        lora_alpha: Of the embedded engine: scales what LoRA's matrices add.
        lora_targets: Of the embedded engine: names of the layers that get them.
        early_stopping_patience: Of the embedded engine: ends after so many epochs without a lower
            validation loss.
        packing: Of the embedded engine: several examples share a row, in place of padding.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    n_epochs: Auto | Annotated[int, Field(ge=1, le=50)] = "auto"
    batch_size: Auto | Annotated[int, Field(ge=1, le=256)] = "auto"
    learning_rate_multiplier: Auto | Annotated[float, Field(gt=0)] = "auto"
    beta: Auto | Annotated[float, Field(gt=0, le=2)] = "auto"
    lora_rank: Auto | Annotated[int, Field(ge=0)] = "auto"
    lora_alpha: Auto | Annotated[float, Field(gt=0)] = "auto"
    lora_targets: Auto | str | tuple[str, ...] = "auto"
    early_stopping_patience: Auto | Annotated[int, Field(ge=1)] = "auto"
    packing: Auto | bool = "auto"


@dataclass(frozen=True)
class JobSpec:
    """All that a job is made from.

    Attributes:
        model: The base.
        training: The spooled training file.
        validation: The spooled validation file, if any.
        hyperparameters: Those that are not left to the engine.
        suffix: Goes into the new model's name.
        seed: For the engine.
        metadata: Written to the job at the engine; strings only.
        method: `supervised`, or `dpo` for pairs of preference.
        extra_body: Further fields of the request, as this engine names them.
    """

    model: str
    training: WrittenFile
    validation: WrittenFile | None = None
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    suffix: str | None = None
    seed: int | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    method: Literal["supervised", "dpo"] = "supervised"
    extra_body: dict[str, Any] = field(default_factory=dict)
