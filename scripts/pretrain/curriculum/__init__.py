"""The synthetic curriculum that the base model `nano` is pretrained on.

One function matters outside: `sample` draws one chat. Everything is drawn from the
`random.Random` that is handed in, so that a seed fixes the whole stream.
"""

from __future__ import annotations

from random import Random

from .calls import tool_chat
from .chat import Chat
from .guard import violation
from .plain import copy_chat, extraction_chat

__all__ = ["Chat", "draw", "sample", "violation"]


def draw(rng: Random, *, polish: bool = False) -> Chat:
    """Draw one chat, before the guard has checked it."""
    kind = rng.random()
    if kind < 0.86:
        return tool_chat(rng, polish=polish)
    if kind < 0.96:
        return copy_chat(rng)
    return extraction_chat(rng)


def sample(rng: Random, *, polish: bool = False) -> Chat:
    """Draw one chat that contains nothing of the walkthrough.

    Args:
        rng: Source of chance.
        polish: Draw from the last part of the curriculum, with commands and stories.
    """
    while True:
        chat = draw(rng, polish=polish)
        if violation(chat) is None:
            return chat
