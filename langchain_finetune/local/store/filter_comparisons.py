"""Which comparisons make sense for which fields of a filter, and what their values mean."""

import math
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Literal

import orjson

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.store.filter_parser import MAX_CONDITIONS, Scalar
from langchain_finetune.local.store.values import json_text, micros

ValueKind = Literal["text", "lower", "number", "duration", "time", "flag", "tag", "json", "entry"]
"""What a field holds: `entry` is any value inside JSON, as text; `json` is JSON as a whole."""

_ORDER = frozenset({"eq", "neq", "gt", "gte", "lt", "lte", "in"})
ALLOWED: Mapping[ValueKind, frozenset[str]] = {
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

_UNITS = {"": 1_000_000, "ms": 1000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000}
_DURATION = re.compile(r"(\d{1,15}(?:\.\d{1,15})?)\s*(ms|s|m|h|)", re.ASCII)


def converted(value: Scalar, kind: ValueKind, name: str | None) -> Scalar:
    """Return a value as the store keeps such fields.

    Raises:
        ApiError: 400; it is no value for such a field.
    """
    found = _CONVERT[kind](value)
    if found is None:
        # The value itself may be what a user wrote.
        raise refused(f"A value is none that the field {name!r} can have.")
    return found


def metadata_object(value: Any) -> dict[str, Any]:
    """Return the object of `has(metadata, ...)`.

    Raises:
        ApiError: 400; it is no JSON object in quotes.
    """
    try:
        found = orjson.loads(value) if isinstance(value, str) else None
        # What is nested too deep to be written can't be compared.
        orjson.dumps(found)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        found = None
    if not isinstance(found, dict):
        raise refused("has(metadata, ...) takes a JSON object in quotes.")
    if len(found) > MAX_CONDITIONS:
        raise refused(f"has(metadata, ...) takes at most {MAX_CONDITIONS} keys.")
    return found


def refused(message: str) -> ApiError:
    """Return the error for a filter that makes no sense."""
    return ApiError(400, message, code="invalid_filter", param="filter")


def _text(value: Scalar) -> str | None:
    return None if value is None else json_text(value)


def _number(value: Scalar) -> float | None:
    try:
        number = math.nan if value is None else float(value)
    except ValueError:
        return None
    # SQLite would take what is no number for a null.
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


def _flag(value: Scalar) -> int | None:
    return int(value) if isinstance(value, bool) else None


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
