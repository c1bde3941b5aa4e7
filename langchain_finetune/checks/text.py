"""What all text of an example is held to: whole characters, no control tokens, a bearable size."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from langchain_finetune.checks.finding import Check

HALVES = "A text holds half a character (a surrogate without its other half)."
"""The sentence of `invalid_unicode`, wherever the text stands."""

_MAX_DEPTH = 200


def check_text(example: Mapping[str, Any], line: bytes | None, check: Check) -> None:
    """Check the text of an example.

    Args:
        example: The example.
        line: It as JSON, where that is at hand.
        check: The check.
    """
    if line is None:
        try:
            line = orjson.dumps(example)
        except TypeError:
            _find_unsayable(example, check)
            return
    if len(line) > check.rules.max_example_bytes:
        limit = check.rules.max_example_bytes // 2**20
        check.add("example_too_large", f"An example may have at most {limit} MB.")
    # All control tokens have `<|`; JSON may write each of both as an escape.
    if b"<|" in line or b"\\u00" in line:
        _find_tokens(example, check)


def _find_tokens(example: Mapping[str, Any], check: Check) -> None:
    token = re.compile("|".join(map(re.escape, check.rules.special_tokens)))
    for index, value in _places(example):
        if any(token.search(text) or _escaped(text, token) for text in _strings(value)):
            check.add(
                "special_token",
                "A text holds a control token of the model, such as <|endoftext|>.",
                index,
            )


def _escaped(text: str, token: re.Pattern[str]) -> bool:
    r"""Tell whether JSON inside a text says a token with escapes, as `\u003c` for `<`."""
    if "\\u00" not in text:
        return False
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return any(token.search(inner) for inner in _strings(value))


def _find_unsayable(example: Mapping[str, Any], check: Check) -> None:
    """Say where an example holds what no line of JSON in UTF-8 can say."""
    for index, value in _places(example):
        try:
            orjson.dumps(value)
        except TypeError:
            if any(_is_half(text) for text in _strings(value)):
                check.add("invalid_unicode", HALVES, index)
            else:
                check.add("unwritable_value", "It holds a value that JSON can't say.", index)


def _places(example: Mapping[str, Any]) -> Iterator[tuple[int | None, Any]]:
    """Yield each message with its index, and all the rest as one."""
    messages = example["messages"]
    yield from enumerate(messages)
    yield None, {key: value for key, value in example.items() if key != "messages"}


def _strings(value: Any, depth: int = 0) -> Iterator[str]:
    """Yield every text in a value, keys included."""
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


def _is_half(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
