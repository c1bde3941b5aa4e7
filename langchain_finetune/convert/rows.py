"""A training example on its way through the steps of conversion, and what became of all of them."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from langchain_finetune.checks import Findings
from langchain_finetune.sessions import Skip

Example = dict[str, Any]
"""One line of a training file: `{"messages": [...], "tools": [...], ...}`."""

Part = Literal["train", "validation", "test"]
"""Which part of the data an example belongs to."""


class Row:
    r"""An example with what the steps need to know of it.

    The example and its line are two forms of one thing; each is made of the other when it is
    first asked for. An example is never changed in place: use `changed`.

    Args:
        id: Names the chat in skips and findings, such as its run id.
        source: Where the chat came from; see `FineTuningSession`.
        example: The example.
        line: Its line of JSON, newline included, where that is at hand.
        fit_for: Profiles of whose rules it is known to break none.

    Attributes:
        number: Place of the chat among those that came in, counted from 1; for findings.
        key: By what exact duplicates are known, once it was asked for; see `row_key`.
        part: Train, validation or test.
        tokens: How many tokens the example has, once they are counted.
        target_tokens: How many of those are learnt.
        response_format: The format of the answer that the request asked for; a training file
            has no place for it.

    Example:
        >>> Row("run-1", {}, example={"messages": []}).line
        b'{"messages":[]}\n'
    """

    __slots__ = (
        "_example",
        "_line",
        "fit_for",
        "id",
        "key",
        "number",
        "part",
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
    ) -> None:
        self.id = id
        self.source = source
        self._example = example
        self._line = line
        self.fit_for = fit_for
        self.number: int | None = None
        self.key: bytes | None = None
        self.part: Part = "train"
        self.tokens: int | None = None
        self.target_tokens: int | None = None
        self.response_format: dict[str, Any] | None = None

    @property
    def example(self) -> Example:
        """The example, parsed."""
        if self._example is None:
            assert self._line is not None
            self._example = orjson.loads(self._line)
        return self._example

    @property
    def line(self) -> bytes:
        """The example as a line of the training file."""
        if self._line is None:
            assert self._example is not None
            self._line = encode_line(self._example)
        return self._line

    def changed(self, example: Example) -> "Row":
        """Return the row with another example in its place; its tokens have to be counted anew."""
        row = Row(self.id, self.source, example=example)
        row.number = self.number
        row.part = self.part
        row.response_format = self.response_format
        return row


@dataclass
class Outcome:
    """What one pass over the data left out and noticed.

    Attributes:
        sessions: How many chats came in.
        rejected: Chats that make no example, in order.
        counts: What else was noticed, by code, such as `trimmed_messages`.
        findings: What the checks found, errors and warnings.
    """

    sessions: int = 0
    rejected: list[Skip] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    findings: Findings = field(default_factory=Findings)

    def reject(self, id: str, code: str, reason: str) -> None:  # noqa: A002 - as in `Skip`
        """Note that a chat makes no example, and why; `reason` never quotes training text."""
        self.rejected.append(Skip(id, code, reason))

    def reject_row(self, row: Row, code: str, reason: str) -> None:
        """Note that a row makes no example; of a pair, both chats that it was made of are told."""
        self.reject(row.id, code, reason)
        other = row.source.get("rejected_run_id", row.id)
        if other != row.id:
            self.reject(other, code, reason)


@dataclass(frozen=True)
class Target:
    """What the examples are for, as far as it is known.

    Attributes:
        engine: The engine that will train: its rules and prices count.
        model: The base: its tokenizer and limits count.
        base_url: The engine's address, where it was given.
        n_epochs: How often each example will be seen; None leaves it to the engine.
    """

    engine: str | None = None
    model: str | None = None
    base_url: str | None = None
    n_epochs: int | None = None


def encode_line(example: Mapping[str, Any]) -> bytes:
    """Return an example as one line of JSON in UTF-8; keys keep their order.

    Tools are rendered into the prompt in the order that they have, so it must stay.
    """
    return orjson.dumps(example, option=orjson.OPT_APPEND_NEWLINE)
