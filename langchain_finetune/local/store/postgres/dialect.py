"""The store's statements, which are written for SQLite, in PostgreSQL's dialect. Pure functions.

Most of them say the same in both. What differs is here, as rules on the text of a statement, and in
`functions`, which has those that SQLite or the store's own module `sql_functions` defines. Whatever
else a statement needs has to be written so that both understand it.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from langchain_finetune.local.store.filter_sql import ENTRY_TEXT, MAY_HAVE

_MOST_KEPT = 500
"""Translations that are kept; those of clients' filters have no end."""

_Rule = tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]

_RULES: tuple[_Rule, ...] = (
    # A file's signatures of runs tell what need not be read; here all is held against the filter.
    (
        re.compile(re.escape(MAY_HAVE).replace(re.escape("{a}"), r"\w+")),
        "(?::text IS NOT NULL OR ?::text IS NOT NULL)",
    ),
    # What is inside JSON comes as text already.
    (re.compile(re.escape(ENTRY_TEXT)), "entry.value"),
    (re.compile(r"json_each\(leaves\(([^()]+)\)\) AS leaf"), r"lcft_leaves(\1) AS leaf"),
    (re.compile(r"json_extract\(leaf\.value, '\$\[0\]'\)"), "leaf.key"),
    (re.compile(r"json_extract\(leaf\.value, '\$\[1\]'\)"), "leaf.value"),
    # A list of values is one parameter in both: here it is an array, which indexes are read by.
    (re.compile(r" IN \(SELECT value FROM json_each\(\?\)\)"), " = ANY(?[])"),
    (re.compile(r"\b(json_each|json_extract|json_contains|casefold|instr)\("), r"lcft_\1("),
    # The plus keeps SQLite from reading an index.
    (re.compile(r"(?<=[\s(])\+(?=[a-z])"), ""),
    (re.compile(r"\bIS NOT \?"), "IS DISTINCT FROM ?"),
    (re.compile(r"\bIS \?"), "IS NOT DISTINCT FROM ?"),
    # Which of two tables is read first is for PostgreSQL to say.
    (re.compile(r"\bCROSS JOIN (\w+ AS \w+ ON\b)"), r"JOIN \1"),
    # psycopg's own marks.
    (re.compile("%"), "%%"),
)
_MARK = re.compile(r"\?(\[\])?")


@dataclass(frozen=True)
class Statement:
    """SQL with the marks of psycopg; `lists` are the places of parameters that are lists."""

    sql: str
    lists: frozenset[int] = frozenset()


@lru_cache(maxsize=_MOST_KEPT)
def translated(sql: str) -> Statement:
    """Return a statement of the store in PostgreSQL's dialect.

    Example:
        >>> translated("SELECT 1 FROM runs AS r WHERE +r.id IN (SELECT value FROM json_each(?))")
        Statement(sql='SELECT 1 FROM runs AS r WHERE r.id = ANY(%s)', lists=frozenset({0}))
    """
    for pattern, replacement in _RULES:
        sql = pattern.sub(replacement, sql)
    marks = [mark[1] for mark in _MARK.finditer(sql)]
    lists = frozenset(place for place, is_list in enumerate(marks) if is_list)
    return Statement(_MARK.sub("%s", sql), lists)


@lru_cache
def upsert(table: str, columns: tuple[str, ...], key: tuple[str, ...]) -> str:
    """Return the statement that adds a row, or replaces the one with its key.

    Without a key, which no other row may have then, it adds one.

    Example:
        >>> upsert("teas", ("id",), ())
        'INSERT INTO teas (id) VALUES (%s)'
    """
    marks = ", ".join(["%s"] * len(columns))
    sql = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"  # noqa: S608 constants
    changes = ", ".join(f"{name} = EXCLUDED.{name}" for name in columns if name not in key)
    if not key or not set(key) <= set(columns):
        return sql
    return f"{sql} ON CONFLICT ({', '.join(key)}) DO UPDATE SET {changes}"
