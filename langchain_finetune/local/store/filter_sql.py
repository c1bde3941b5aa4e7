"""Filters as SQL conditions over one table and the rows that belong to it.

A run has many feedback rows and many metadata entries. Conditions on them that stand side by side
in one `and` mean the same row: `and(eq(feedback_key, "user_score"), gt(feedback_score, 0))` asks
for a user score above zero. A nested `and` or `not` speaks of a row of its own.

What is denied of them holds of all rows: `neq(metadata_key, "tier")` asks for runs without that
key. Only beside a condition that one row has to meet, the denial of anything but the key is of that
row: `and(eq(metadata_key, "tier"), neq(metadata_value, "gold"))`.
Source of fact: https://docs.langchain.com/langsmith/export-traces (negative filtering)
"""

from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from langchain_finetune.local.sqlite import Where, all_of, any_of, negated
from langchain_finetune.local.store.filter_comparisons import (
    ALLOWED,
    ValueKind,
    converted,
    metadata_object,
    refused,
)
from langchain_finetune.local.store.filter_parser import Comparison, Expression, Logic, Scalar
from langchain_finetune.local.store.values import json_text

_SIGNS = {"eq": "IS", "has": "IS", "neq": "IS NOT", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_NULLABLE = frozenset({"eq", "neq"})


@dataclass(frozen=True)
class Field:
    """A field that can be compared: its SQL, where `{a}` is the table's alias, and its kind."""

    sql: str
    kind: ValueKind = "text"


@dataclass(frozen=True)
class Rows:
    """Rows that belong to one row of the table.

    Attributes:
        source: What follows `FROM`, up to and with the join in `WHERE`.
        fields: The fields of such a row.
        joint: Whether conditions side by side in an `and` mean the same row.
        key: The field that such rows are told apart by, if there is one.
    """

    source: str
    fields: Mapping[str, Field]
    joint: bool = True
    key: str | None = None


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
            conditions.append(self._exists(name, all_of(map(self._in_row, in_row))))
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
            return self._of_rows(name, [comparison])
        field = self.table.fields.get(comparison.field)
        if field is None:
            raise refused(f"There is no field {comparison.field!r} to filter by.")
        return _compare(comparison, field, self.alias)

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
            key = Where("entry.key = ?", (comparison.value,))
            return Where(f"EXISTS (SELECT 1 FROM {entries} WHERE {key.sql})", key.values)  # noqa: S608
        if comparison.comparator != "has":
            raise refused('metadata takes has(metadata, \'{"key": "value"}\').')
        return all_of(
            Where(
                f"EXISTS (SELECT 1 FROM {entries} "  # noqa: S608 constants and "?"
                f"WHERE entry.key = ? AND {ENTRY_TEXT} = ?)",
                (key, json_text(value)),
            )
            for key, value in metadata_object(comparison.value).items()
        )


def _denies(expression: Expression) -> bool:
    """Tell whether a condition says what is not; that something is not null says what is."""
    return (
        isinstance(expression, Comparison)
        and expression.comparator == "neq"
        and expression.value is not None
    )


ENTRY_TEXT = (
    "(CASE entry.type WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' WHEN 'null' THEN 'null' "
    "ELSE CASE typeof(entry.value) WHEN 'real' THEN number_text(entry.value) "
    "ELSE CAST(entry.value AS TEXT) END END)"
)
"""A value inside JSON as text, as `json_text` gives it."""


def _compare(comparison: Comparison, field: Field, alias: str) -> Where:
    name, comparator, value = comparison.field, comparison.comparator, comparison.value
    sql = field.sql.format(a=alias)
    if comparator not in ALLOWED[field.kind]:
        raise refused(f"{comparator}() does not go with the field {name!r}.")
    if comparator == "in":
        if not isinstance(value, tuple):
            raise refused(f"in() takes a list for the field {name!r}.")
        members = [converted(member, field.kind, name) for member in value]
        # One question mark, however long the list.
        return Where(
            f"{sql} IN (SELECT value FROM json_each(?))",  # noqa: S608 constants and "?"
            (orjson.dumps(members).decode(),),
        )
    if isinstance(value, tuple):
        raise refused(f"{comparator}() takes one value for the field {name!r}.")
    if comparator == "search":
        return _search(value, field, sql)
    if value is None and comparator in _NULLABLE and field.kind != "entry":
        return Where(f"{sql} {_SIGNS[comparator]} NULL")
    return Where(f"{sql} {_SIGNS[comparator]} ?", (converted(value, field.kind, name),))


def _search(value: Scalar, field: Field, sql: str) -> Where:
    if not isinstance(value, str):
        raise refused("search() takes a text.")
    condition = f"says({sql}, ?)" if field.kind == "json" else f"instr(casefold({sql}), ?) > 0"
    return Where(condition, (value.casefold(),))
