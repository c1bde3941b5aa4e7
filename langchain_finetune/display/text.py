"""Numbers, durations, sums of money and texts, as reports and pages show them."""

import json
from typing import Any


def short(number: float) -> str:
    """Return a number, with a unit if it is large.

    Example:
        >>> short(999), short(12_345), short(2_400_000)
        ('999', '12.3k', '2.4M')
    """
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if number >= limit:
            return f"{number / (1e3 if unit == 'k' else limit):.1f}{unit}"
    return f"{number:,.0f}"


def counted(count: int, what: str) -> str:
    """Return a number with its noun.

    Example:
        >>> counted(1, "error"), counted(1200, "example")
        ('1 error', '1,200 examples')
    """
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def share(part: float, whole: float) -> str:
    """Return a part as a percentage of the whole.

    Example:
        >>> share(1, 3), share(1, 1000), share(0, 0)
        ('33%', '0.1%', '-')
    """
    if not whole:
        return "-"
    percent = 100 * part / whole
    few = 0 < percent < 1 or 99 < percent < 100  # noqa: PLR2004
    return f"{percent:.1f}%" if few else f"{percent:.0f}%"


def dollars(usd: float | None) -> str:
    """Return a sum of money.

    Example:
        >>> dollars(1234.5), dollars(0.001), dollars(0), dollars(None)
        ('$1,234.50', '< $0.01', '$0', 'unknown')
    """
    if usd is None:
        return "unknown"
    if usd == 0:
        return "$0"
    return "< $0.01" if usd < 0.01 else f"${usd:,.2f}"  # noqa: PLR2004


def format_duration(seconds: float | None) -> str:
    """Return a duration in a suitable unit.

    Example:
        >>> format_duration(0.0421), format_duration(3.21), format_duration(75.4)
        ('42 ms', '3.2 s', '1 min 15 s')
    """
    if seconds is None:
        return "-"
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
