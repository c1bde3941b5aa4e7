"""Filters as SQL conditions over one table and the rows that belong to it.

A run has many feedback rows and many metadata entries. Conditions on them that stand side by side
in one `and` mean the same row: `and(eq(feedback_key, "user_score"), gt(feedback_score, 0))` asks
for a user score above zero. A nested `and` or `not` speaks of a row of its own.

What is denied of them holds of all rows: `neq(metadata_key, "tier")` asks for runs without that
key. Only beside a condition that one row has to meet, the denial of anything but the key is of that
row: `and(eq(metadata_key, "tier"), neq(metadata_value, "gold"))`.
Source of fact: https://docs.langchain.com/langsmith/export-traces (negative filtering)
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

import orjson

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.sqlite import Where, all_of, any_of, negated
from langchain_finetune.local.store.filter_parser import (
    MAX_CONDITIONS,
    Comparison,
    Expression,
    Logic,
    Scalar,
)
from langchain_finetune.local.store.signatures import marks_of_entry, marks_of_search
from langchain_finetune.local.store.sql_functions import contains
from langchain_finetune.local.store.values import json_text, micros

ValueKind = Literal["text", "lower", "number", "duration", "time", "flag", "tag", "json", "entry"]
"""What a field holds: `entry` is any value inside JSON, as text; `json` is JSON as a whole."""

_ORDER = frozenset({"eq", "neq", "gt", "gte", "lt", "lte", "in"})
_ALLOWED: Mapping[ValueKind, frozenset[str]] = {
    "text": _ORDER | {"search"},
    "entry": _ORDER | {"search"},
    "lower": frozenset({"eq", "neq", "in"}),
    "number": _ORDER,
    "duration": _ORDER,
    "time": _ORDER,
    "flag": frozenset({"eq", "neq"}),
    "tag": frozenset({"has", "eq", "neq", "in", "search"}),
    "json": frozenset({"search"}),
}
"""The comparators of each kind of field."""

_SEARCHED = frozenset({"name", "error", "inputs", "outputs"})
"""The fields that `search("text")` looks in."""

_UNITS = {"": 1_000_000, "ms": 1000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000}
_DURATION = re.compile(r"(\d{1,15}(?:\.\d{1,15})?)\s*(ms|s|m|h|)", re.ASCII)

_SIGNS = {"eq": "=", "has": "=", "neq": "IS NOT", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_NULLABLE = frozenset({"eq", "neq"})


@dataclass(frozen=True)
class Field:
    """A comparable field: its SQL, in which `{a}` is the table's alias, and its type."""

    sql: str
    kind: ValueKind = "text"


@dataclass(frozen=True)
class Rows:
    """Rows that belong to one row of the table; `source` follows `FROM`, with the join in `WHERE`.

    If `joint`, conditions side by side in an `and` mean the same row; `key` tells rows apart.
    """

    source: str
    fields: Mapping[str, Field]
    joint: bool = True
    key: str | None = None


@dataclass(frozen=True)
class Filterable:
    """A table that filters are about: fields, rows that belong to it, SQL of its metadata.

    If `signed`, its rows have signatures, which tell what need not be read.
    """

    fields: Mapping[str, Field]
    rows: Mapping[str, Rows]
    metadata: str
    signed: bool = False


def filter_condition(expression: Expression, table: Filterable, alias: str) -> Where:
    """Return the SQL of a parsed filter on a table of this alias.

    Raises:
        ApiError: 400 for an unknown field, or a comparison that makes no sense for its field.
    """
    return _Compiler(table, alias).condition(expression)


@dataclass(frozen=True)
class _Compiler:
    table: Filterable
    alias: str

    def condition(self, expression: Expression) -> Where:
        if isinstance(expression, Comparison):
            return self._comparison(expression)
        if expression.operator == "not":
            return negated(self.condition(expression.operands[0]))
        if expression.operator == "or":
            return any_of(self.condition(operand) for operand in expression.operands)
        return self._all_of(expression.operands)

    def _all_of(self, operands: tuple[Expression, ...]) -> Where:
        conditions, joint = [], dict[str, list[Expression]]()
        for operand in operands:
            name = self._rows_of(operand)
            if name is not None and self.table.rows[name].joint:
                joint.setdefault(name, []).append(operand)
            else:
                conditions.append(self.condition(operand))
        for name, members in joint.items():
            conditions.append(self._of_rows(name, members))
        return all_of(conditions)

    def _of_rows(self, name: str, members: list[Expression]) -> Where:
        """Return the condition of what stands side by side about one kind of rows."""
        key = self.table.rows[name].key
        in_row = [member for member in members if not _denies(member)]
        absent: list[Comparison] = []
        for member in members:
            if isinstance(member, Comparison) and _denies(member):
                if in_row and member.field != key:
                    in_row.append(member)
                else:
                    absent.append(member)
        conditions = [
            negated(self._exists(name, self._in_row(Comparison("eq", each.field, each.value))))
            for each in absent
        ]
        if in_row:
            marks = _marks_of_entries(in_row) if name == "metadata" else []
            exact = self._exists(name, all_of(map(self._in_row, in_row)))
            conditions.append(self._signed(marks, exact))
        return all_of(conditions)

    def _signed(self, marks: list[int], exact: Where) -> Where:
        """Return a condition that first asks the signatures; it is true of the same rows."""
        if not self.table.signed or not marks:
            return exact
        text = orjson.dumps(marks).decode()
        return all_of([Where(MAY_HAVE.format(a=self.alias), (text, text)), exact])

    def _comparison(self, comparison: Comparison) -> Where:
        if comparison.field == "metadata":
            return self._metadata(comparison)
        if comparison.field is None:
            exact = any_of(
                _compare(Comparison("search", name, comparison.value), field, self.alias)
                for name, field in self.table.fields.items()
                if name in _SEARCHED
            )
            return self._signed(_marks_of_text(comparison), exact)
        name = self._rows_of(comparison)
        if name is not None:
            return self._of_rows(name, [comparison])
        field = self.table.fields.get(comparison.field)
        if field is None:
            raise _refused(f"There is no field {comparison.field!r} to filter by.")
        exact = _compare(comparison, field, self.alias)
        is_signed = comparison.comparator == "search" and comparison.field in _SEARCHED
        return self._signed(_marks_of_text(comparison) if is_signed else [], exact)

    def _rows_of(self, expression: Expression) -> str | None:
        """Return the name of the rows that all its comparisons speak of, if one row can do."""
        if isinstance(expression, Comparison):
            for name, rows in self.table.rows.items():
                if expression.field in rows.fields:
                    return name
            return None
        if expression.operator != "or" or any(map(_denies, expression.operands)):
            return None
        found = {self._rows_of(operand) for operand in expression.operands}
        return found.pop() if len(found) == 1 else None

    def _in_row(self, expression: Expression) -> Where:
        if isinstance(expression, Logic):
            return any_of(map(self._in_row, expression.operands))
        rows = self.table.rows[self._rows_of(expression) or ""]
        return _compare(expression, rows.fields[expression.field or ""], self.alias)

    def _exists(self, name: str, row: Where) -> Where:
        source = self.table.rows[name].source.format(a=self.alias)
        return Where(f"EXISTS (SELECT 1 FROM {source} AND ({row.sql}))", row.values)  # noqa: S608

    def _metadata(self, comparison: Comparison) -> Where:
        entries = f"json_each({self.table.metadata.format(a=self.alias)}) AS entry"
        if comparison.comparator == "exists" and isinstance(comparison.value, str):
            sql = f"EXISTS (SELECT 1 FROM {entries} WHERE entry.key = ?)"  # noqa: S608
            return self._signed(marks_of_entry(comparison.value), Where(sql, (comparison.value,)))
        if comparison.comparator != "has":
            raise _refused('metadata takes has(metadata, \'{"key": "value"}\').')
        return all_of(
            self._signed(
                marks_of_entry(key, json_text(value)),
                Where(
                    f"EXISTS (SELECT 1 FROM {entries} "  # noqa: S608 constants and "?"
                    f"WHERE entry.key = ? AND {ENTRY_TEXT} = ?)",
                    (key, json_text(value)),
                ),
            )
            for key, value in _metadata_object(comparison.value).items()
        )


def _denies(expression: Expression) -> bool:
    """Return whether a condition is a denial; that a field is not null is not one."""
    return (
        isinstance(expression, Comparison)
        and expression.comparator == "neq"
        and expression.value is not None
    )


def _marks_of_text(comparison: Comparison) -> list[int]:
    value = comparison.value
    return marks_of_search(value) if isinstance(value, str) else []


def _marks_of_entries(members: Iterable[Expression]) -> list[int]:
    """Return the marks of what is asked of one entry of metadata: its key, its value or both."""
    asked: dict[str | None, str] = {}
    for member in members:
        if isinstance(member, Comparison) and member.comparator == "eq":
            value = member.value
            if value is None or isinstance(value, tuple) or member.field in asked:
                return []
            asked[member.field] = json_text(value)
    return marks_of_entry(asked.get("metadata_key"), asked.get("metadata_value"))


MAY_HAVE = "(NOT is_rare(?) OR +{a}.id IN (SELECT value FROM json_each(may_have(?))))"
"""Whether a row may have all of some marks, given twice: see `signer`."""

ENTRY_TEXT = (
    "(CASE entry.type WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' WHEN 'null' THEN 'null' "
    "ELSE CASE typeof(entry.value) WHEN 'real' THEN number_text(entry.value) "
    "ELSE CAST(entry.value AS TEXT) END END)"
)
"""A value inside JSON as text, as `json_text` gives it."""


def _compare(comparison: Comparison, field: Field, alias: str) -> Where:
    name, comparator, value = comparison.field, comparison.comparator, comparison.value
    sql = field.sql.format(a=alias)
    if comparator not in _ALLOWED[field.kind]:
        raise _refused(f"{comparator}() does not go with the field {name!r}.")
    if comparator == "in":
        if not isinstance(value, tuple):
            raise _refused(f"in() takes a list for the field {name!r}.")
        members = [_converted(member, field.kind, name) for member in value]
        # One question mark, however long the list.
        return Where(
            f"{sql} IN (SELECT value FROM json_each(?))",  # noqa: S608 constants and "?"
            (orjson.dumps(members).decode(),),
        )
    if isinstance(value, tuple):
        raise _refused(f"{comparator}() takes one value for the field {name!r}.")
    if comparator == "search":
        return _search(value, field, sql)
    if value is None and comparator in _NULLABLE and field.kind != "entry":
        return Where(f"{sql} IS {'NOT ' if comparator == 'neq' else ''}NULL")
    return Where(f"{sql} {_SIGNS[comparator]} ?", (_converted(value, field.kind, name),))


def _search(value: Scalar, field: Field, sql: str) -> Where:
    if not isinstance(value, str):
        raise _refused("search() takes a text.")
    if field.kind == "json":
        return Where(f"json_contains({sql}, ?)", (value.casefold(),))
    return contains(sql, value)


def _converted(value: Scalar, kind: ValueKind, name: str | None) -> Scalar:
    """Return a value in the store's format of the field, or refuse it."""
    found = _CONVERT[kind](value)
    if found is None:
        # The value itself may be what a user wrote.
        raise _refused(f"A value is not one that the field {name!r} can have.")
    return found


def _metadata_object(value: Any) -> dict[str, Any]:
    """Return the JSON object of `has(metadata, ...)`."""
    try:
        found = orjson.loads(value) if isinstance(value, str) else None
        # What is nested too deep to be written can't be compared.
        orjson.dumps(found)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        found = None
    if not isinstance(found, dict):
        raise _refused("has(metadata, ...) takes a JSON object in quotes.")
    if len(found) > MAX_CONDITIONS:
        raise _refused(f"has(metadata, ...) takes at most {MAX_CONDITIONS} keys.")
    return found


def _refused(message: str) -> ApiError:
    return ApiError(400, message, code="invalid_filter", param="filter")


def _text(value: Scalar) -> str | None:
    return None if value is None else json_text(value)


def _number(value: Scalar) -> float | None:
    try:
        number = math.nan if value is None else float(value)
    except ValueError:
        return None
    # SQLite would take NaN for a null.
    return None if math.isnan(number) else number


def _duration(value: Scalar) -> int | None:
    """Understand `5`, `"5s"`, `"200ms"`, `"2m"` and `"1h"`; in microseconds."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        fits = abs(value) < 10**12
        return round(Decimal(str(value)) * _UNITS["s"]) if fits else None
    found = _DURATION.fullmatch(str(value).strip())
    return round(Decimal(found[1]) * _UNITS[found[2]]) if found else None


def _flag(value: Scalar) -> bool | None:
    return value if isinstance(value, bool) else None


_CONVERT: Mapping[ValueKind, Callable[[Scalar], Scalar]] = {
    "text": _text,
    "tag": _text,
    "json": _text,
    "entry": json_text,
    "lower": lambda value: value.lower() if isinstance(value, str) else None,
    "number": _number,
    "duration": _duration,
    "time": micros,
    "flag": _flag,
}
