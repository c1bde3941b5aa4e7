"""When the messages of a chat between people were written, and where its conversations begin.

Chat loaders of langchain-community write `additional_kwargs["events"][...]["message_time"]`: a time
in ISO format (Telegram's JSON), seconds since 1970 (Slack), a `datetime` next to it (iMessage), or
the text of the export (WhatsApp, Telegram's HTML), with day and month in the order of the phone.
"""

import datetime as dt
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any

from langchain_core.messages import BaseMessage

from langchain_finetune.content import entries, mapping

_NUMBERS = re.compile(
    r"\D*(\d{1,4})\D(\d{1,2})\D(\d{1,4})\D+(\d{1,2}):(\d{2})(?::(\d{2}))?\s*([AaPp])?"
)
_ORDERS = ("dmy", "mdy", "ymd")

Span = tuple[dt.datetime, dt.datetime]
"""When the first and the last part of a message were written, by the clock of the chat."""


def conversations(
    messages: Sequence[BaseMessage], cut: dt.timedelta | None
) -> list[list[BaseMessage]]:
    """Return a chat cut at each pause of at least `cut`, or at each new day (None).

    A message without a time belongs to the one before. Nothing is cut where no message has a time.

    Example:
        >>> def said(text, time):
        ...     return BaseMessage(text, type="human", additional_kwargs={
        ...         "events": [{"message_time": time}]})
        >>> chat = [said("Hi", "1/31/26, 9:00 PM"), said("Hello", "2/1/26, 8:00 AM")]
        >>> [len(each) for each in conversations(chat, dt.timedelta(hours=12))]
        [2]
        >>> [len(each) for each in conversations(chat, None)]
        [1, 1]
    """
    found: list[list[BaseMessage]] = []
    end: dt.datetime | None = None
    for message, span in zip(messages, spans_of(messages), strict=True):
        begins = not found
        if span is not None:
            if end is not None:
                begins |= span[0].date() != end.date() if cut is None else span[0] - end >= cut
            end = span[1]
        if begins:
            found.append([])
        found[-1].append(message)
    return found


def spans_of(messages: Iterable[BaseMessage]) -> list[Span | None]:
    """Return when each message was written; None where that is unknown."""
    given = [_given(message) for message in messages]
    texts = [time for times in given for time in times if isinstance(time, str)]
    order = min(_ORDERS, key=lambda order: _faults(texts, order))
    known = [[time for each in times if (time := _time(each, order))] for times in given]
    return [(times[0], times[-1]) if times else None for times in known]


def _given(message: BaseMessage) -> list[Any]:
    events = map(mapping, entries(message.additional_kwargs.get("events")))
    return [each.get("message_time_as_datetime") or each.get("message_time") for each in events]


def _faults(texts: Iterable[str], order: str) -> tuple[int, int, dt.timedelta]:
    """Return how little an order of day and month suits a chat: a chat goes forward in time."""
    times = [_time(text, order) for text in texts]
    known = [time for time in times if time is not None]
    back = sum(later < sooner for sooner, later in pairwise(known))
    span = max(known) - min(known) if known else dt.timedelta()
    return len(times) - len(known), back, span


def _time(given: Any, order: str) -> dt.datetime | None:
    with suppress(ValueError, OverflowError, OSError):
        if isinstance(given, dt.datetime):
            return given.replace(tzinfo=dt.UTC)
        if isinstance(given, str) and (found := _NUMBERS.match(given)):
            return _from_numbers(found.groups(), order)
        if isinstance(given, str) and not given.replace(".", "", 1).isdecimal():
            return dt.datetime.fromisoformat(given).replace(tzinfo=dt.UTC)
        if isinstance(given, int | float | str) and not isinstance(given, bool):
            return dt.datetime.fromtimestamp(float(given), dt.UTC)
    return None


def _from_numbers(groups: Sequence[str | None], order: str) -> dt.datetime:
    *date, hour, minute, second, half = groups
    parts = {name: int(number or 0) for name, number in zip(order, date, strict=True)}
    century = 2000 if parts["y"] < 100 else 0  # noqa: PLR2004 - two digits
    hours = int(hour or 0)
    if half:
        hours = hours % 12 + (12 if half in "Pp" else 0)
    clock = (hours, int(minute or 0), int(second or 0))
    return dt.datetime(parts["y"] + century, parts["m"], parts["d"], *clock, tzinfo=dt.UTC)
