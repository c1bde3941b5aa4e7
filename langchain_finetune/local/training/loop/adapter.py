"""A LoRA adapter from a host, written as PEFT reads it."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2
import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from langchain_finetune.durable import flush
from langchain_finetune.local.training.checkpoints import best
from langchain_finetune.local.training.events import TrainingFailure
from langchain_finetune.local.training.loop.base import HostedBase
from langchain_finetune.local.training.loop.host import HostUnavailableError, TrainingHost
from langchain_finetune.local.training.loop.position import Position
from langchain_finetune.local.training.spec import Spec

WEIGHTS = "adapter_model.safetensors"
CONFIGURATION = "adapter_config.json"

_DOWNLOAD_S = 60.0


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


def download(urls: Mapping[str, str], folder: Path) -> Mapping[str, Any]:
    """Write the files of an adapter from their signed addresses; return its configuration.

    Raises:
        HostUnavailableError: A file does not come.
        TrainingFailure: `invalid_weights`: the files of an adapter are not among them.
    """
    if not {WEIGHTS, CONFIGURATION} <= set(urls):
        raise TrainingFailure(
            "invalid_weights", "The weights that the host exported are not a LoRA adapter."
        )
    for name in (WEIGHTS, CONFIGURATION):
        try:
            with (
                httpx2.stream(
                    "GET", urls[name], timeout=_DOWNLOAD_S, follow_redirects=True
                ) as answer,
                (folder / name).open("wb") as file,
            ):
                answer.raise_for_status()
                for part in answer.iter_bytes():
                    file.write(part)
        except httpx2.HTTPError as error:
            # Its text has the signed address.
            raise HostUnavailableError(f"{type(error).__name__} for {name}") from None
    flush(folder / WEIGHTS)
    try:
        found = orjson.loads((folder / CONFIGURATION).read_bytes())
    except ValueError as error:
        raise TrainingFailure(
            "invalid_weights", "The configuration of the adapter at the host is not valid JSON."
        ) from error
    return found if isinstance(found, dict) else {}
