"""Times as the store keeps them: whole microseconds since 1970, in UTC."""

import datetime as dt
from typing import Any

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
