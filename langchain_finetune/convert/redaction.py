"""Removal of private text from examples by the user's function."""

from collections.abc import Callable, Iterator
from typing import Any

import orjson

from langchain_finetune.convert.rows import Outcome, Row
from langchain_finetune.convert.texts import change_texts, changed_tools
from langchain_finetune.errors import ConvertError, raised_by

Redact = Callable[[str], str]
"""Returns a text without private data, such as a function made by `langsmith.anonymizer`."""

_TOOLS_KEPT = 32
"""Lists of tools whose texts are changed once; an app has few."""


def redacted_rows(rows: Iterator[Row], outcome: Outcome, redact: Redact) -> Iterator[Row]:
    """Yield the rows with every text redacted; `redacted` counts those that changed.

    See `change_texts` for what counts as text. `redact` may be called twice for the same text,
    and for the texts of tools that many chats have only once.

    Raises:
        ConvertError: `redact` failed, or returned something other than text.
    """

    def change(text: str, _index: int | None) -> str:
        try:
            changed = redact(text)
        except Exception as error:
            raise raised_by("redact", row.id, ConvertError) from error
        if not isinstance(changed, str):
            raise ConvertError(
                f"The redact function returned {type(changed).__name__} for a text: "
                "it must take a str and return one."
            )
        return changed

    known: dict[bytes, list[Any]] = {}

    def change_tools(tools: list[Any]) -> list[Any]:
        try:
            key = orjson.dumps(tools)
        except TypeError:
            return changed_tools(tools, lambda text: change(text, None))  # Numbers beyond 64 bits.
        if key not in known:
            if len(known) >= _TOOLS_KEPT:
                known.clear()
            known[key] = changed_tools(tools, lambda text: change(text, None))
        return known[key]

    for row in rows:
        example = change_texts(row.example, change, change_tools)
        if example is row.example:
            yield row
        else:
            outcome.counts["redacted"] += 1
            yield row.changed(example)
