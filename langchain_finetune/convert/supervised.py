"""Sessions as supervised training examples: chats whose answers are trained on."""

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal

from langchain_core.chat_sessions import ChatSession

from langchain_finetune.convert.rows import Example, Outcome, Row, read_session
from langchain_finetune.errors import ConvertError, raised_by
from langchain_finetune.messages import WireMessage
from langchain_finetune.sessions import EncodedChat, Sessions, supervised_example

Targets = Literal["all", "last"] | Callable[[WireMessage, int], bool]
"""All answers, the last one, or those that a function selects by message and index."""

_ANSWER = b'"role":"assistant"'


def weighted(messages: Sequence[WireMessage], targets: Targets) -> list[WireMessage]:
    """Return a chat in which the answers that are not targets have the weight 0.

    A weight in the data stays: `targets` applies only to answers without one. An answer without a
    weight has the weight 1 (OpenAI's fine-tuning guide).

    A function is called with a copy of each assistant message without a weight, and its index in
    the chat, counted from 0.

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
    unweighted = [index for index in answers if messages[index].get("weight") is None]
    if targets == "last":
        selected = set(answers[-1:])
    else:
        selected = {index for index in unweighted if targets(copy.deepcopy(messages[index]), index)}
    others = set(unweighted) - selected
    return [
        {**message, "weight": 0} if index in others else message
        for index, message in enumerate(messages)
    ]


def supervised_rows(
    sessions: Iterable[ChatSession], outcome: Outcome, targets: Targets = "all"
) -> Iterator[Row]:
    """Yield the supervised example of each session.

    Messages after a chat's last answer are left out, and counted as `trimmed_messages`. Runs of
    plain language models are skipped as `completion_run`, since no chat request equals what the
    model saw.

    Raises:
        ConvertError: An item is not a session, or the function `targets` failed.
    """
    chats: Iterable[ChatSession | EncodedChat] = sessions
    if isinstance(sessions, Sessions):
        chats = sessions.encoded()
    for chat in chats:
        if isinstance(chat, EncodedChat):
            outcome.sessions += 1
            yield _encoded_row(chat, targets, outcome.sessions)
            continue
        read = read_session(chat, _read, outcome)
        if read is None:
            continue
        place, (example, trimmed, answer_format) = read
        if trimmed:
            outcome.counts["trimmed_messages"] += trimmed
        # Outside of `_read`: an error of the user's function is not an unreadable session.
        example["messages"] = _weighted(example["messages"], targets, place.id)
        row = Row(place.id, place.source, example=example, number=place.number)
        row.response_format = answer_format
        yield row


def _encoded_row(chat: EncodedChat, targets: Targets, number: int) -> Row:
    row = Row(chat.id, chat.source, line=chat.line, fit_for=chat.fit_for, number=number)
    # In JSON, a text can't contain this: its quotes are escaped.
    if targets == "all" or (targets == "last" and chat.line.count(_ANSWER) == 1):
        return row
    messages = _weighted(row.example["messages"], targets, chat.id)
    # A function may leave nothing to train on; an answer that is context breaks no other rule.
    fit_for = chat.fit_for if targets == "last" else ()
    example = {**row.example, "messages": messages}
    return Row(chat.id, chat.source, example=example, fit_for=fit_for, number=number)


def _weighted(messages: list[WireMessage], targets: Targets, chat_id: str) -> list[WireMessage]:
    if isinstance(targets, str):
        return weighted(messages, targets)
    try:
        return weighted(messages, targets)
    except Exception as error:
        raise raised_by("targets", chat_id, ConvertError) from error


def _read(session: ChatSession) -> tuple[Example, int, Any]:
    return *supervised_example(session), session.get("response_format")
