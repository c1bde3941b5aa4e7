"""Which of a chat's answers are learnt: the others get the weight 0. Pure."""

import copy
from collections.abc import Callable, Sequence
from typing import Literal

from langchain_finetune.messages import WireMessage

Targets = Literal["all", "last"] | Callable[[WireMessage, int], bool]
"""All answers, the last one, or those that a function picks by message and index."""


def weighted(messages: Sequence[WireMessage], targets: Targets) -> list[WireMessage]:
    """Return a chat in which the answers that are no targets have the weight 0.

    A weight that the data brought with it stays, whatever `targets` says: `targets` is asked only
    where the data is silent. An answer without a weight counts as 1 (OpenAI's fine-tuning guide).

    Args:
        messages: The chat in wire form; it stays as it is.
        targets: What to learn. A function is called with a copy of each assistant message that
            has no weight yet, and its index in the chat, counted from 0.

    Example:
        >>> chat = [{"role": "assistant", "content": text} for text in ("Hi", "Bye")]
        >>> [message.get("weight") for message in weighted(chat, "last")]
        [0, None]
        >>> weighted(chat, lambda message, index: index == 0)[1]
        {'role': 'assistant', 'content': 'Bye', 'weight': 0}
    """
    if targets == "all":
        return list(messages)
    answers = [index for index, message in enumerate(messages) if message["role"] == "assistant"]
    silent = [index for index in answers if messages[index].get("weight") is None]
    if targets == "last":
        learnt = set(answers[-1:])
    else:
        learnt = {index for index in silent if targets(copy.deepcopy(messages[index]), index)}
    others = set(silent) - learnt
    return [
        {**message, "weight": 0} if index in others else message
        for index, message in enumerate(messages)
    ]
