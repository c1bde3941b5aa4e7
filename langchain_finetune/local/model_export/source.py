"""Where a model's files are, and writing them as one folder of transformers' form."""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from langchain_finetune.errors import FineTuningError
from langchain_finetune.local.base_models import weight_files

_SETTINGS = ("*.json", "*.jinja", "*.model", "*.txt")
"""Configuration, tokenizer and chat template, whatever the tokenizer's kind."""

_OF_WEIGHTS = ("model.safetensors.index.json", "adapter_config.json")


class ModelFiles(BaseModel):
    """Where the files of a model are, as the engine tells it.

    Attributes:
        id: The model's name; of an alias, that of its target.
        folder: Its folder.
        base: Name of the base that it was trained on; None for a base.
        base_folder: The base's folder or hub id, where it has an adapter.
        adapter: Folder of its LoRA adapter for that base, if it has one.
    """

    model_config = ConfigDict(extra="ignore")

    id: str
    folder: Path
    base: str | None = None
    base_folder: str | None = None
    adapter: Path | None = None


def write_model(files: ModelFiles, target: Path) -> None:
    """Write the whole model to an empty folder; an adapter alone is merged into its base.

    Raises:
        FineTuningError: Neither weights nor an adapter with its base are there.
    """
    if weights := weight_files(files.folder):
        index = files.folder / "model.safetensors.index.json"
        _copy([*weights, *([index] if index.exists() else [])], target)
    elif files.adapter and files.base_folder:
        _merge(files.base_folder, files.adapter, target)
    else:
        raise FineTuningError(f"The model {files.id!r} has no weights in its folder.")
    write_settings(files, target)


def write_adapter(files: ModelFiles, target: Path) -> None:
    """Write the LoRA adapter, and the tokenizer that it was trained with, to an empty folder.

    Raises:
        FineTuningError: The model has none.
    """
    if files.adapter is None:
        why = (
            "is a base model"
            if files.base is None
            else "was trained with all its weights, or on another fine-tuned model"
        )
        raise FineTuningError(
            f"The model {files.id!r} has no LoRA adapter: it {why}. Export it whole: --format hf."
        )
    _copy(files.adapter.glob("adapter_*"), target)
    for path in (target / "config.json", target / "generation_config.json"):
        path.unlink(missing_ok=True)
    write_settings(files, target, without=("config.json", "generation_config.json"))


def write_settings(files: ModelFiles, target: Path, without: Iterable[str] = ()) -> None:
    """Add the model's configuration, tokenizer and chat template, where they are not there yet.

    A model that is an adapter may have left some of them to its base.
    """
    skipped = {*_OF_WEIGHTS, *without}
    base = Path(files.base_folder) if files.base_folder else None
    for folder in (files.folder, *([base] if base and base.is_dir() else [])):
        found = [path for pattern in _SETTINGS for path in folder.glob(pattern)]
        _copy((path for path in found if path.name not in skipped), target)


def end_texts(folder: Path) -> list[str]:
    """Return the texts that end an answer, of a model's folder.

    Example:
        >>> from langchain_finetune.local.base_models import find_base
        >>> end_texts(find_base("nano"))
        ['<|im_end|>']
    """
    from transformers import AutoTokenizer, GenerationConfig  # noqa: PLC0415 - slow

    tokenizer = AutoTokenizer.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False
    )
    ends = [tokenizer.eos_token_id]
    if (folder / GENERATION).is_file():
        advised = GenerationConfig.from_pretrained(folder).eos_token_id
        ends += advised if isinstance(advised, list) else [advised]
    return list(dict.fromkeys(tokenizer.decode([end]) for end in ends if end is not None))


GENERATION = "generation_config.json"


def settings_in(folder: Path, name: str) -> dict[str, object]:
    """Return a JSON file of a model's folder; nothing if it has none."""
    path = folder / name
    found = json.loads(path.read_bytes()) if path.is_file() else {}
    return found if isinstance(found, dict) else {}


def chat_template(folder: Path) -> str:
    """Return a model's chat template; empty if it has none."""
    path = folder / "chat_template.jinja"
    if path.is_file():
        return path.read_text("utf-8")
    return str(settings_in(folder, "tokenizer_config.json").get("chat_template") or "")


def _copy(paths: Iterable[Path], target: Path) -> None:
    for path in paths:
        if path.is_file() and not (target / path.name).exists():
            shutil.copyfile(path, target / path.name)


def _merge(base: str, adapter: Path, target: Path) -> None:
    import torch  # noqa: PLC0415 - of the extra
    from peft import PeftModel  # noqa: PLC0415
    from transformers import AutoConfig, AutoModelForCausalLM  # noqa: PLC0415

    given = AutoConfig.from_pretrained(base, trust_remote_code=False).dtype
    # Merging rounds, so it is done in 32 bits.
    whole = AutoModelForCausalLM.from_pretrained(
        base, dtype=torch.float32, use_safetensors=True, trust_remote_code=False
    )
    merged = PeftModel.from_pretrained(whole, adapter).merge_and_unload()
    merged.config.use_cache = True
    merged.to(given or torch.bfloat16).save_pretrained(target)
