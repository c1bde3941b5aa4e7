"""Helpers for data from outside: any value may have any shape."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import orjson

from langchain_finetune.content import UnreadableChatError, mapping
from langchain_finetune.sessions import Skip

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


Read = TypeVar("Read")


def readable(
    source_id: str, read: Callable[[], list[Read]], skip: Callable[[Skip], None]
) -> Iterator[Read]:
    """Yield what `read` makes of data, or skip it: one bad chat ends no iteration.

    Args:
        source_id: Where the chat comes from, for the skip.
        read: A pure reader of data from outside.
        skip: Called with the chat that is left out.
    """
    try:
        found = read()
    except UnreadableChatError as error:
        skip(Skip(source_id, error.code, str(error)))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        # Data from outside can be shaped in any way.
        skip(Skip(source_id, "malformed", "The data has no shape that is known."))
    else:
        yield from found


THREAD_KEYS = ("session_id", "thread_id", "conversation_id")
"""Metadata that says which conversation a trace belongs to (LangSmith's "Configure threads")."""


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
