"""Sessions as preferences: pairs of a better and a worse answer to the same input.

A session makes a pair by itself if it has a worse answer (`rejected`: the one that a correction or
a reference replaced). Sessions with a `score` and the same input make a pair with each other: the
best answer and the worst.

Source of the format: OpenAI's guide to direct preference optimization (one assistant message
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
"""Bytes kept in memory; beyond that all texts go to a temporary file."""

TextSpan = tuple[int, int]
"""Place of a text: first byte and length."""


class SpooledTexts:
    """Stores texts in a temporary file until they are needed.

    Only its owner can read the file; it is gone when it is closed or the process ends.

    Example:
        >>> from contextlib import closing
        >>> with closing(SpooledTexts()) as texts:
        ...     place = texts.put(b"later")
        ...     texts.get(place)
        b'later'
    """

    def __init__(self) -> None:
        # Closed by `close`.
        self._file = cast(IO[bytes], SpooledTemporaryFile(max_size=_IN_MEMORY))  # noqa: SIM115
        self._end = 0

    def put(self, text: bytes) -> TextSpan:
        """Store a text."""
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
        """Delete all texts."""
        self._file.close()


NO_PAIR = "no_pair"
"""Code of sessions without a better or worse answer."""


@dataclass(frozen=True, slots=True)
class RatedAnswer:
    """A session's last answer with its rating, and the request.

    Sessions with the same `key` may be compared by their scores. `trimmed` is the number of
    messages after the answer, which are left out.
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

    Pairs of one session come as the session is read. Pairs of two come at the end, in the order of
    their inputs' first occurrence, since a better or a worse answer may always follow. Until then
    an input takes some hundred bytes of memory; texts beyond 16 MiB wait in a temporary file.

    Other sessions are rejected: as `no_pair` without a second answer with another score and text,
    or as `neither_best_nor_worst`.

    Raises:
        ConvertError: An item is not a session.
    """
    rivals: dict[bytes, _Rivals] = {}
    with closing(SpooledTexts()) as texts:
        for place, rated in read_each(sessions, rate, outcome):
            if rated.trimmed:
                outcome.counts["trimmed_messages"] += rated.trimmed
            if rated.rejected is not None:
                if _same(rated.answer, rated.rejected):
                    reason = "The better answer equals the answer that it replaces."
                    outcome.reject(place.id, NO_PAIR, reason)
                    continue
                pair = rated.answer, rated.rejected
                yield _row(place, place, rated.input, pair, rated.response_format)
            elif rated.score is None:
                reason = "It has neither a score nor a worse answer."
                outcome.reject(place.id, NO_PAIR, reason)
            else:
                spooled = [place.id, dict(place.source), place.number, rated.answer]
                candidate = _Candidate(rated.score, texts.put(orjson.dumps(spooled)))
                known = rivals.get(rated.key)
                if known is None:
                    request = texts.put(orjson.dumps([rated.input, rated.response_format]))
                    rivals[rated.key] = _Rivals(request, candidate, candidate)
                else:
                    known.add(candidate)
        for each in rivals.values():
            yield from _pair(each, texts, outcome)


def rate(session: ChatSession) -> RatedAnswer:
    """Return a session's last answer with its input and rating.

    Weights are left out: they belong to supervised lines.

    Raises:
        UnreadableChatError: The session has no answer, is not a chat, or a message cannot be
            represented in the wire form.
    """
    require_chat(session)
    messages = wire_messages(session)
    last = max(
        (index for index, message in enumerate(messages) if message["role"] == "assistant"),
        default=None,
    )
    if last is None:
        raise UnreadableChatError(
            "no_assistant_message", "There is nothing to train on: no assistant message."
        )
    rejected: Any = session.get("rejected")
    if isinstance(rejected, BaseMessage):
        rejected = message_to_wire(rejected)
    history = [_unweighted(message) for message in messages[:last]]
    answer = _unweighted(messages[last])
    return RatedAnswer(
        input={"messages": history, **line_settings(session)},
        answer=answer,
        rejected=None if rejected is None else _unweighted(rejected),
        score=_score(session),
        key=_key(session, history, answer),
        response_format=session.get("response_format"),  # type: ignore[arg-type]
        trimmed=len(messages) - last - 1,
    )


def _key(session: ChatSession, history: Sequence[WireMessage], answer: WireMessage) -> bytes:
    """Return a hash of the request, and of the comparison that it was part of."""
    source: Any = session.get("source") or {}
    key = [_comparable(history), source.get("feedback_group_id")]
    key += [session.get(name) for name in SETTINGS]
    try:
        text = orjson.dumps(key, option=orjson.OPT_SORT_KEYS)
        # It is spooled as JSON, too.
        orjson.dumps(answer)
    except orjson.JSONEncodeError as error:
        raise UnreadableChatError(
            "unreadable_value", "A value that JSON cannot represent."
        ) from error
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
    """An answer that may become part of a pair: its score, and the place of the rest."""

    score: float
    spooled: TextSpan


@dataclass(slots=True)
class _Rivals:
    """The answers to one input that may become a pair."""

    input: TextSpan
    best: _Candidate
    worst: _Candidate
    others: list[_Candidate] = field(default_factory=list)

    def add(self, candidate: _Candidate) -> None:
        """Add another answer; of equal scores the first counts."""
        alone = self.best is self.worst
        if candidate.score > self.best.score:
            replaced, self.best = self.best, candidate
        elif candidate.score < self.worst.score:
            replaced, self.worst = self.worst, candidate
        else:
            replaced, alone = candidate, False
        if not alone:
            self.others.append(replaced)


def _pair(rivals: _Rivals, texts: SpooledTexts, outcome: Outcome) -> Iterator[Row]:
    """Yield the pair of the answers to one input, if there is one; reject the others."""
    best_place, best = _taken(rivals.best, texts)
    worst_place, worst = _taken(rivals.worst, texts)
    others = [_taken(other, texts)[0].id for other in rivals.others]
    reason = None
    if rivals.best is rivals.worst:
        reason = "No other answer to the same input has another score."
    elif _same(best, worst):
        reason = "The best and the worst answer to its input are equal."
        others = [worst_place.id, *others]
    if reason is None:
        request, answer_format = orjson.loads(texts.get(rivals.input))
        yield _row(best_place, worst_place, request, (best, worst), answer_format)
        for other in others:
            reason = "Two other answers to its input make the pair."
            outcome.reject(other, "neither_best_nor_worst", reason)
        return
    for each in (best_place.id, *others):
        outcome.reject(each, NO_PAIR, reason)


def _taken(candidate: _Candidate, texts: SpooledTexts) -> tuple[SessionOrigin, WireMessage]:
    place_id, source, number, answer = orjson.loads(texts.get(candidate.spooled))
    return SessionOrigin(place_id, source, number), answer


def _row(
    better: SessionOrigin,
    worse: SessionOrigin,
    request: Example,
    answers: tuple[WireMessage, WireMessage],
    response_format: dict[str, Any] | None,
) -> Row:
    preferred, other = ([answer] for answer in answers)
    line = {"input": request, "preferred_output": preferred, "non_preferred_output": other}
    source = {**better.source, "rejected_run_id": worse.source.get("run_id", worse.id)}
    row = Row(better.id, source, example=line, number=better.number)
    row.response_format = response_format
    return row


def _unweighted(message: WireMessage) -> WireMessage:
    return {key: value for key, value in message.items() if key != "weight"}


def _same(one: WireMessage, other: WireMessage) -> bool:
    return _comparable([one]) == _comparable([other])


def _comparable(messages: Iterable[WireMessage]) -> list[WireMessage]:
    """Return messages without empty fields and with numbered calls, since ids are random."""
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
