"""Initial weights that can already copy a little.

A small transformer spends most of its first minutes finding the induction circuit: one head
looks at the token before, a later head looks for the place whose token before is the present
token, and copies what stands there. The circuit is written into the first two layers
here, on top of random weights; training then uses it, bends it or drops it.
"""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import LlamaForCausalLM

SHARP = 9.0
"""How sharply the first head looks at the token before: the difference it makes to a score."""


def write_induction(model: LlamaForCausalLM, seed: int) -> None:
    """Write the induction circuit into the first two layers.

    Args:
        model: A model with biases in its attention, since looking at the token before
            whatever the tokens are takes a constant query and a constant key.
        seed: Seed of the random directions.
    """
    config = model.config
    size = config.hidden_size // config.num_attention_heads
    generator = torch.Generator().manual_seed(seed)
    directions, _ = torch.linalg.qr(
        torch.randn(config.hidden_size, config.hidden_size, generator=generator)
    )
    tokens, before = directions[:size], directions[size : 2 * size]
    first, second = model.model.layers[0].self_attn, model.model.layers[1].self_attn
    with torch.no_grad():
        _look_back(first.q_proj.bias, first.k_proj.bias, size)
        first.q_proj.weight[:size] = 0
        first.k_proj.weight[:size] = 0
        first.v_proj.weight[:size] = tokens
        first.o_proj.weight[:, :size] = before.T
        # Slow frequencies hardly turn with the distance, so they can compare contents.
        half = size // 2
        slow = [*range(half // 2, half), *range(half + half // 2, size)]
        for head in (0, 1):
            rows = head * size
            second.q_proj.weight[rows : rows + size] = 0
            second.k_proj.weight[rows : rows + size] = 0
            part = slice(head * half, (head + 1) * half)
            second.q_proj.weight[[rows + i for i in slow]] = 2.0 * tokens[part]
            second.k_proj.weight[[rows + i for i in slow]] = 2.0 * before[part]
            copied = directions[(2 + head) * size : (3 + head) * size]
            second.v_proj.weight[rows : rows + size] = copied
            second.o_proj.weight[:, rows : rows + size] = copied.T


def _look_back(query: Tensor, key: Tensor, size: int) -> None:
    """Set the biases of head 0 so that its score is highest one token back."""
    half = size // 2
    frequencies = 10_000.0 ** (-torch.arange(half) / half)
    strength = torch.zeros(half)
    strength[:4] = (SHARP * size**0.5 / (1 - torch.cos(frequencies[:4])).sum()) ** 0.5
    query[:half] = strength
    key[:half] = strength * torch.cos(frequencies)
    key[half:size] = strength * torch.sin(frequencies)
