"""Halves of characters (surrogates without their other half), which no UTF-8 can say."""

import json
from typing import Any


def without_halves(value: Any) -> Any:
    r"""Return a value whose texts hold whole characters only.

    Halves that belong together are joined; one that is alone becomes U+FFFD.

    Example:
        >>> without_halves("\ud83d\ude00 \ud83d") == "\U0001f600 \ufffd"
        True
    """
    if isinstance(value, str):
        return _whole(value)
    if isinstance(value, dict):
        return {without_halves(key): without_halves(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [without_halves(inner) for inner in value]
    return value


def arguments_without_halves(text: str) -> str:
    r"""Return a call's arguments, where halves may stand as escapes such as `\ud83d`."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    whole = without_halves(value)
    return text if whole == value else json.dumps(whole, ensure_ascii=False)


def _whole(text: str) -> str:
    # Text of whole characters comes through as it is.
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
