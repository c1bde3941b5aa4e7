"""The store's statements, which are written for SQLite, in PostgreSQL's dialect. Pure functions.

Most of them say the same in both. What differs is here, as rules on the text of a statement, and in
`functions`, which has those that SQLite or the store's own module `sql_functions` defines. Whatever
else a statement needs has to be written so that both understand it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from typing import Any

import orjson

from langchain_finetune.local.store.filter_sql import ENTRY_TEXT, MAY_HAVE

_MOST_KEPT = 500
"""Translations that are kept; those of clients' filters have no end."""

_MAY_HAVE = re.escape(MAY_HAVE).replace(re.escape("{a}"), r"\w+").replace(r"\?", r"\?(\d+)")

_JSON_CONTAINS = (
    r"coalesce((SELECT CASE WHEN strpos(low.text, '\\u') = 0"
    r" AND octet_length(low.text) = length(low.text) AND strpos(low.text, \2e) = 0"
    r" THEN FALSE ELSE lcft_json_contains(\1, \2, \2e) END"
    r' FROM (SELECT lower(\1 COLLATE "C") AS text OFFSET 0) AS low'
    r" WHERE low.text IS NOT NULL), FALSE)"
)

# Each mark has its number here, so that one value may be named twice.
_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    # A file's signatures of runs tell what need not be read; here all is held against the filter.
    (re.compile(_MAY_HAVE), r"(?\1::text IS NOT NULL OR ?\2::text IS NOT NULL)"),
    # What is inside JSON comes as text already.
    (re.compile(re.escape(ENTRY_TEXT)), "entry.value"),
    (re.compile(r"json_each\(leaves\(([^()]+)\)\) AS leaf"), r"lcft_leaves(\1) AS leaf"),
    (re.compile(r"json_extract\(leaf\.value, '\$\[0\]'\)"), "leaf.key"),
    (re.compile(r"json_extract\(leaf\.value, '\$\[1\]'\)"), "leaf.value"),
    # A list of values is one parameter in both: here it is an array, which indexes are read by.
    (re.compile(r" IN \(SELECT value FROM json_each\((\?\d+)\)\)"), r" = ANY(\1[])"),
    # Most texts have no such word: this is seen without the call of a function, in a third of the
    # time. `sql_functions.json_contains` says why it is right; here also other letters fold.
    (
        re.compile(r"json_contains\(([\w.]+), (\?\d+)\)"),
        _JSON_CONTAINS,
    ),
    (re.compile(r"\b(json_each|json_extract|casefold|instr)\("), r"lcft_\1("),
    (re.compile(r"\bgroup_concat\(([^()]+)\)"), r"string_agg((\1)::text, ',')"),
    # The plus keeps SQLite from reading an index.
    (re.compile(r"(?<=[\s(])\+(?=[a-z])"), ""),
    (re.compile(r"\bIS NOT (\?\d+)"), r"IS DISTINCT FROM \1"),
    (re.compile(r"\bIS (\?\d+)"), r"IS NOT DISTINCT FROM \1"),
    # Which of two tables is read first is for PostgreSQL to say.
    (re.compile(r"\bCROSS JOIN (\w+ AS \w+ ON\b)"), r"JOIN \1"),
    # psycopg's own marks.
    (re.compile("%"), "%%"),
)
_MARK = re.compile(r"\?(\d+)(e|\[\])?")


@dataclass(frozen=True)
class Statement:
    """SQL with the marks of psycopg: a value's number, with an `e` for it as JSON writes it.

    `lists` are the numbers of values that are lists.
    """

    sql: str
    lists: frozenset[int] = frozenset()
    escaped: frozenset[int] = frozenset()

    def values(self, given: Sequence[Any]) -> Mapping[str, Any]:
        """Return the values of the marks."""
        found = {
            str(number): [text_value(each) for each in orjson.loads(value)]
            if number in self.lists
            else text_value(value)
            for number, value in enumerate(given)
        }
        escaped = {f"{number}e": _escaped(given[number]) for number in self.escaped}
        return found | escaped


@lru_cache(maxsize=_MOST_KEPT)
def translated(sql: str) -> Statement:
    """Return a statement of the store in PostgreSQL's dialect.

    Example:
        >>> translated("SELECT id FROM runs WHERE +id IN (SELECT value FROM json_each(?))").sql
        'SELECT id FROM runs WHERE id = ANY(%(0)s)'
    """
    numbers = count()
    sql = re.sub(r"\?", lambda _: f"?{next(numbers)}", sql)
    for pattern, replacement in _RULES:
        sql = pattern.sub(replacement, sql)
    marks = list(_MARK.finditer(sql))
    return Statement(
        _MARK.sub(lambda mark: f"%({mark[1]}{'e' if mark[2] == 'e' else ''})s", sql),
        lists=frozenset(int(mark[1]) for mark in marks if mark[2] == "[]"),
        escaped=frozenset(int(mark[1]) for mark in marks if mark[2] == "e"),
    )


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


def text_value(value: Any) -> Any:
    """Return a value as PostgreSQL can hold it: its texts hold no null character."""
    return value.replace("\0", "\ufffd") if isinstance(value, str) else value


def _escaped(text: str) -> str:
    return orjson.dumps(text_value(text)).decode()[1:-1]
