"""A LoRA adapter from a host, written as PEFT reads it."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from langchain_finetune.local.training.checkpoints import best
from langchain_finetune.local.training.events import TrainingFailure
from langchain_finetune.local.training.loop.base import HostedBase
from langchain_finetune.local.training.loop.host import TrainingHost
from langchain_finetune.local.training.loop.position import Position
from langchain_finetune.local.training.spec import Spec

WEIGHTS = "adapter_model.safetensors"
CONFIGURATION = "adapter_config.json"


class AdapterConfiguration(BaseModel):
    """The settings of a LoRA adapter that say how it is merged; what else a host sends is left out.

    Source: PEFT's `LoraConfig`.
    """

    model_config = ConfigDict(extra="ignore")

    r: int = Field(ge=1, le=4096)
    lora_alpha: float = Field(gt=0)
    target_modules: list[str] | str
    rank_pattern: dict[str, int] = Field(default_factory=dict)
    alpha_pattern: dict[str, float] = Field(default_factory=dict)
    use_rslora: bool = False


def bring_home(spec: Spec, base: HostedBase, host: TrainingHost, position: Position) -> None:
    """Fetch the adapter of the best checkpoint, and write the model that it makes of its base."""
    from langchain_finetune.local.training.export import export  # noqa: PLC0415 - seconds

    chosen = best(position.history) or max(position.exports)
    folder = spec.work / "adapter"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    _write(folder, host.fetch(position.exports[chosen], folder), spec.name)
    shutil.rmtree(spec.partial, ignore_errors=True)
    export(
        folder,
        spec.partial / "model",
        base.tokenizer,
        base=spec.base,
        name=spec.name,
        dtype=base.config.dtype,
        lora=True,
    )
    spec.partial.rename(spec.output)


def _write(folder: Path, given: Mapping[str, Any], base: str) -> None:
    """Write the configuration of an adapter beside its weights.

    Raises:
        TrainingFailure: `invalid_weights`: it is not that of a LoRA adapter.
    """
    try:
        settings = AdapterConfiguration.model_validate(given)
    except ValidationError as error:
        raise TrainingFailure(
            "invalid_weights",
            "The weights that the host exported are not a LoRA adapter in PEFT's format.",
        ) from error
    config = settings.model_dump() | {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
    }
    (folder / CONFIGURATION).write_text(json.dumps(config, indent=2))
