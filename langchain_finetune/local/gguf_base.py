"""Makes a base model of a GGUF file: safetensors, and a chat template that knows tools.

Importing this module imports torch and transformers. transformers expands quantized weights; which
architectures it reads is in its documentation under "GGUF".
"""

import json
import struct
from pathlib import Path
from typing import Any

import torch
from jinja2 import TemplateError
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
from transformers.utils.logging import disable_progress_bar, set_verbosity_error

from langchain_finetune.errors import FineTuningError
from langchain_finetune.local.base_library import NANO
from langchain_finetune.local.base_models import weights_fault

_CHATML = Path(__file__).with_name(NANO)
"""Holds our template of ChatML with tools, and how its calls are read."""

_OPENING, _END = "<|im_start|>system\n", "<|im_end|>\n"
_ASKED = {"role": "user", "content": "Question?"}
_ANSWERED = {"role": "assistant", "content": "Answer."}
_CHATS: list[list[dict[str, Any]]] = [
    [_ASKED],
    [{"role": "system", "content": "Rules."}, _ASKED],
    [_ASKED, _ANSWERED, _ASKED],
]


def convert_gguf(file: Path, folder: Path) -> bool:
    """Write a model that is in a GGUF file to an empty folder; return whether it knows tools.

    Weights are written in 16 bits (bfloat16). A base whose template is ChatML without tools gets
    ours, which writes chats without tools alike.

    Raises:
        FineTuningError: The file is not GGUF, is damaged, or holds what transformers can't read.
    """
    set_verbosity_error()
    disable_progress_bar()
    where = {"pretrained_model_name_or_path": file.parent, "gguf_file": file.name}
    try:
        tokenizer = AutoTokenizer.from_pretrained(**where, local_files_only=True)
        model, info = AutoModelForCausalLM.from_pretrained(
            **where,
            local_files_only=True,
            dtype=torch.bfloat16,
            # Otherwise transformers 5.23 expands the weights, but refuses to save them.
            quantization_config=GgufConfig(dequantize=True),
            output_loading_info=True,
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError, struct.error) as error:
        raise FineTuningError(
            f"{file} can't be read as a GGUF model: it is damaged, or of an architecture that "
            f"transformers does not read from GGUF ({type(error).__name__})."
        ) from error
    if fault := weights_fault(info):
        raise FineTuningError(f"{file} can't be used. {fault}")
    _add_tools(tokenizer)
    tokenizer.model_max_length = model.config.get_text_config().max_position_embeddings
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return "tools" in (tokenizer.chat_template or "")


def _add_tools(tokenizer: Any) -> None:
    """Give a tokenizer our template with tools if its own is the same but for tools."""
    own = tokenizer.chat_template
    if own is None or "tools" in own:
        return
    before = _rendered(tokenizer)
    if before is None:
        return
    # What a chat without a system message begins with, such as a name of the model.
    opening, _, _ = before[0].partition("<|im_start|>user")
    default = opening.removeprefix(_OPENING).removesuffix(_END)
    template = (_CHATML / "chat_template.jinja").read_text()
    if opening:
        template = f"{{%- set default_system = {json.dumps(default)} -%}}\n{template}"
    tokenizer.chat_template = template
    if _rendered(tokenizer) != before:
        tokenizer.chat_template = own
        return
    settings = json.loads((_CHATML / "tokenizer_config.json").read_bytes())
    tokenizer.response_template = settings["response_template"]


def _rendered(tokenizer: Any) -> list[str] | None:
    """Return some chats without tools as the template writes them; None if it refuses one."""
    try:
        return [
            tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=asks)
            for chat in _CHATS
            for asks in (False, True)
        ]
    except TemplateError:
        return None
