r"""Parsing and writing of JSON that contains unpaired surrogates.

`JSON.stringify` in JavaScript and `json.dumps` in Python write an unpaired surrogate, such as half
of a cut emoji, as an escape (`\ud83d`). It is not valid UTF-8, so orjson rejects all of the JSON.
Files, pages of runs and uploads are parsed with `loads`, so that it costs one character and not
everything beside it.
"""

import json
import re
from typing import Any

import orjson

_HALF = re.compile(rb"\\u[dD][89a-fA-F]|\xed[\xa0-\xbf]")
"""A surrogate, escaped or encoded (CESU-8)."""


def loads(data: bytes | str) -> Any:
    r"""Parse JSON; an unpaired surrogate stays in the text that contains it.

    Raises:
        ValueError: It is not valid JSON, or not UTF-8. The message quotes nothing.

    Example:
        >>> loads(b'["\\ud83d"]') == ["\ud83d"]
        True
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        text = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
        if _HALF.search(text):
            return parse_json(text.decode("utf-8", "surrogatepass"))
    raise ValueError("The text is not valid JSON.")


def parse_json(text: str) -> Any:
    """Parse JSON with unpaired surrogates, which Python accepts and orjson does not.

    Raises:
        ValueError: The text is not valid JSON; NaN and Infinity are not.
    """
    try:
        return json.loads(text, parse_constant=_reject_constant)
    except RecursionError:
        raise ValueError("The JSON is nested too deeply.") from None


def dumps(value: Any, option: int = 0) -> bytes:
    r"""Return JSON that each parser reads, of whatever Python's parser makes of another's JSON.

    An unpaired surrogate becomes U+FFFD; NaN and Infinity become null; integers of any size stay.

    Args:
        value: What was parsed.
        option: Options of orjson: `OPT_INDENT_2`, `OPT_APPEND_NEWLINE`.

    Example:
        >>> dumps(["\ud83d", float("nan"), 2**64]).decode()
        '["\ufffd", null, 18446744073709551616]'
    """
    try:
        return orjson.dumps(value, option=option)
    except TypeError:
        plain = json.loads(json.dumps(value), parse_constant=lambda _: None)
        indent = 2 if option & orjson.OPT_INDENT_2 else None
        text: str = without_surrogates(json.dumps(plain, ensure_ascii=False, indent=indent))
        return (text + "\n" * bool(option & orjson.OPT_APPEND_NEWLINE)).encode()


def _reject_constant(constant: str) -> Any:
    raise ValueError(constant)


def without_surrogates(value: Any) -> Any:
    r"""Return a value without surrogates in its texts.

    Surrogate pairs are joined; an unpaired surrogate becomes U+FFFD.

    Example:
        >>> without_surrogates("\ud83d\ude00 \ud83d") == "\U0001f600 \ufffd"
        True
    """
    if isinstance(value, str):
        # Text without surrogates stays as it is.
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, dict):
        return {without_surrogates(key): without_surrogates(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [without_surrogates(inner) for inner in value]
    return value
