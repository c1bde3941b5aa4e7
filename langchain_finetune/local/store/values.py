"""Ids, times and JSON: as clients write them, and as the store keeps them.

Times are whole microseconds since 1970, in UTC.
"""

import datetime as dt
from typing import Any
from uuid import UUID

import orjson

from langchain_finetune.local.api_error import ApiError

MAX_VALUES = 4_000_000
"""Most values in JSON. Each takes up to a hundred times its bytes once it is parsed."""

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)
_FIRST = (dt.datetime.min.replace(tzinfo=dt.UTC) - EPOCH) // _MICROSECOND
_LAST = (dt.datetime.max.replace(tzinfo=dt.UTC) - EPOCH) // _MICROSECOND


def now() -> int:
    """Return the present time."""
    return (dt.datetime.now(dt.UTC) - EPOCH) // _MICROSECOND


def micros(value: Any) -> int | None:
    """Return the time that a client wrote, or None where it is none.

    Args:
        value: ISO 8601 text, where no offset means UTC, or milliseconds since 1970, as old
            LangSmith clients in JavaScript wrote them.
    """
    try:
        if isinstance(value, str):
            moment = dt.datetime.fromisoformat(value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            moment = EPOCH + dt.timedelta(milliseconds=value)
        else:
            return None
    except (OverflowError, ValueError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    time = (moment - EPOCH) // _MICROSECOND
    # An offset can push a time out of what a `datetime` holds.
    return time if _FIRST <= time <= _LAST else None


def iso(time: int) -> str:
    """Return a time as LangSmith's API writes it: `2026-11-20T11:37:14.209962+00:00`."""
    return moment(time).isoformat(timespec="microseconds")


def moment(time: int) -> dt.datetime:
    """Return a time as a `datetime`."""
    return EPOCH + dt.timedelta(microseconds=time)


def uuid_text(value: Any, name: str) -> str | None:
    """Return an id in its usual spelling, or None for none.

    Raises:
        ApiError: 400 where it is no UUID.
    """
    if value is None:
        return None
    try:
        return str(UUID(value if isinstance(value, str) else ""))
    except ValueError:
        raise ApiError(400, f"{name} must be a UUID.", param=name) from None


def json_text(value: Any) -> str:
    """Return a value of JSON as text, which LangSmith compares metadata by."""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def loads(data: bytes, what: str = "body") -> Any:
    """Parse JSON.

    Raises:
        ApiError: 400 where it is none, 413 where it would take too much memory.
    """
    if len(data) > MAX_VALUES and sum(map(data.count, (b",", b"[", b"{"))) > MAX_VALUES:
        raise ApiError(413, f"The {what} has more than {MAX_VALUES} values.", code="body_too_large")
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        raise ApiError(400, f"The {what} is no JSON.") from None


def dumps(value: Any, what: str) -> str:
    """Write JSON.

    Raises:
        ApiError: 400 where it is nested deeper than can be written (about 250 levels), which
            SQLite could not read either.
    """
    try:
        # Two levels are left for what an answer puts around it.
        return orjson.dumps([[value]])[2:-2].decode()
    except orjson.JSONEncodeError:
        raise ApiError(400, f"{what} is nested too deep.", param=what) from None
