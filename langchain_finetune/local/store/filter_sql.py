"""Filters as SQL conditions over one table and the rows that belong to it.

A run has many feedback rows and many metadata entries. Conditions on them that stand side by side
in one `and` mean the same row: `and(eq(feedback_key, "user_score"), gt(feedback_score, 0))` asks
for a user score above zero. A nested `and` or `not` speaks of a row of its own.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.store.filters import Comparison, Expression, Logic, Scalar
from langchain_finetune.local.store.sql import Where, all_of, any_of, negated
from langchain_finetune.local.store.timestamps import micros

Kind = Literal["text", "lower", "number", "seconds", "time", "flag", "tag", "json"]

_ORDER = frozenset({"eq", "neq", "gt", "gte", "lt", "lte", "in"})
_ALLOWED: Mapping[Kind, frozenset[str]] = {
    "text": _ORDER | {"search"},
    "lower": frozenset({"eq", "neq", "in"}),
    "number": _ORDER,
    "seconds": _ORDER,
    "time": _ORDER,
    "flag": frozenset({"eq", "neq"}),
    "tag": frozenset({"has", "eq", "in", "search"}),
    "json": frozenset({"search"}),
}
_SIGNS = {"eq": "IS", "has": "IS", "neq": "IS NOT", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_NULLABLE = frozenset({"eq", "neq"})


@dataclass(frozen=True)
class Field:
    """A field that can be compared: its SQL, where `{a}` is the table's alias, and its kind."""

    sql: str
    kind: Kind = "text"


@dataclass(frozen=True)
class Rows:
    """Rows that belong to one row of the table.

    Attributes:
        source: What follows `FROM`, up to and with the join in `WHERE`.
        fields: The fields of such a row.
        joint: Whether conditions side by side in an `and` mean the same row.
    """

    source: str
    fields: Mapping[str, Field]
    joint: bool = True


@dataclass(frozen=True)
class Filterable:
    """A table that filters are about.

    Attributes:
        fields: Its own fields.
        rows: What belongs to it, by any name.
        metadata: SQL of its metadata, a JSON object.
    """

    fields: Mapping[str, Field]
    rows: Mapping[str, Rows]
    metadata: str


def filter_condition(expression: Expression, table: Filterable, alias: str) -> Where:
    """Return the SQL of a filter.

    Args:
        expression: The parsed filter.
        table: What its fields mean.
        alias: The table's name in the query around it.

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
            conditions.append(self._exists(name, all_of(map(self._in_row, members))))
        return all_of(conditions)

    def _comparison(self, comparison: Comparison) -> Where:
        if comparison.field == "metadata":
            return self._metadata(comparison)
        if comparison.field is None:
            searched = ("name", "error", "inputs", "outputs")
            return any_of(
                _compare(Comparison("search", name, comparison.value), field, self.alias)
                for name, field in self.table.fields.items()
                if name in searched
            )
        name = self._rows_of(comparison)
        if name is not None:
            return self._exists(name, self._in_row(comparison))
        field = self.table.fields.get(comparison.field)
        if field is None:
            raise _refused(f"There is no field {comparison.field!r} to filter by.")
        return _compare(comparison, field, self.alias)

    def _rows_of(self, expression: Expression) -> str | None:
        """Return the name of the rows that all its comparisons speak of, if one row can do."""
        if isinstance(expression, Comparison):
            for name, rows in self.table.rows.items():
                if expression.field in rows.fields:
                    return name
            return None
        found = {self._rows_of(operand) for operand in expression.operands}
        return found.pop() if expression.operator == "or" and len(found) == 1 else None

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
            key = Where("entry.key = ?", (comparison.value,))
            return Where(f"EXISTS (SELECT 1 FROM {entries} WHERE {key.sql})", key.values)  # noqa: S608
        if comparison.comparator != "has":
            raise _refused('metadata takes has(metadata, \'{"key": "value"}\').')
        return all_of(
            Where(
                f"EXISTS (SELECT 1 FROM {entries} "  # noqa: S608 constants and "?"
                f"WHERE entry.key = ? AND {ENTRY_TEXT} = ?)",
                (key, json_text(value)),
            )
            for key, value in _object(comparison.value).items()
        )


ENTRY_TEXT = (
    "(CASE entry.type WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' "
    "WHEN 'null' THEN 'null' ELSE CAST(entry.value AS TEXT) END)"
)
"""A value inside JSON as text; LangSmith compares metadata as text too."""


def json_text(value: Any) -> str:
    """Return a value of JSON as `ENTRY_TEXT` gives it."""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


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
    if value is None and comparator in _NULLABLE:
        return Where(f"{sql} {_SIGNS[comparator]} NULL")
    return Where(f"{sql} {_SIGNS[comparator]} ?", (_converted(value, field.kind, name),))


def _search(value: Scalar, field: Field, sql: str) -> Where:
    if not isinstance(value, str):
        raise _refused("search() takes a text.")
    needle = orjson.dumps(value).decode()[1:-1] if field.kind == "json" else value
    return Where(f"instr(casefold({sql}), ?) > 0", (needle.casefold(),))


def _converted(value: Scalar, kind: Kind, name: str | None) -> Scalar:
    converted = _CONVERT[kind](value)
    if converted is None:
        raise _refused(f"{value!r} is no value for the field {name!r}.")
    return converted


def _text(value: Scalar) -> str | None:
    return None if value is None else json_text(value)


def _number(value: Scalar) -> float | None:
    try:
        return None if value is None else float(value)
    except ValueError:
        return None


_UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def _seconds(value: Scalar) -> float | None:
    """Understand `5`, `"5s"`, `"200ms"`, `"2m"` and `"1h"`."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|)", str(value).strip())
    return float(found[1]) * _UNITS[found[2]] if found else None


def _flag(value: Scalar) -> int | None:
    return int(value) if isinstance(value, bool) else None


_CONVERT: Mapping[Kind, Callable[[Scalar], Scalar]] = {
    "text": _text,
    "tag": _text,
    "json": _text,
    "lower": lambda value: value.lower() if isinstance(value, str) else None,
    "number": _number,
    "seconds": _seconds,
    "time": micros,
    "flag": _flag,
}


def _object(value: Any) -> dict[str, Any]:
    try:
        found = orjson.loads(value) if isinstance(value, str) else None
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise _refused("has(metadata, ...) takes a JSON object in quotes.")
    return found


def _refused(message: str) -> ApiError:
    return ApiError(400, message, code="invalid_filter", param="filter")
