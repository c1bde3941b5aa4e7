"""Sessions as unpaired preferences: chats with a thumb up or down for the last answer."""

from collections.abc import Iterable, Iterator

from langchain_core.chat_sessions import ChatSession

from langchain_finetune.convert.preference import RatedAnswer, rate
from langchain_finetune.convert.rows import Outcome, Row, read_each
from langchain_finetune.convert.supervised import weighted
from langchain_finetune.messages import WireMessage

NO_THUMB = "no_thumb"
"""Code of sessions of which nothing says whether the answer is desirable."""

_LABELS = {1.0: True, 0.0: False, -1.0: False}
"""Scores that are thumbs. Others, such as the mean of people who disagree, are none."""


def unpaired_preference_rows(sessions: Iterable[ChatSession], outcome: Outcome) -> Iterator[Row]:
    """Yield a line for each judged answer: `{"messages": [...], "tools"?: [...], "label": true}`.

    A `score` of 1 is a thumb up, 0 and -1 are a thumb down. A session with a worse answer
    (`rejected`: the one that a correction or a reference replaced) makes two lines, whatever its
    score: the better answer is desirable, the worse one is not. Earlier answers get `weight: 0`.

    Lines are counted as `desirable` and `undesirable`. Sessions without a thumb or a worse answer
    are rejected as `no_thumb`.

    Raises:
        ConvertError: An item is not a session.
    """
    for place, rated in read_each(sessions, rate, outcome):
        if rated.trimmed:
            outcome.counts["trimmed_messages"] += rated.trimmed
        judged = list(_judged(rated))
        if not judged:
            reason = (
                "It has neither a worse answer nor a score."
                if rated.score is None
                else "Its score is no thumb: 1 is a thumb up, 0 and -1 are a thumb down."
            )
            outcome.reject(place.id, NO_THUMB, reason)
        for answer, label in judged:
            outcome.counts["desirable" if label else "undesirable"] += 1
            messages = weighted([*rated.input["messages"], answer], "last")
            example = {**rated.input, "messages": messages, "label": label}
            row = Row(place.id, place.source, example=example, number=place.number)
            row.response_format = rated.response_format
            yield row


def _judged(rated: RatedAnswer) -> Iterator[tuple[WireMessage, bool]]:
    if rated.rejected is not None:
        yield rated.answer, True
        yield rated.rejected, False
    elif rated.score in _LABELS:
        yield rated.answer, _LABELS[rated.score]
