"""Loads the tokenizer and configurations of a base; transformers takes seconds to import."""

from typing import Any

from langchain_finetune.local.template_process import BoundedTemplate


def load_tokenizer(base: str) -> Any:
    """Return a base's tokenizer, whose chat template runs for a limited time.

    Raises:
        OSError, ValueError: It can't be loaded.
    """
    from transformers import AutoTokenizer  # noqa: PLC0415
    from transformers.utils.logging import disable_progress_bar  # noqa: PLC0415

    disable_progress_bar()
    tokenizer = AutoTokenizer.from_pretrained(base, trust_remote_code=False)
    tokenizer.apply_chat_template = BoundedTemplate(tokenizer)
    return tokenizer


def load_configurations(base: str) -> tuple[Any, Any]:
    """Return a base's configuration, and how it generates.

    Raises:
        OSError, ValueError: They can't be loaded.
    """
    from transformers import AutoConfig, GenerationConfig  # noqa: PLC0415

    config = AutoConfig.from_pretrained(base, trust_remote_code=False)
    try:
        return config, GenerationConfig.from_pretrained(base)
    except OSError:
        # Not every model has one; transformers then does the same.
        return config, GenerationConfig.from_model_config(config)
