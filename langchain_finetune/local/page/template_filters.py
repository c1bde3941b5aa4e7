"""Filters of the templates. Pure functions."""

import datetime as dt
import json
from collections.abc import Callable
from functools import partial
from typing import Any

from markupsafe import Markup

from langchain_finetune.local.store.values import EPOCH, micros

_NONE = "-"


def format_time(value: int | str | None) -> Markup:
    """Return a time, microseconds since 1970 or ISO 8601, in UTC as HTML.

    The page's script converts it to local time.
    """
    moment = micros(value) if isinstance(value, str) else value
    if moment is None:
        return Markup.escape(_NONE)
    time = EPOCH + dt.timedelta(microseconds=moment)
    return Markup('<time datetime="{}">{} UTC</time>').format(
        time.isoformat(timespec="seconds"), time.strftime("%Y-%m-%d %H:%M")
    )


def format_number(value: float | None) -> str:
    """Return a number with thousands separators.

    Example:
        >>> format_number(1234567), format_number(None)
        ('1,234,567', '-')
    """
    return _NONE if value is None else f"{value:,}"


def format_duration(seconds: float | None) -> str:
    """Return a duration in a suitable unit.

    Example:
        >>> format_duration(0.0421), format_duration(3.21), format_duration(75.4)
        ('42 ms', '3.2 s', '1 min 15 s')
    """
    if seconds is None:
        return _NONE
    if seconds < 0.9995:  # noqa: PLR2004 - would round to 1000 ms
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:  # noqa: PLR2004 - would round to 60.0 s
        return f"{seconds:.1f} s"
    return "{} min {} s".format(*divmod(round(seconds), 60))


def shorten(text: str, max_length: int = 160) -> str:
    """Return the beginning of a text, on one line.

    Example:
        >>> shorten("one two   three", 8)
        'one two…'
    """
    line = " ".join(text[: 4 * max_length].split())
    if len(line) <= max_length and len(text) <= 4 * max_length:
        return line
    return line[: max_length - 1].rstrip() + "…"


def indented_json(value: Any) -> str:
    """Return a value as indented JSON."""
    return json.dumps(value, ensure_ascii=False, indent=2)


FILTERS: dict[str, Callable[..., Any]] = {
    "time": format_time,
    "number": format_number,
    "seconds": format_duration,
    "shortened": shorten,
    # A JSON string is also a Python literal.
    "python": partial(json.dumps, ensure_ascii=False),
    "json": indented_json,
}
"""Filters by their names in templates."""
