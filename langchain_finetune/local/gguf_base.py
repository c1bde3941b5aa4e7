"""Makes a base model of a GGUF file: safetensors, and a chat template that knows tools.

Importing this module imports torch and transformers. transformers expands quantized weights; which
architectures it reads is in its documentation under "GGUF".
"""

import struct
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
from transformers.utils.logging import disable_progress_bar, set_verbosity_error

from langchain_finetune.errors import FineTuningError
from langchain_finetune.local.base_models import weights_fault
from langchain_finetune.local.template_process import (
    STOPPED,
    BoundedTemplate,
    TemplateStoppedError,
)
from langchain_finetune.local.templates.answer_form import find_answer_form
from langchain_finetune.local.templates.prepare import prepare


def convert_gguf(file: Path, folder: Path) -> bool:
    """Write a model that is in a GGUF file to an empty folder; return whether it knows tools.

    Weights are written in 16 bits (bfloat16). Before a template that lacks tools comes ours, which
    writes chats without tools alike.

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
    tokenizer.apply_chat_template = BoundedTemplate(tokenizer)
    try:
        prepare(tokenizer)
        knows_tools = find_answer_form(tokenizer, [tokenizer.eos_token]).call is not None
    except TemplateStoppedError as error:
        raise FineTuningError(f"{file} can't be used. {STOPPED}") from error
    tokenizer.model_max_length = model.config.get_text_config().max_position_embeddings
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return knows_tools
