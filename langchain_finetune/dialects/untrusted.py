"""Helpers for untrusted data: any value may have any type."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import orjson

from langchain_finetune.content import UnreadableChatError, mapping
from langchain_finetune.sessions import Skip

_MAX_DEPTH = 100
"""Deepest nesting of data; OpenAI allows schemas of ten levels."""

_MARKS = (b'"__lc_escaped__"', b'"secret"', b'"not_implemented"')


class Unreadable:
    """Placeholder for a value of which the run has only the name: a secret, or an object."""


def plain(value: Any) -> Any:
    """Return data as `unescaped` does, without a copy if nothing is escaped.

    Searching its JSON for the escapes takes a tenth of the time of walking through it.
    """
    try:
        text = orjson.dumps(value)
    except orjson.JSONEncodeError:
        return unescaped(value)
    return unescaped(value) if any(mark in text for mark in _MARKS) else value


def unescaped(value: Any, depth: int = 0, *, literal: bool = False) -> Any:
    """Return data without LangChain's escapes; no named object is created.

    langchain-core wraps a user's dict with the key `lc` as `{"__lc_escaped__": {...}}`, without
    changing its contents (`langchain_core.load._validation`). Secrets and objects that it
    can't serialize become `Unreadable`. `literal` is for data within an escaped dict.

    Raises:
        UnreadableChatError: The data is nested too deep.
    """
    if depth > _MAX_DEPTH:
        raise UnreadableChatError("nested_too_deep", f"Data of more than {_MAX_DEPTH} levels.")
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


Read = TypeVar("Read")


def readable(
    source_id: str, read: Callable[[], list[Read]], skip: Callable[[Skip], None]
) -> Iterator[Read]:
    """Yield the chats that `read` finds in untrusted data, without I/O, or skip them.

    So one bad chat does not end an iteration.
    """
    try:
        found = read()
    except UnreadableChatError as error:
        skip(Skip(source_id, error.code, str(error)))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        # Untrusted data can have any format.
        skip(Skip(source_id, "malformed", "The data has an unknown format."))
    else:
        yield from found


THREAD_KEYS = ("session_id", "thread_id", "conversation_id")
"""Metadata keys that name the thread of a trace (LangSmith's "Configure threads")."""


def thread_of(run: Mapping[str, Any]) -> str | None:
    """Return the thread that a run belongs to, or None.

    Example:
        >>> thread_of({"extra": {"metadata": {"thread_id": "t1"}}})
        't1'
    """
    if run.get("thread_id"):
        return str(run["thread_id"])
    metadata = mapping(mapping(run.get("extra")).get("metadata"))
    return next((str(metadata[key]) for key in THREAD_KEYS if metadata.get(key)), None)
