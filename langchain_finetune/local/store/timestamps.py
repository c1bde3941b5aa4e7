"""Times as the store keeps them: whole microseconds since 1970, in UTC."""

import datetime as dt
from typing import Any

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)


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
    return (moment - EPOCH) // _MICROSECOND


def iso(time: int) -> str:
    """Return a time as LangSmith's API writes it: `2026-11-20T11:37:14.209962+00:00`."""
    return moment(time).isoformat(timespec="microseconds")


def moment(time: int) -> dt.datetime:
    """Return a time as a `datetime`."""
    return EPOCH + dt.timedelta(microseconds=time)
