"""What a fine-tuning job is asked for."""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from langchain_finetune.convert.jsonl import WrittenFile

Auto = Literal["auto"]


class Hyperparameters(BaseModel):
    """Hyperparameters of supervised fine-tuning, as OpenAI's API names them.

    Attributes:
        n_epochs: How often each example is seen, 1 to 50.
        batch_size: Examples of one step, 1 to 256.
        learning_rate_multiplier: Scales the engine's own learning rate.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    n_epochs: Auto | Annotated[int, Field(ge=1, le=50)] = "auto"
    batch_size: Auto | Annotated[int, Field(ge=1, le=256)] = "auto"
    learning_rate_multiplier: Auto | Annotated[float, Field(gt=0)] = "auto"


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
    """

    model: str
    training: WrittenFile
    validation: WrittenFile | None = None
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    suffix: str | None = None
    seed: int | None = None
    metadata: dict[str, str] = field(default_factory=dict)
