"""Sessions as pairs of a better and a worse answer to the same input.

A session makes a pair by itself where it brings the answer that its own is better than
(`rejected`: what a correction or a reference replaced). Sessions with a `score` make a pair with
each other where their inputs are the same: the best answer against the worst.

Source of the line's form: OpenAI's guide to direct preference optimization (one assistant message
on each side, text only).
"""

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from tempfile import SpooledTemporaryFile
from typing import IO, Any, cast

import orjson
from langchain_core.chat_sessions import ChatSession
from langchain_core.messages import BaseMessage

from langchain_finetune.convert.rows import Example, Outcome, Row, SessionOrigin, read_each
from langchain_finetune.messages import UnreadableChatError, WireMessage, message_to_wire
from langchain_finetune.sessions import SETTINGS, line_settings, require_chat, wire_messages

_IN_MEMORY = 16 * 2**20
"""Bytes that stay in memory; beyond them all texts go into a temporary file."""

TextSpan = tuple[int, int]
"""Where a text lies: its first byte, and how many."""


class Shelf:
    """Keeps texts out of memory until they are wanted.

    Their file is only its owner's to read, and is gone when the shelf is closed or the process
    ends.

    Example:
        >>> from contextlib import closing
        >>> with closing(Shelf()) as shelf:
        ...     place = shelf.put(b"later")
        ...     shelf.get(place)
        b'later'
    """

    def __init__(self) -> None:
        # It is closed where the shelf is.
        self._file = cast(IO[bytes], SpooledTemporaryFile(max_size=_IN_MEMORY))  # noqa: SIM115
        self._end = 0

    def put(self, text: bytes) -> TextSpan:
        """Keep a text."""
        place = (self._end, len(text))
        self._file.seek(self._end)
        self._file.write(text)
        self._end += len(text)
        return place

    def get(self, place: TextSpan) -> bytes:
        """Return a text."""
        start, length = place
        self._file.seek(start)
        return self._file.read(length)

    def close(self) -> None:
        """Forget all texts."""
        self._file.close()


NO_PAIR = "no_pair"
"""Code of the sessions whose answer has no better or worse one beside it."""

BETWEEN = "neither_best_nor_worst"
"""Code of the sessions whose input makes a pair of two other answers."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A session's last answer, and what is known of its worth.

    Attributes:
        input: What was asked: `{"messages", "tools", ...}`.
        answer: The answer.
        rejected: A worse answer to the same input, or None.
        score: How good the answer is, or None.
        key: The same for all sessions that may be compared by their scores.
        response_format: The format of the answer that was asked for.
        trimmed: How many messages after the answer were left out.
    """

    input: Example
    answer: WireMessage
    rejected: WireMessage | None
    score: float | None
    key: bytes
    response_format: dict[str, Any] | None
    trimmed: int


def preference_rows(sessions: Iterable[ChatSession], outcome: Outcome) -> Iterator[Row]:
    """Yield the pairs of the sessions; a row's source names both runs.

    Pairs of one session come as the session is read. Pairs of two come at the end, in the order in
    which their inputs came first, since a better or a worse answer may always follow. Until then
    an input takes some hundred bytes of memory; texts beyond 16 MiB wait in a temporary file.

    Sessions that are no part of a pair are rejected: `no_pair` where there is no second answer
    that is worth more or less and says something else, `neither_best_nor_worst` for the others.

    Raises:
        ConvertError: An item is no session.
    """
    rivals: dict[bytes, _Rivals] = {}
    with closing(Shelf()) as shelf:
        for place, judged in read_each(sessions, judge, outcome):
            if judged.trimmed:
                outcome.counts["trimmed_messages"] += judged.trimmed
            if judged.rejected is not None:
                if _same(judged.answer, judged.rejected):
                    reason = "The better answer says what the answer that it replaces says."
                    outcome.reject(place.id, NO_PAIR, reason)
                    continue
                line = _line(judged.input, judged.answer, judged.rejected)
                yield _row(place, place, line, judged.response_format)
            elif judged.score is None:
                reason = "Neither a score nor a worse answer tells what its answer is worth."
                outcome.reject(place.id, NO_PAIR, reason)
            else:
                candidate = _shelved(place, judged, shelf)
                known = rivals.get(judged.key)
                if known is None:
                    asked = shelf.put(orjson.dumps([judged.input, judged.response_format]))
                    rivals[judged.key] = _Rivals(asked, candidate, candidate)
                else:
                    known.add(candidate)
        for each in rivals.values():
            yield from _pair(each, shelf, outcome)


def judge(session: ChatSession) -> Judged:
    """Return a session's last answer with what it answers and what is known of its worth.

    Weights are left out: they are of supervised lines.

    Raises:
        UnreadableChatError: The session has no answer, is no chat, or a message holds what the
            wire form can't say.
    """
    require_chat(session)
    messages = wire_messages(session)
    last = max(
        (index for index, message in enumerate(messages) if message["role"] == "assistant"),
        default=None,
    )
    if last is None:
        raise UnreadableChatError(
            "no_assistant_message", "There is nothing to prefer: no assistant message."
        )
    rejected: Any = session.get("rejected")
    if isinstance(rejected, BaseMessage):
        rejected = message_to_wire(rejected)
    history = [_unweighted(message) for message in messages[:last]]
    answer = _unweighted(messages[last])
    return Judged(
        input={"messages": history, **line_settings(session)},
        answer=answer,
        rejected=None if rejected is None else _unweighted(rejected),
        score=_score(session),
        key=_key(session, history, answer),
        response_format=session.get("response_format"),  # type: ignore[arg-type]
        trimmed=len(messages) - last - 1,
    )


def _key(session: ChatSession, history: Sequence[WireMessage], answer: WireMessage) -> bytes:
    """Return a hash of what was asked, and in which comparison."""
    source: Any = session.get("source") or {}
    said = [_comparable(history), source.get("feedback_group_id")]
    said += [session.get(name) for name in SETTINGS]
    try:
        text = orjson.dumps(said, option=orjson.OPT_SORT_KEYS)
        # It is written on the shelf, too.
        orjson.dumps(answer)
    except orjson.JSONEncodeError as error:
        raise UnreadableChatError("unreadable_value", "A value that JSON can't say.") from error
    return hashlib.blake2b(text, digest_size=16).digest()


def _score(session: ChatSession) -> float | None:
    score: Any = session.get("score")
    if score is None:
        return None
    if not isinstance(score, int | float) or not math.isfinite(score):
        raise UnreadableChatError("invalid_score", "A score must be a finite number.")
    return float(score)


@dataclass(frozen=True, slots=True)
class _Candidate:
    """An answer that may become a side of a pair: its score, and where the rest is shelved."""

    score: float
    shelved: TextSpan


@dataclass(slots=True)
class _Rivals:
    """The answers to one input, as far as they may become a pair."""

    input: TextSpan
    best: _Candidate
    worst: _Candidate
    others: list[_Candidate] = field(default_factory=list)

    def add(self, candidate: _Candidate) -> None:
        """Take in another answer; of equal ones the first counts."""
        alone = self.best is self.worst
        if candidate.score > self.best.score:
            replaced, self.best = self.best, candidate
        elif candidate.score < self.worst.score:
            replaced, self.worst = self.worst, candidate
        else:
            replaced, alone = candidate, False
        if not alone:
            self.others.append(replaced)


def _pair(rivals: _Rivals, shelf: Shelf, outcome: Outcome) -> Iterator[Row]:
    """Yield the pair of the answers to one input, if there is one; note the others."""
    best_place, best = _taken(rivals.best, shelf)
    worst_place, worst = _taken(rivals.worst, shelf)
    others = [_taken(other, shelf)[0].id for other in rivals.others]
    reason = None
    if rivals.best is rivals.worst:
        reason = "No other answer to the same input has another score."
    elif _same(best, worst):
        reason = "The best and the worst answer to its input say the same."
        others = [worst_place.id, *others]
    if reason is None:
        asked, answer_format = orjson.loads(shelf.get(rivals.input))
        yield _row(best_place, worst_place, _line(asked, best, worst), answer_format)
        for other in others:
            outcome.reject(other, BETWEEN, "Two other answers to its input make the pair.")
        return
    for each in (best_place.id, *others):
        outcome.reject(each, NO_PAIR, reason)


def _shelved(place: SessionOrigin, judged: Judged, shelf: Shelf) -> _Candidate:
    assert judged.score is not None, "answers are compared by their scores"
    held = [place.id, dict(place.source), place.number, judged.answer]
    return _Candidate(judged.score, shelf.put(orjson.dumps(held)))


def _taken(candidate: _Candidate, shelf: Shelf) -> tuple[SessionOrigin, WireMessage]:
    place_id, source, number, answer = orjson.loads(shelf.get(candidate.shelved))
    return SessionOrigin(place_id, source, number), answer


def _line(asked: Example, better: WireMessage, worse: WireMessage) -> Example:
    return {"input": asked, "preferred_output": [better], "non_preferred_output": [worse]}


def _row(
    better: SessionOrigin,
    worse: SessionOrigin,
    line: Example,
    response_format: dict[str, Any] | None,
) -> Row:
    source = {**better.source, "rejected_run_id": worse.source.get("run_id", worse.id)}
    row = Row(better.id, source, example=line)
    row.number = better.number
    row.response_format = response_format
    return row


def _unweighted(message: WireMessage) -> WireMessage:
    return {key: value for key, value in message.items() if key != "weight"}


def _same(one: WireMessage, other: WireMessage) -> bool:
    return _comparable([one]) == _comparable([other])


def _comparable(messages: Iterable[WireMessage]) -> list[WireMessage]:
    """Return messages without empty fields, their calls numbered: ids are new in each run."""
    numbers: dict[str, int] = {}
    found = []
    for message in messages:
        plain = {key: value for key, value in message.items() if value not in (None, "", [])}
        if isinstance(calls := message.get("tool_calls"), list):
            plain["tool_calls"] = [
                {**call, "id": numbers.setdefault(str(call.get("id")), len(numbers))}
                for call in calls
            ]
        if "tool_call_id" in message:
            plain["tool_call_id"] = numbers.get(str(message["tool_call_id"]))
        found.append(plain)
    return found
