"""Pieces of SQL with the values of their question marks."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson


@dataclass(frozen=True)
class Where:
    """A condition: constant SQL, and the values of its question marks."""

    sql: str
    values: tuple[Any, ...] = ()


def all_of(conditions: Iterable[Where]) -> Where:
    """Return the condition that all hold; of none, one that always holds."""
    return _joined(list(conditions), " AND ", "1")


def any_of(conditions: Iterable[Where]) -> Where:
    """Return the condition that one holds; of none, one that never holds."""
    return _joined(list(conditions), " OR ", "0")


def negated(condition: Where) -> Where:
    """Return the opposite; what can't be decided (NULL) counts as false before."""
    return Where(f"NOT coalesce(({condition.sql}), 0)", condition.values)


def _joined(conditions: list[Where], joint: str, empty: str) -> Where:
    return Where(
        joint.join(f"({condition.sql})" for condition in conditions) or empty,
        tuple(value for condition in conditions for value in condition.values),
    )


def one_of(column: str, values: Iterable[Any]) -> Where:
    """Return the condition that a column has one of some values."""
    listed = list(values)
    if len(listed) == 1:
        # An equation lets SQLite read an index in order.
        return Where(f"{column} = ?", (listed[0],))
    return Where(
        f"{column} IN (SELECT value FROM json_each(?))",  # noqa: S608 constants and "?"
        (orjson.dumps(listed).decode(),),
    )
