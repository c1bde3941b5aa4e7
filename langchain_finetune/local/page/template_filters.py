"""How templates show values. Pure functions."""

import datetime as dt
import json
from collections.abc import Callable
from typing import Any

from markupsafe import Markup

from langchain_finetune.local.store.values import EPOCH, micros

_NONE = "-"


def shown_time(value: int | str | None) -> Markup:
    """Return a time as HTML: UTC, which the page's script changes into the reader's own.

    Args:
        value: Microseconds since 1970, or the time in ISO 8601.
    """
    moment = micros(value) if isinstance(value, str) else value
    if moment is None:
        return Markup.escape(_NONE)
    time = EPOCH + dt.timedelta(microseconds=moment)
    return Markup('<time datetime="{}">{} UTC</time>').format(
        time.isoformat(timespec="seconds"), time.strftime("%Y-%m-%d %H:%M")
    )


def shown_number(value: float | None) -> str:
    """Return a number with its thousands apart, or a dash for none.

    Example:
        >>> shown_number(1234567), shown_number(None)
        ('1,234,567', '-')
    """
    return _NONE if value is None else f"{value:,}"


def shown_seconds(value: float | None) -> str:
    """Return a duration.

    Example:
        >>> shown_seconds(0.0421), shown_seconds(3.21), shown_seconds(75.4)
        ('42 ms', '3.2 s', '1 min 15 s')
    """
    if value is None:
        return _NONE
    if value < 0.9995:  # noqa: PLR2004 - more is rounded to a second
        return f"{value * 1000:.0f} ms"
    if value < 59.95:  # noqa: PLR2004 - more is rounded to a minute
        return f"{value:.1f} s"
    minutes, seconds = divmod(round(value), 60)
    return f"{minutes} min {seconds} s"


def shortened(text: str, most: int = 160) -> str:
    """Return the beginning of a text, on one line.

    Example:
        >>> shortened("one two   three", 8)
        'one two…'
    """
    line = " ".join(text[: 4 * most].split())
    return line if len(line) <= most and len(text) <= 4 * most else line[: most - 1].rstrip() + "…"


def shown_python(text: str) -> str:
    """Return a text as Python writes it.

    Example:
        >>> print(shown_python("it's"))
        "it's"
    """
    return json.dumps(text, ensure_ascii=False)


FILTERS: dict[str, Callable[..., Any]] = {
    "time": shown_time,
    "number": shown_number,
    "seconds": shown_seconds,
    "shortened": shortened,
    "python": shown_python,
}
"""By their names in templates."""
