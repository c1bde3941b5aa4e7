"""LangSmith's filter language: conditions as text with escaped values.

Source: LangSmith's "Trace query syntax". A run has many feedback rows and many metadata entries;
conditions next to each other in one `and` apply to the same row, so each pair of key and value
has an `and` of its own.
"""

import datetime as dt
import json
from collections.abc import Sequence

from langchain_finetune.dialects.untrusted import THREAD_KEYS


def compare(operator: str, field: str, value: str | float | dt.datetime | Sequence[str]) -> str:
    """Return one comparison; the value is escaped, the field must not be user input.

    Example:
        >>> compare("gt", "start_time", dt.datetime(2026, 11, 1, tzinfo=dt.UTC))
        'gt(start_time, "2026-11-01T00:00:00+00:00")'
    """
    if isinstance(value, dt.datetime):
        value = value.isoformat()
    # The language has JSON's strings, numbers, lists and booleans.
    return f"{operator}({field}, {json.dumps(value, ensure_ascii=False)})"


def one_of(field: str, values: Sequence[str]) -> str:
    """Return the condition that a field has one of some values.

    Example:
        >>> one_of("name", ["a"]), one_of("name", ["a", "b"])
        ('eq(name, "a")', 'in(name, ["a", "b"])')
    """
    return compare("eq", field, values[0]) if len(values) == 1 else compare("in", field, values)


def same_row(key: str, conditions: Sequence[str]) -> str:
    """Return the condition that one row of a run meets one on its key, and those on other fields.

    Without others the key's is repeated: an `and` of its own keeps it separate from its neighbours.
    """
    return f"and({', '.join([key, *(conditions or [key])])})"


def metadata(key: str, values: Sequence[str]) -> str:
    """Return the condition that a metadata entry has one of some values.

    Example:
        >>> metadata("user", ["ada"])
        'and(eq(metadata_key, "user"), eq(metadata_value, "ada"))'
    """
    return same_row(compare("eq", "metadata_key", key), [one_of("metadata_value", values)])


def in_thread(thread_id: str) -> str:
    """Return the condition that a run belongs to a thread."""
    key = compare("in", "metadata_key", THREAD_KEYS)
    return same_row(key, [compare("eq", "metadata_value", thread_id)])


def all_of(conditions: Sequence[str | None]) -> str | None:
    """Return the condition that all those are met that are not empty, or None without any.

    Example:
        >>> all_of([None]), all_of(["eq(a, 1)"]), all_of(["eq(a, 1)", "eq(b, 2)"])
        (None, 'eq(a, 1)', 'and(eq(a, 1), eq(b, 2))')
    """
    given = [each for each in conditions if each]
    return f"and({', '.join(given)})" if len(given) > 1 else next(iter(given), None)
