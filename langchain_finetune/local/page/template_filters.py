"""Filters of the templates. Pure functions."""

import datetime as dt
import json
from collections.abc import Callable
from functools import partial
from typing import Any

from markupsafe import Markup

from langchain_finetune.display.text import format_duration, indented_json, shorten
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
