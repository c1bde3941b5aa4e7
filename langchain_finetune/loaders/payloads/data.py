"""Helpers for data from outside: any value may have any shape."""

from collections.abc import Mapping
from typing import Any

import orjson

from langchain_finetune.content import UnreadableChatError

_DEEPEST = 100
"""How deep data may be nested; OpenAI allows schemas of ten levels."""

_MARKS = (b'"__lc_escaped__"', b'"secret"', b'"not_implemented"')


class Unreadable:
    """Stands for a value that the run holds only the name of: a secret, or a foreign object."""


def plain(value: Any) -> Any:
    """Return data as `unescaped` does, and as it is where nothing in it is escaped.

    To look for the few marks in its JSON costs a tenth of walking through it.
    """
    try:
        text = orjson.dumps(value)
    except orjson.JSONEncodeError:
        return unescaped(value)
    return unescaped(value) if any(mark in text for mark in _MARKS) else value


def unescaped(value: Any, depth: int = 0, *, literal: bool = False) -> Any:
    """Return data without LangChain's escapes; nothing is made from what it names.

    langchain-core wraps a user's dict that has a key `lc` as `{"__lc_escaped__": {...}}`, and
    leaves what is in it as it is (`langchain_core.load._validation`). Secrets and objects that it
    can't serialise become `Unreadable`.

    Args:
        value: The data.
        depth: How deep it stands.
        literal: Whether it stands in an escaped dict.

    Raises:
        UnreadableChatError: The data is nested too deep.
    """
    if depth > _DEEPEST:
        raise UnreadableChatError("nested_too_deep", f"Data of more than {_DEEPEST} levels.")
    if isinstance(value, list | tuple):
        return [unescaped(entry, depth + 1, literal=literal) for entry in value]
    if not isinstance(value, Mapping):
        return value
    if not literal:
        inner = value.get("__lc_escaped__")
        if len(value) == 1 and isinstance(inner, Mapping):
            return unescaped(inner, depth + 1, literal=True)
        if "lc" in value and value.get("type") in ("secret", "not_implemented"):
            return Unreadable()
    return {key: unescaped(entry, depth + 1, literal=literal) for key, entry in value.items()}


def entries(value: Any) -> list[Any]:
    """Return a list as it is, and an empty one for all else."""
    return value if isinstance(value, list) else []
