"""What the inputs and outputs of a run hold: a chat, or a text. Pure functions."""

import json
from collections.abc import Mapping
from typing import Any

from langchain_finetune.content import entries, mapping
from langchain_finetune.display.messages import (
    KNOWN_ROLES,
    ROLES,
    ShownMessage,
    ShownPart,
    read_chat,
    read_message,
)
from langchain_finetune.display.text import indented_json

_CHAT_FIELDS = ("messages", "message", "input", "output")
_TEXT_FIELDS = ("input", "question", "query", "output", "answer", "result")
"""What chains call the text that they get or give, beside others such as documents."""

_EMPTY: tuple[Any, ...] = (None, "", [], {})
_DEEPEST = 4
_MOST_LOOKED_AT = 10


def summary_of(fields: Mapping[str, Any]) -> str:
    """Return a summary of inputs or outputs that are not a chat: the text that chains put there.

    Example:
        >>> summary_of({"input": "Hi", "chat_history": []}), summary_of({"a": 1, "b": 2})
        ('Hi', '{"a": 1, "b": 2}')
        >>> summary_of({"context": ["Open from 9 to 6."], "answer": "At six."})
        'At six.'
    """
    held = {name: each for name, each in fields.items() if each not in _EMPTY}
    for name in _TEXT_FIELDS:
        if isinstance(text := held.get(name), str):
            return text
    if not held:
        return ""
    only = next(iter(held.values())) if len(held) == 1 else held
    return only if isinstance(only, str) else json.dumps(only, ensure_ascii=False)


def find_asked(inputs: Mapping[str, Any]) -> list[Any]:
    """Return the messages of a run's inputs, as `find_chat`, with a text that follows a history.

    Example:
        >>> said = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]
        >>> find_asked({"chat_history": said, "input": "Are you open?"})[-1]
        {'role': 'user', 'content': 'Are you open?'}
    """
    chat = find_chat(inputs)
    question = _after_history(inputs, chat)
    return [*chat, {"role": "user", "content": question}] if question else chat


def without_chats(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that hold no messages."""
    return {name: each for name, each in fields.items() if not find_chat({name: each})}


def _after_history(fields: Any, chat: list[Any]) -> str:
    """Return the text that stands beside a history of a chat; "" if the chat is no history."""
    fields = mapping(fields)
    held = {str(name): each for name, each in fields.items() if find_chat({name: each})}
    # A state ends with an answer, too, and its other fields are no questions.
    is_history = bool(held) and all("history" in name.lower() for name in held)
    if not is_history or read_message(chat[-1]).role != "assistant":
        return ""
    return summary_of(without_chats(fields))


def read_values(value: Any) -> list[ShownMessage]:
    """Return inputs or outputs of a run: the messages of a chat, or one text without a role.

    Example:
        >>> [each.role for each in read_values({"messages": [{"role": "user", "content": "Hi"}]})]
        ['user']
        >>> [read_values(each)[0].text for each in ({"answer": "42"}, "42")]
        ['42', '42']
        >>> said = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]
        >>> read_values({"chat_history": said, "input": "Are you open?"})[-1].text
        'Are you open?'
    """
    if chat := find_chat(value):
        text = _after_history(value, chat)
        beside = [ShownMessage("", [ShownPart("text", text)], [])] if text else []
        return [*read_chat(chat), *beside]
    found = value
    while isinstance(found, Mapping) and len(found) == 1:
        [found] = found.values()
    if found is None or found in ("", {}, []):
        return [ShownMessage("", [], [])]
    if isinstance(found, str):
        return [ShownMessage("", [ShownPart("text", found)], [])]
    return [ShownMessage("", [ShownPart("other", indented_json(value))], [])]


def find_chat(value: Any) -> list[Any]:
    """Return the messages that inputs, outputs or any state hold, as they are stored.

    The value itself may be the chat, a batch with one, or a mapping that holds it at any field,
    also as LangGraph's shorthands (pairs of role and text, or the user's text alone) and in its
    commands.

    Example:
        >>> find_chat({"draft": "-", "chat": {"turns": [{"role": "user", "content": "Hi"}]}})
        [{'role': 'user', 'content': 'Hi'}]
        >>> find_chat({"messages": [["user", "Hi"]]}), find_chat({"answer": 42})
        ([{'role': 'user', 'content': 'Hi'}], [])
    """
    # Breadth first: what is nearest to the top is the state's own.
    waiting = [(_CHAT_FIELDS[-1], value, 0)]
    for field, found, depth in waiting:
        messages = found if isinstance(found, list) else [found]
        if messages and isinstance(messages[0], list) and not _is_pair(messages[0]):
            messages = messages[0]
        if field == _CHAT_FIELDS[0]:
            messages = [_from_shorthand(each) for each in messages]
        expected = field in _CHAT_FIELDS
        if messages and all(_is_message(each, expected=expected) for each in messages):
            return messages
        if isinstance(found, Mapping) and depth < _DEEPEST:
            names = sorted(found, key=lambda name: name not in _CHAT_FIELDS)
            waiting += [(str(name), found[name], depth + 1) for name in names]
        elif isinstance(found, list) and depth < _DEEPEST:
            # LangGraph's commands, for one.
            waiting += [("", each, depth + 1) for each in found[:_MOST_LOOKED_AT]]
    return []


def _is_pair(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2  # noqa: PLR2004 - role and text
        and all(isinstance(each, str) for each in value)
        and ROLES.get(value[0], value[0]) in KNOWN_ROLES
    )


def _from_shorthand(value: Any) -> Any:
    role, content = value if _is_pair(value) else ("user", value)
    return {"role": role, "content": content} if isinstance(content, str) else value


def _is_message(value: Any, *, expected: bool) -> bool:
    """Return whether a value is a message; where none is expected, its role must be known."""
    fields = mapping(value)
    if fields.get("lc") is not None:
        is_message = "Message" in str(entries(fields.get("id"))[-1:])
        return is_message and isinstance(fields.get("kwargs"), Mapping)
    kind, content = fields.get("role", fields.get("type")), {"content", "data", "tool_calls"}
    if not isinstance(kind, str) or content.isdisjoint(fields):
        return False
    return expected or read_message(value).role in KNOWN_ROLES
