"""From checkpoints to models that transformers, and so this engine's serving, can load."""

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any

from peft import PeftModel
from transformers import AutoModelForCausalLM
from trl.chat_template_utils import add_response_schema

from langchain_finetune.local.hardware import has_fast_bfloat16
from langchain_finetune.local.models import ADAPTER


def export(
    checkpoint: Path,
    target: Path,
    tokenizer: Any,
    *,
    base: str,
    name: str,
    dtype: Any,
    lora: bool,
) -> None:
    """Write the model of a checkpoint, with LoRA's matrices merged in and also beside it.

    Args:
        checkpoint: The trainer's folder.
        target: Folder of the model; it is made here.
        tokenizer: Saved with it, together with how the model writes tool calls if TRL knows that.
        base: What was trained: a folder or a hub id.
        name: The base's public name.
        dtype: Type of the weights that are written.
        lora: The checkpoint holds LoRA's matrices only.
    """
    if lora:
        # Merging rounds: in 16 bits only where the training had no more.
        precise = dtype if has_fast_bfloat16() else "float32"
        whole = AutoModelForCausalLM.from_pretrained(
            base, dtype=precise, use_safetensors=True, trust_remote_code=False
        )
        model = PeftModel.from_pretrained(whole, checkpoint).merge_and_unload()
        _export_adapter(checkpoint, target / ADAPTER, name)
    else:
        model = AutoModelForCausalLM.from_pretrained(
            checkpoint, use_safetensors=True, trust_remote_code=False
        )
    if getattr(tokenizer, "response_template", None) is None:
        # TRL refuses templates it does not know; serving then goes by the model's family.
        with contextlib.suppress(ValueError):
            add_response_schema(tokenizer)
    # The trainer turns the cache off; without it, each further token of an answer takes longer.
    model.config.use_cache = True
    model.to(dtype).save_pretrained(target)
    tokenizer.save_pretrained(target)


def _export_adapter(checkpoint: Path, target: Path, name: str) -> None:
    target.mkdir(parents=True)
    shutil.copy(checkpoint / "adapter_model.safetensors", target)
    config = json.loads((checkpoint / "adapter_config.json").read_text())
    # The base's path says nothing elsewhere, and something about this machine.
    config["base_model_name_or_path"] = name
    (target / "adapter_config.json").write_text(json.dumps(config, indent=2))
