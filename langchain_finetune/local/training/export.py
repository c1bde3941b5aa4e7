"""From checkpoints to models that transformers, and so this engine's serving, can load."""

import contextlib
import json
import shutil
import warnings
from pathlib import Path
from typing import Any

from peft import PeftModel
from safetensors import safe_open
from torch.nn import Linear
from transformers import AutoModelForCausalLM
from trl.chat_template_utils import add_response_schema

from langchain_finetune.local.base_models import find_base
from langchain_finetune.local.base_reference import shareable, write_four_bits, write_reference
from langchain_finetune.local.hardware import trains_in_bfloat16
from langchain_finetune.local.models import ADAPTER
from langchain_finetune.local.training.four_bits import put_four_bits


def export(
    checkpoint: Path,
    target: Path,
    tokenizer: Any,
    *,
    base: str,
    name: str,
    dtype: Any,
    lora: bool,
    four_bits: bool = False,
) -> None:
    """Write the model of a checkpoint, with LoRA's matrices merged in and also beside it.

    The base is a folder or a hub id, `name` its public name. Where it trained in `four_bits`, the
    model is made of what those stand for. The tokenizer is saved with the model, together with how
    the model writes tool calls if TRL knows that.
    """
    if lora:
        # Merging rounds: in 16 bits only where the training had no more.
        precise = dtype if trains_in_bfloat16() else "float32"
        whole = AutoModelForCausalLM.from_pretrained(
            base, dtype=precise, use_safetensors=True, trust_remote_code=False
        )
        if four_bits:
            put_four_bits(whole, base)
        linear = [layer for layer, each in whole.named_modules() if isinstance(each, Linear)]
        with warnings.catch_warnings():
            # The model would be the base.
            warnings.filterwarnings("error", "Found missing adapter keys")
            model = PeftModel.from_pretrained(whole, checkpoint).merge_and_unload()
        adapter = target / ADAPTER
        adapter.mkdir(parents=True)
        shutil.copy(checkpoint / "adapter_model.safetensors", adapter)
        config = json.loads((checkpoint / "adapter_config.json").read_text())
        # The base's path says nothing elsewhere, and something about this machine.
        config["base_model_name_or_path"] = name
        (adapter / "adapter_config.json").write_text(json.dumps(config, indent=2))
        with safe_open(adapter / "adapter_model.safetensors", framework="pt") as tensors:
            if four_bits:
                write_four_bits(adapter)
            elif (here := find_base(base)) and shareable(config, tensors.keys(), linear):
                write_reference(adapter, here)
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
