"""The tokens that the examples of a batch begin with alike are computed once for all of them.

Chats of one app begin with the same instructions and tools, which are most of their tokens. What a
model computes for them is the same in each example, as long as each token sees only those before
it; so is the gradient through them, summed. It is exact but for rounding.

Importing this module takes seconds: it brings torch and transformers.
"""

from collections.abc import Callable
from typing import Any

import torch
from transformers import DynamicCache

from langchain_finetune.local.training.batches import COST_OF_A_BATCH

NEAR = 0.05
"""How near the gradients must be to those of examples computed apart, as a share of their norm.
It leaves room for rounding to 16 bits; without the gradient through the prefix they are far off."""

Learn = Callable[[dict[str, Any], Any], Any]
"""Takes arguments of a model, and the label behind each token; returns sums, the loss first."""


def shared_length(input_ids: Any, labels: Any) -> int:
    """Return how many tokens of a batch are to be computed once; 0 if that does not pay.

    The last of those that are alike is left out, since it predicts the one after it, which may
    differ.

    Example:
        >>> rows = torch.tensor([[7] * 200 + [1, 2], [7] * 200 + [3, 4]])
        >>> shared_length(rows, rows)
        199
    """
    alike = ((input_ids == input_ids[0]) & (labels == labels[0])).all(dim=0)
    length = int(alike.int().cumprod(dim=0).sum()) - 1
    return length if (len(input_ids) - 1) * length > COST_OF_A_BATCH else 0


def learn_shared(learn: Learn, config: Any, inputs: dict[str, Any], length: int) -> Any:
    """Return the sum that a batch gives to `learn`, with its first `length` tokens computed once.

    `inputs` are the batch's tokens, attention mask and labels.
    """
    ids, mask, labels = (inputs[name] for name in ("input_ids", "attention_mask", "labels"))
    cached = {"past_key_values": DynamicCache(config=config), "use_cache": True}
    first = {"input_ids": ids[:1, :length], "attention_mask": mask[:1, :length], **cached}
    of_first = learn(first, labels[:1, 1 : length + 1])
    cached["past_key_values"].batch_repeat_interleave(len(ids))
    rest = {"input_ids": ids[:, length:], "attention_mask": mask, **cached}
    return len(ids) * of_first + learn(rest, labels[:, length + 1 :])


def shares_exactly(learn: Learn, model: Any) -> bool:
    """Return whether a model learns the same from a batch whose beginning is computed once.

    It does not if it keeps no such cache, or one without a gradient. A dropout makes
    it differ, too.
    """
    tokens = torch.arange(10, 42, device=model.device) % model.config.get_text_config().vocab_size
    ids = torch.stack([tokens, tokens])
    ids[1, 24:] = tokens[:8]
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    weights = [each for each in model.parameters() if each.requires_grad]

    def gradients(sums: Any) -> Any:
        # Not in place of those that a step has added up so far.
        return torch.autograd.grad(sums[0], weights, allow_unused=True, materialize_grads=True)

    # A dropout must not change what the seed draws later.
    with torch.random.fork_rng():
        apart = gradients(learn({**inputs, "use_cache": False}, ids[:, 1:]))
        try:
            together = gradients(learn_shared(learn, model.config, {**inputs, "labels": ids}, 23))
        except (AttributeError, LookupError, RuntimeError, TypeError, ValueError):
            # Its cache is of another kind, or changed in place.
            return False
    far = sum((one - other).float().norm() ** 2 for one, other in zip(apart, together, strict=True))
    return bool(far < NEAR**2 * sum(each.float().norm() ** 2 for each in apart))
