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


def format_score(score: float | None, *, sign: bool = False) -> str:
    """Return a score, or a difference of two with its sign.

    Example:
        >>> format_score(0.5), format_score(-0.25, sign=True), format_score(None)
        ('0.500', '-0.250', '-')
    """
    return _NONE if score is None else f"{round(score, 3) + 0.0:{'+' if sign else ''}.3f}"


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
    "score": format_score,
    "signed": partial(format_score, sign=True),
    "seconds": format_duration,
    "shortened": shorten,
    # A JSON string is also a Python literal.
    "python": partial(json.dumps, ensure_ascii=False),
    "json": indented_json,
}
"""Filters by their names in templates."""
