"""Sessions as supervised training examples: chats whose answers are learnt. Pure."""

from collections.abc import Iterable, Iterator
from typing import Any

from langchain_core.chat_sessions import ChatSession

from langchain_finetune.convert.rows import Example, Outcome, Row
from langchain_finetune.convert.sources import read_each
from langchain_finetune.convert.targets import Targets, weighted
from langchain_finetune.errors import ConvertError, raised_by
from langchain_finetune.messages import WireMessage
from langchain_finetune.sessions import EncodedChat, Sessions, supervised_example


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
    for place, made in read_each(chats, _read, outcome):
        if isinstance(made, EncodedChat):
            row = Row(place.id, place.source, line=made.line, fit_for=made.fit_for)
            row.number = outcome.sessions
            yield row
            continue
        example, trimmed, answer_format = made
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
