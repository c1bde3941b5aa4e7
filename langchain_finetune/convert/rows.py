"""Rows: training examples on their way through the steps of conversion, and their outcome."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar

import orjson
from langchain_core.chat_sessions import ChatSession

from langchain_finetune.checks import Finding, Findings
from langchain_finetune.checks.preference import OUTPUTS
from langchain_finetune.errors import ConvertError
from langchain_finetune.messages import UnreadableChatError
from langchain_finetune.sessions import Skip

Example = dict[str, Any]
"""One line of a training file: `{"messages": [...], "tools": [...], ...}`."""

Part = Literal["train", "validation", "test"]
"""Which part of the data an example belongs to."""


class Row:
    r"""An example with the data that the steps need.

    Example and line have the same content; each is computed from the other on first access. An
    example is never modified in place: use `changed`.

    Args:
        id: Id of the chat in skips and findings, such as its run id.
        source: Source of the chat; see `FineTuningSession`.
        example: The example.
        line: The example as a line of JSON with newline, if available.
        fit_for: Profiles whose rules it is known to meet.
        number: Position of the chat in the input, counted from 1; for findings.

    Attributes:
        key: Equal for exact duplicates, once computed; see `row_key`.
        part: Train, validation or test.
        group: Name of the group that a split keeps together, such as its thread.
        tokens: Number of tokens, once counted.
        target_tokens: Number of tokens that are trained on.
        response_format: The response format of the request; few engines take it in a line.
        parallel_tool_calls: That of the request, where the engine does not take it in a line.
        near: What near duplicates are found by, once computed; see `near_print`.
        facts: What the report counts, once computed; see `facts_of`.
        prints: What the trained contract counts, once computed; see `prints_of`.
        fit: Whether it is within the token limit, if that was looked at before; see `Fit`.

    Example:
        >>> Row("run-1", {}, example={"messages": []}).line
        b'{"messages":[]}\n'
    """

    __slots__ = (
        "_example",
        "_line",
        "facts",
        "fit",
        "fit_for",
        "group",
        "id",
        "key",
        "near",
        "number",
        "parallel_tool_calls",
        "part",
        "prints",
        "response_format",
        "source",
        "target_tokens",
        "tokens",
    )

    def __init__(
        self,
        id: str,  # noqa: A002 - the field's name
        source: Mapping[str, str],
        *,
        example: Example | None = None,
        line: bytes | None = None,
        fit_for: tuple[str, ...] = (),
        number: int | None = None,
    ) -> None:
        self.id = id
        self.source = source
        self._example = example
        self._line = line
        self.fit_for = fit_for
        self.number = number
        self.key: bytes | None = None
        self.part: Part = "train"
        self.group: str | None = None
        self.tokens: int | None = None
        self.target_tokens: int | None = None
        self.response_format: dict[str, Any] | None = None
        self.parallel_tool_calls: bool | None = None
        # Of the modules that compute them, which build on this one.
        self.near: Any = None
        self.facts: Any = None
        self.prints: Any = None
        self.fit: Any = None

    @property
    def example(self) -> Example:
        """The example, parsed."""
        if self._example is None:
            assert self._line is not None
            self._example = orjson.loads(self._line)
        return self._example

    @property
    def encoded(self) -> bytes | None:
        """The line of a chat that came as one and was not parsed yet."""
        return self._line if self._example is None and self.fit_for else None

    @property
    def line(self) -> bytes:
        """The example as a line of the training file."""
        if self._line is None:
            assert self._example is not None
            self._line = encode_line(self._example)
        return self._line

    def changed(self, example: Example) -> "Row":
        """Return the row with another example; its tokens must be counted again."""
        row = Row(self.id, self.source, example=example, number=self.number)
        row.part, row.group = self.part, self.group
        row.response_format = self.response_format
        row.parallel_tool_calls = self.parallel_tool_calls
        return row


@dataclass
class Outcome:
    """Rejected chats, counts and findings of one pass over the data.

    Attributes:
        sessions: Number of chats in the input.
        rejected: Chats that make no example, in order.
        counts: Other counts by code, such as `trimmed_messages`.
        findings: Errors and warnings of the checks.
    """

    sessions: int = 0
    rejected: list[Skip] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    findings: Findings = field(default_factory=Findings)

    def reject(self, id: str, code: str, reason: str) -> None:  # noqa: A002 - as in `Skip`
        """Record that a chat makes no example; `reason` never quotes training text."""
        self.rejected.append(Skip(id, code, reason))

    def add(self, finding: Finding, row: Row) -> None:
        """Record a finding in a row."""
        self.findings.add(replace(finding, row=row.number, id=row.id, source=row.source))

    def reject_for(self, finding: Finding, row: Row) -> None:
        """Reject a row because of a finding; `add` records the finding itself."""
        place = "" if finding.index is None else f" (message {finding.index})"
        self.reject_row(row, finding.code, finding.message + place)

    def reject_row(self, row: Row, code: str, reason: str) -> None:
        """Reject a row; for a preference, both chats that it was made from are listed."""
        self.reject(row.id, code, reason)
        other = row.source.get("rejected_run_id", row.id)
        if other != row.id:
            self.reject(other, code, reason)


@dataclass(frozen=True)
class Target:
    """What will be trained, as far as it is known.

    Attributes:
        engine: The engine; determines rules and prices.
        model: The base model; determines tokenizer and limits.
        base_url: The engine's address, if given.
        n_epochs: Number of epochs; None leaves it to the engine.
    """

    engine: str | None = None
    model: str | None = None
    base_url: str | None = None
    n_epochs: int | None = None


def request_of(example: Example) -> Mapping[str, Any]:
    """Return the part with messages and tools: the example itself, or a preference's `input`."""
    inner = example.get("input")
    return inner if isinstance(inner, Mapping) else example


def conversations(example: Example) -> list[list[Any]]:
    """Return the chats of an example: one, or for a preference one with each answer.

    Example:
        >>> conversations({"input": {"messages": [1]}, "preferred_output": [2],
        ...                "non_preferred_output": [3]})
        [[1, 2], [1, 3]]
    """
    messages = request_of(example).get("messages") or []
    outputs = [example[name] for name in OUTPUTS if example.get(name)]
    return [[*messages, *output] for output in outputs] or [messages]


def encode_line(example: Mapping[str, Any]) -> bytes:
    """Return an example as one line of JSON in UTF-8; keys keep their order.

    Tools are rendered into the prompt in this order, so it must not change.
    """
    return orjson.dumps(example, option=orjson.OPT_APPEND_NEWLINE)


def line_of(row: Row) -> bytes | None:
    """Return a row's line; None if it is not JSON, which the check of the text reports."""
    try:
        return row.line
    except TypeError:
        return None


@dataclass(slots=True)
class SessionOrigin:
    """Identity of a session: its id in skips, source and number in the input, from 1."""

    id: str
    source: Mapping[str, str]
    number: int


Made = TypeVar("Made")


def read_each(
    sessions: Iterable[ChatSession], make: Callable[[ChatSession], Made], outcome: Outcome
) -> Iterator[tuple[SessionOrigin, Made]]:
    """Yield what `make` returns for each session; those that can't be read are rejected.

    Raises:
        ConvertError: An item is not a session.
    """
    return filter(None, (read_session(session, make, outcome) for session in sessions))


def read_session(
    session: ChatSession, make: Callable[[ChatSession], Made], outcome: Outcome
) -> tuple[SessionOrigin, Made] | None:
    """Return what `make` returns for a session; None if it can't be read and was rejected.

    Raises:
        ConvertError: The item is not a session.
    """
    position = outcome.sessions
    outcome.sessions += 1
    try:
        given: Any = session.get("source") or {}
        source = _plain(given)
        origin = SessionOrigin(_id(source, position), source, position + 1)
        return origin, make(session)
    except UnreadableChatError as error:
        outcome.reject(origin.id, error.code, str(error))
        return None
    except (AttributeError, KeyError, TypeError) as error:
        # A list can hold anything.
        raise ConvertError(
            f"Item {position} is not a chat session: it must be a dict whose `messages` are a "
            "list of LangChain messages (langchain_core.messages.convert_to_messages converts "
            "other forms) and whose `source`, if present, is a dict."
        ) from error


def _plain(source: Mapping[str, Any]) -> Mapping[str, str]:
    """Return a session's source with text only; a loader's own has that already."""
    if all(type(key) is str and type(value) is str for key, value in source.items()):
        return source if type(source) is dict else dict(source)
    return {str(key): str(value) for key, value in source.items()}


def _id(source: Mapping[str, str], position: int) -> str:
    names = ("run_id", "example_id", "line")
    return next((source[name] for name in names if name in source), f"session {position}")
