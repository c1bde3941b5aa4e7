"""LangSmith's filter language: text in, a small tree out.

```text
expression = comparator "(" field "," value ")" | "search" "(" text ")"
           | ("and" | "or") "(" expression {"," expression} ")" | "not" "(" expression ")"
comparator = "eq" | "neq" | "gt" | "gte" | "lt" | "lte" | "in" | "has" | "search" | "exists"
value      = string | number | "true" | "false" | "null" | "[" [value {"," value}] "]"
```

Source of fact: https://docs.langchain.com/langsmith/trace-query-syntax
"""

import re
from dataclasses import dataclass
from typing import TypeAlias

from langchain_finetune.local.api_error import ApiError

COMPARATORS = frozenset({"eq", "neq", "gt", "gte", "lt", "lte", "in", "has", "search", "exists"})
LOGIC = frozenset({"and", "or", "not"})

MAX_CHARACTERS = 100_000
MAX_DEPTH = 30
MAX_CONDITIONS = 200
"""Larger trees would meet the limits of the parser and of SQLite."""

MAX_DIGITS = 18

Scalar: TypeAlias = str | int | float | bool | None
Value: TypeAlias = Scalar | tuple[Scalar, ...]


@dataclass(frozen=True)
class Comparison:
    """One condition, such as `gt(latency, 5)`; `search("text")` looks everywhere, in no field."""

    comparator: str
    field: str | None
    value: Value


@dataclass(frozen=True)
class Logic:
    """`and`, `or` or `not` of other conditions."""

    operator: str
    operands: tuple["Expression", ...]


Expression: TypeAlias = Comparison | Logic


def parse_filter(text: str) -> Expression:
    """Parse a filter, such as `and(eq(feedback_key, "user_score"), gt(feedback_score, 0))`.

    Raises:
        ApiError: 400 with the place of the fault.
    """
    if len(text) > MAX_CHARACTERS:
        raise _fault(f"it is longer than {MAX_CHARACTERS} characters")
    parser = _Parser(text)
    expression = parser.expression(depth=0)
    parser.end()
    return expression


def _fault(what: str) -> ApiError:
    return ApiError(400, f"The filter is malformed: {what}.", code="invalid_filter", param="filter")


_TOKEN = re.compile(
    r"""\s*(?:
        (?P<mark>[(),\[\]])
      | (?P<string>"(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*')
      | (?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w.])
      | (?P<word>[A-Za-z_]\w*)
    )""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r"}
_CONSTANTS: dict[str, Scalar] = {"true": True, "false": False, "null": None}


class _Parser:
    """Recursive descent; `position` is after the last token."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0
        self._conditions = 0

    def expression(self, depth: int) -> Expression:
        if depth > MAX_DEPTH:
            raise _fault(f"it is nested deeper than {MAX_DEPTH} levels")
        self._conditions += 1
        if self._conditions > MAX_CONDITIONS:
            raise _fault(f"it has more than {MAX_CONDITIONS} conditions")
        name = self._word()
        if name not in COMPARATORS | LOGIC:
            raise _fault(f"there is no operator {name!r}")
        self._mark("(")
        if name in LOGIC:
            return Logic(name, self._operands(name, depth))
        comparison = self._comparison(name)
        self._mark(")")
        return comparison

    def end(self) -> None:
        if self._text[self._position :].strip():
            raise self._unexpected("the end")

    def _operands(self, name: str, depth: int) -> tuple[Expression, ...]:
        operands = [self.expression(depth + 1)]
        while self._mark(",)") == ",":
            operands.append(self.expression(depth + 1))
        if name == "not" and len(operands) > 1:
            raise _fault("not() takes one condition")
        return tuple(operands)

    def _comparison(self, name: str) -> Comparison:
        if name == "search" and self._peek().lastgroup == "string":
            return Comparison(name, None, self._value())
        field = self._word()
        self._mark(",")
        return Comparison(name, field, self._value())

    def _value(self) -> Value:
        if self._peek().group("mark") != "[":
            return self._scalar()
        self._mark("[")
        if self._peek().group("mark") == "]":
            self._mark("]")
            return ()
        values = [self._scalar()]
        while self._mark(",]") == ",":
            values.append(self._scalar())
        return tuple(values)

    def _scalar(self) -> Scalar:
        found = self._peek()
        self._position = found.end()
        token = found.group(found.lastgroup or 0)
        if found.lastgroup == "string":
            return _ESCAPE.sub(lambda m: _ESCAPED.get(m[1], m[1]), token[1:-1])
        if found.lastgroup == "number":
            # SQLite's integers have 64 bits.
            is_integer = token.lstrip("-").isdigit() and len(token) <= MAX_DIGITS
            return int(token) if is_integer else float(token)
        if token in _CONSTANTS:
            return _CONSTANTS[token]
        self._position = found.start()
        raise self._unexpected("a value")

    def _word(self) -> str:
        found = self._peek()
        if found.lastgroup != "word":
            raise self._unexpected("a name")
        self._position = found.end()
        return found.group("word")

    def _mark(self, marks: str) -> str:
        found = self._peek()
        if not found.group("mark") or found.group("mark") not in marks:
            raise self._unexpected(" or ".join(f"'{mark}'" for mark in marks))
        self._position = found.end()
        return found.group("mark")

    def _peek(self) -> re.Match[str]:
        found = _TOKEN.match(self._text, self._position)
        if found is None:
            raise self._unexpected("a name or a value")
        return found

    def _unexpected(self, expected: str) -> ApiError:
        # The place and not the text: filters can hold what users wrote.
        return _fault(f"{expected} is missing at character {self._position + 1}")
