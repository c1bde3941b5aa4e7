"""Functions that the run store's conditions call, added to SQLite's own."""

import re
import sqlite3
from collections.abc import Iterator
from typing import Any

import orjson

from langchain_finetune.local.sqlite import Where
from langchain_finetune.local.store.values import json_text

_ESCAPED = re.compile(r"\\u")


def add_functions(connection: sqlite3.Connection) -> None:
    """Make the functions of this module known to a connection, by their names."""
    for function, arguments in ((casefold, 1), (json_contains, 2), (leaves, 1), (number_text, 1)):
        connection.create_function(function.__name__, arguments, function, deterministic=True)


def contains(column: str, text: str) -> Where:
    """Return the condition that a column contains a text, in any case."""
    return Where(f"instr(casefold({column}), ?) > 0", (text.casefold(),))


def casefold(text: str | None) -> str | None:
    """Fold the case of a text; SQLite's own lower() knows ASCII only."""
    return None if text is None else text.casefold()


def json_contains(data: str | None, needle: str) -> bool:
    """Return whether any string in JSON, a key or a value, contains a text in folded case."""
    if data is None:
        return False
    # Most rows don't: an untouched string of JSON would hold the needle as JSON writes it.
    escaped = orjson.dumps(needle).decode()[1:-1]
    if not _ESCAPED.search(data) and escaped not in data.casefold():
        return False
    return any(needle in text.casefold() for text in _strings(orjson.loads(data)))


def leaves(data: str | None) -> str:
    """Return what JSON holds as a list of `[path, text]`; lists leave no trace in a path.

    Nulls and empty texts are nothing to filter by.
    Source of fact: https://docs.langchain.com/langsmith/filter-traces-in-application

    Example:
        >>> leaves('{"calls": [{"name": "plan"}, {"name": "go"}]}')
        '[["calls.name","plan"],["calls.name","go"]]'
    """
    found = _leaves(orjson.loads(data)) if data else ()
    return orjson.dumps([pair for pair in found if pair[1]]).decode()


def number_text(value: float) -> str:
    """Write a number as JSON does; SQLite's own text has 15 digits at most."""
    return orjson.dumps(value).decode()


def _leaves(value: Any) -> Iterator[tuple[str, str]]:
    # A stack of its own: what a client sends may be nested deeper than Python's calls.
    waiting = [("", value)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, dict):
            inner = [(f"{path}.{key}" if path else key, item) for key, item in value.items()]
            waiting += reversed(inner)
        elif isinstance(value, list):
            waiting += [(path, item) for item in reversed(value)]
        elif value is not None:
            yield path, json_text(value)


def _strings(value: Any) -> Iterator[str]:
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            yield from value
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
