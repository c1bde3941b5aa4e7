"""The texts of an example: what people, models and tools said, wherever it stands.

Examples come as chats (`messages`), preferences (`input`, `preferred_output`,
`non_preferred_output`) and completions (`prompt`, `completion`).
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from langchain_finetune.convert.rows import Example
from langchain_finetune.convert.schema_texts import changed_data, changed_tools, property_names

Change = Callable[[str, int | None], str]
"""Takes a text and the position of its message (None where it has none); returns the new text."""

_OUTPUTS = ("preferred_output", "non_preferred_output")


def request_of(example: Example) -> Mapping[str, Any]:
    """Return what holds an example's messages and tools: itself, or a preference's `input`."""
    inner = example.get("input")
    return inner if isinstance(inner, Mapping) else example


def conversations(example: Example) -> list[list[Any]]:
    """Return the chats of an example: one, or a preference's with each of its two answers.

    Example:
        >>> conversations({"input": {"messages": [1]}, "preferred_output": [2],
        ...                "non_preferred_output": [3]})
        [[1, 2], [1, 3]]
    """
    messages = request_of(example).get("messages") or []
    outputs = [example[name] for name in _OUTPUTS if example.get(name)]
    return [[*messages, *output] for output in outputs] or [messages]


def change_texts(example: Example, change: Change) -> Example:
    """Return an example with its texts changed; the very same one where nothing changes.

    Texts are those of messages (also as parts, and refusals), prompts and completions; in the
    arguments of calls the strings, and the keys that no tool of the example names (where no tool is
    known, those below the first level); in tools see `changed_tools`. Names of tools and their
    properties, ids and the addresses of images stay: they are no prose. The `name` of a person is
    left out if `change` would change it, since not every text can be a name.

    Args:
        example: Stays as it is.
        change: Makes the new text. Messages of a preference count on from its input's.
    """
    changed = dict(example)
    for name in ("prompt", "completion"):
        if isinstance(example.get(name), str):
            changed[name] = change(example[name], None)
    if isinstance(inner := example.get("input"), Mapping):
        changed["input"] = _request(inner, change)
        messages = inner.get("messages")
        place = len(messages) if isinstance(messages, list) else 0
        names = _names(inner)
        for name in _OUTPUTS:
            if isinstance(example.get(name), list):
                changed[name] = _messages(example[name], change, place, names)
                place += len(example[name])
    else:
        changed = _request(changed, change)
    return example if changed == example else changed


def _request(request: Mapping[str, Any], change: Change) -> dict[str, Any]:
    changed = dict(request)
    if isinstance(request.get("messages"), list):
        changed["messages"] = _messages(request["messages"], change, 0, _names(request))
    for name in ("tools", "functions"):
        if isinstance(request.get(name), list):
            changed[name] = changed_tools(request[name], lambda text: change(text, None))
    return changed


def _names(request: Mapping[str, Any]) -> frozenset[str] | None:
    """Return the names of all properties of a request's tools; None where no tool is known."""
    lists = [request.get(name) for name in ("tools", "functions")]
    tools = [tool for given in lists if isinstance(given, list) for tool in given]
    return frozenset(property_names(tools)) if tools else None


def _messages(
    messages: list[Any], change: Change, first: int, names: frozenset[str] | None
) -> list[Any]:
    return [
        _message(message, lambda text, index=index: change(text, index), names)  # type: ignore[misc]
        if isinstance(message, Mapping)
        else message
        for index, message in enumerate(messages, start=first)
    ]


def _message(
    message: Mapping[str, Any], change: Callable[[str], str], names: frozenset[str] | None
) -> dict[str, Any]:
    changed = dict(message)
    for name in ("content", "refusal", "reasoning_content"):
        if isinstance(value := message.get(name), str):
            changed[name] = change(value)
    # Tuples: nothing is checked yet, so a role may be anything.
    of_tool = message.get("role") in ("tool", "function")
    if of_tool and isinstance(message.get("content"), str):
        changed["content"] = _result(message["content"], change)
    if isinstance(parts := message.get("content"), list):
        changed["content"] = [_part(part, change) for part in parts]
    if isinstance(calls := message.get("tool_calls"), list):
        changed["tool_calls"] = [_call(call, change, names) for call in calls]
    if isinstance(function := message.get("function_call"), Mapping):
        changed["function_call"] = _function(function, change, names)
    speaker = None if of_tool else message.get("name")
    if isinstance(speaker, str) and change(speaker) != speaker:
        del changed["name"]
    return changed


def _part(part: Any, change: Callable[[str], str]) -> Any:
    if not isinstance(part, Mapping):
        return part
    kept: dict[str, Any] = {
        name: change(value)
        for name, value in part.items()
        if name in {"text", "refusal"} and isinstance(value, str)
    }
    file = part.get("file")
    if isinstance(file, Mapping) and isinstance(file.get("filename"), str):
        kept["file"] = {**file, "filename": change(file["filename"])}
    return {**part, **kept}


def _call(call: Any, change: Callable[[str], str], names: frozenset[str] | None) -> Any:
    if not isinstance(call, Mapping) or not isinstance(call.get("function"), Mapping):
        return call
    return {**call, "function": _function(call["function"], change, names)}


def _function(
    function: Mapping[str, Any], change: Callable[[str], str], names: frozenset[str] | None
) -> dict[str, Any]:
    arguments = function.get("arguments")
    if not isinstance(arguments, str):
        return dict(function)
    return {**function, "arguments": _arguments(arguments, change, names)}


def _arguments(
    arguments: str, change: Callable[[str], str], names: frozenset[str] | None = frozenset()
) -> str:
    """Change the texts within a call's arguments; where none changes, all stays as it is."""
    try:
        parsed = json.loads(arguments)
        if names is None:
            # Keys of the first level are surely a tool's own names.
            names = frozenset(parsed) if isinstance(parsed, dict) else frozenset()
        changed = changed_data(parsed, change, names.__contains__)
        if changed == parsed:
            return arguments
        return json.dumps(changed, ensure_ascii=False, allow_nan=False)
    except (ValueError, RecursionError):
        # No JSON, or numbers that JSON can't say: then it is text like any other.
        return change(arguments)


def _result(text: str, change: Callable[[str], str]) -> str:
    """Change what a tool said; where it is JSON with escapes, what they stand for, too."""
    if "\\" in text and text.lstrip()[:1] in {"{", "["}:
        text = _arguments(text, change)
    return change(text)
