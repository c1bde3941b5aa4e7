"""Sessions as supervised training examples: chats whose answers are learnt. Pure."""

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal

from langchain_core.chat_sessions import ChatSession

from langchain_finetune.convert.rows import Example, Outcome, Row, read_session
from langchain_finetune.errors import ConvertError, raised_by
from langchain_finetune.messages import WireMessage
from langchain_finetune.sessions import EncodedChat, Sessions, supervised_example

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


def supervised_rows(
    sessions: Iterable[ChatSession], outcome: Outcome, targets: Targets = "all"
) -> Iterator[Row]:
    """Yield the supervised example of each session.

    Messages after a chat's last answer are left out, and counted as `trimmed_messages`.

    Args:
        sessions: The chats.
        outcome: Notes what is left out. A plain language model's run (`completion_run`) is: no
            request of a chat equals what that model saw.
        targets: The answers to learn; see `weighted`.

    Raises:
        ConvertError: An item is no session, or the function `targets` failed.
    """
    chats: Iterable[ChatSession | EncodedChat] = sessions
    if targets == "all" and isinstance(sessions, Sessions):
        chats = sessions.encoded()
    for chat in chats:
        if isinstance(chat, EncodedChat):
            outcome.sessions += 1
            row = Row(chat.id, chat.source, line=chat.line, fit_for=chat.fit_for)
            row.number = outcome.sessions
            yield row
            continue
        read = read_session(chat, _read, outcome)
        if read is None:
            continue
        place, (example, trimmed, answer_format) = read
        if trimmed:
            outcome.counts["trimmed_messages"] += trimmed
        # Not while the session is read: what the user's own function raises is no broken session.
        example["messages"] = _weighted(example["messages"], targets, place.id)
        row = Row(place.id, place.source, example=example)
        row.number = outcome.sessions
        row.response_format = answer_format
        if answer_format is not None:
            # A line has no place for it; the trained contract keeps it.
            outcome.counts["response_format_left_out"] += 1
        yield row


def _weighted(messages: list[WireMessage], targets: Targets, chat_id: str) -> list[WireMessage]:
    if isinstance(targets, str):
        return weighted(messages, targets)
    try:
        return weighted(messages, targets)
    except Exception as error:
        raise raised_by("targets", chat_id, ConvertError) from error


def _read(session: ChatSession) -> tuple[Example, int, Any]:
    return *supervised_example(session), session.get("response_format")
