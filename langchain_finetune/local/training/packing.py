"""Examples one after the other in a row, in place of padding a batch to its longest.

No example sees another: transformers' attention masks follow from positions that start again at 0.
Whether a model honours them is tried out, not assumed.

It is no default. Without an attention that knows the borders (flash attention, on some GPUs), a row
costs the square of its tokens: with `nano` on two cores, rows of eight chats of 300 tokens took
twice the CPU time of padded batches.
"""

from collections.abc import Mapping
from typing import Any

import torch
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from langchain_finetune.local.training.events import TrainingFailure

APART = 0.3
"""How near examples in a row must come to what they are alone; 1 is as if they were one text."""

_PROBE = range(10, 34)


def require_apart(model: Any, tokenizer: Any) -> None:
    """Make sure that a model answers for examples in one row as it does for each alone.

    Args:
        model: A causal language model of transformers.
        tokenizer: Its tokenizer.

    Raises:
        TrainingFailure: `invalid_hyperparameters`: it does not.
    """
    collate = DataCollatorForLanguageModeling(tokenizer.eos_token_id, padding_free=True)
    tokens = [number % model.config.get_text_config().vocab_size for number in _PROBE]
    parts = tokens[:10], tokens[10:]
    with torch.no_grad():
        try:
            together = _answers(model, collate([{"input_ids": part} for part in parts]))
        except TypeError:
            # It does not take what TRL tells about the borders.
            apart = False
        else:
            alone = torch.cat([_answers(model, collate([{"input_ids": part}])) for part in parts])
            joined = _answers(model, collate([{"input_ids": tokens}]))
            apart = bool((together - alone).abs().max() < APART * (joined - alone).abs().max())
    if not apart:
        raise TrainingFailure(
            "invalid_hyperparameters",
            "This base model does not keep packed examples apart: leave packing out.",
        )


def _answers(model: Any, inputs: Mapping[str, Any]) -> torch.Tensor:
    given = {name: value for name, value in inputs.items() if name != "labels"}
    # With a cache, transformers takes a row for one text.
    logits: torch.Tensor = model(**given, use_cache=False).logits[0].float()
    return logits
