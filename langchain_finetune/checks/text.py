"""Checks of all text of an example: valid Unicode, no control tokens, a limited size."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from langchain_finetune.checks.finding import Check

SURROGATE = "Text contains an unpaired surrogate."
"""Message of `invalid_unicode`, wherever the text is."""

_MAX_DEPTH = 200


def check_text(example: Mapping[str, Any], line: bytes | None, check: Check) -> None:
    """Check the text of an example; `line` is the example as JSON, if available."""
    if line is None:
        try:
            line = orjson.dumps(example)
        except TypeError:
            _find_unencodable(example, check)
            return
    if len(line) > check.rules.max_example_bytes:
        limit = check.rules.max_example_bytes // 2**20
        check.add("example_too_large", f"An example may have at most {limit} MB.")
    # All control tokens contain `<|`, which JSON may also write as escapes.
    if b"<|" in line or b"\\u00" in line:
        _find_tokens(example, check)


def _find_tokens(example: Mapping[str, Any], check: Check) -> None:
    token = re.compile("|".join(map(re.escape, check.rules.special_tokens)))
    for index, value in _parts_of(example):
        if any(token.search(text) or _escaped(text, token) for text in _strings(value)):
            message = "Text contains a control token of the model, such as <|endoftext|>."
            check.add("special_token", message, index)


def _escaped(text: str, token: re.Pattern[str]) -> bool:
    r"""Return whether JSON inside a text contains a token as escapes, such as `\u003c` for `<`."""
    if "\\u00" not in text:
        return False
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return any(token.search(inner) for inner in _strings(value))


def _find_unencodable(example: Mapping[str, Any], check: Check) -> None:
    """Report which messages cannot be represented in JSON as UTF-8."""
    for index, value in _parts_of(example):
        try:
            orjson.dumps(value)
        except TypeError:
            if any(_has_surrogate(text) for text in _strings(value)):
                check.add("invalid_unicode", SURROGATE, index)
            else:
                message = "The example contains a value that JSON cannot represent."
                check.add("unwritable_value", message, index)


def _parts_of(example: Mapping[str, Any]) -> Iterator[tuple[int | None, Any]]:
    """Yield each message with its index, and all other fields together."""
    messages = example["messages"]
    yield from enumerate(messages)
    yield None, {key: value for key, value in example.items() if key != "messages"}


def _strings(value: Any, depth: int = 0) -> Iterator[str]:
    """Yield every text in a value, including keys."""
    if isinstance(value, str):
        yield value
    elif depth > _MAX_DEPTH:
        return
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _strings(key, depth + 1)
            yield from _strings(inner, depth + 1)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _strings(inner, depth + 1)


def _has_surrogate(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
