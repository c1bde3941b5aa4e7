"""The texts of an example: those of people, models and tools, wherever they are.

Examples come as chats (`messages`), preferences (`input`, `preferred_output`,
`non_preferred_output`) and completions (`prompt`, `completion`).
"""

import json
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from itertools import chain, count
from typing import Any

import orjson

from langchain_finetune.checks.preference import OUTPUTS
from langchain_finetune.convert.rows import Example

_PROSE = frozenset({"description", "title", "$comment"})
_DATA = frozenset({"enum", "const", "default", "examples", "example"})
_BY_NAME = frozenset(
    {"properties", "$defs", "definitions", "patternProperties", "dependentSchemas"}
)


def changed_tools(tools: list[Any], change: Callable[[str], str]) -> list[Any]:
    """Return definitions of tools with their texts changed.

    Texts are descriptions and titles, and strings in the data of a schema: in `enum`, `const`,
    `default` and `examples`. Names of tools and properties, types, patterns, formats and references
    stay, since they are the schema itself. Values of an `enum` that become equal are merged, as
    JSON Schema requires.

    Example:
        >>> who = {"type": "string", "enum": ["ada", "bob"], "title": "who"}
        >>> changed_tools([{"name": "find", "parameters": who}], str.upper)
        [{'name': 'find', 'parameters': {'type': 'string', 'enum': ['ADA', 'BOB'], 'title': 'WHO'}}]
    """
    is_name = property_names(tools).__contains__
    return [_schema(tool, change, is_name) for tool in tools]


def property_names(tools: list[Any]) -> frozenset[str]:
    """Return the names of all properties in definitions of tools."""
    try:
        return _names_in(orjson.dumps(tools))
    except TypeError:
        return frozenset(_property_names(tools))  # Numbers beyond 64 bits.


@lru_cache(maxsize=32)
def _names_in(tools: bytes) -> frozenset[str]:
    """Return the names of properties in the JSON of tools; an app has few lists of them."""
    return frozenset(_property_names(orjson.loads(tools)))


def _schema(schema: Any, change: Callable[[str], str], is_name: Callable[[str], bool]) -> Any:
    if isinstance(schema, list):
        return [_schema(each, change, is_name) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    changed: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _PROSE and isinstance(value, str):
            changed[key] = change(value)
        elif key in _DATA:
            changed[key] = changed_data(value, change, is_name)
            if key == "enum" and changed[key] != value and isinstance(value, list):
                # By their text: in Python, 1 == True.
                changed[key] = list({repr(each): each for each in changed[key]}.values())
        elif key in _BY_NAME and isinstance(value, Mapping):
            changed[key] = {name: _schema(each, change, is_name) for name, each in value.items()}
        else:
            changed[key] = _schema(value, change, is_name)
    return changed


def changed_data(value: Any, change: Callable[[str], str], is_name: Callable[[str], bool]) -> Any:
    """Return JSON data with its strings changed, and its keys that are not property names.

    Keys that become equal get a number.
    """
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [changed_data(item, change, is_name) for item in value]
    if not isinstance(value, Mapping):
        return value
    changed: dict[str, Any] = {}
    for key, item in value.items():
        new = change(key) if isinstance(key, str) and not is_name(key) else key
        if new != key:
            names = chain([new], (f"{new} {number}" for number in count(2)))
            new = next(name for name in names if name not in changed and name not in value)
        changed[new] = changed_data(item, change, is_name)
    return changed


def _property_names(schema: Any) -> Iterator[str]:
    """Yield all property names in a schema or a list, at any depth."""
    if isinstance(schema, list):
        for each in schema:
            yield from _property_names(each)
    elif isinstance(schema, Mapping):
        properties = schema.get("properties")
        if isinstance(properties, Mapping):
            yield from properties
        for value in schema.values():
            yield from _property_names(value)


Change = Callable[[str, int | None], str]
"""Takes a text and the index of its message, or None; returns the new text."""


ChangeTools = Callable[[list[Any]], list[Any]]


def change_texts(
    example: Example, change: Change, change_tools: ChangeTools | None = None
) -> Example:
    """Return an example with its texts changed; the same object if nothing changes.

    Texts are those of messages (also parts and refusals), prompts and completions; in the
    arguments of calls the strings, and the keys that are not properties of the example's tools
    (without tools, those below the first level); in tools those of `changed_tools`. Names of tools
    and their properties, ids and the addresses of images stay. The `name` of a person is removed
    if `change` would change it, since not every text is a valid name.

    The answers of a preference have the indices after its input. Lists of tools and formats are
    changed by `change_tools`, which may know them already.
    """
    change_tools = change_tools or (
        lambda tools: changed_tools(tools, lambda text: change(text, None))
    )
    changed = dict(example)
    for name in ("prompt", "completion"):
        if isinstance(example.get(name), str):
            changed[name] = change(example[name], None)
    if isinstance(inner := example.get("input"), Mapping):
        changed["input"] = _request(inner, change, change_tools)
        messages = inner.get("messages")
        place = len(messages) if isinstance(messages, list) else 0
        names = _names(inner)
        for name in OUTPUTS:
            if isinstance(example.get(name), list):
                changed[name] = _messages(example[name], change, place, names)
                place += len(example[name])
    else:
        changed = _request(changed, change, change_tools)
    return example if changed == example else changed


def _request(
    request: Mapping[str, Any], change: Change, change_tools: ChangeTools
) -> dict[str, Any]:
    changed = dict(request)
    if isinstance(request.get("messages"), list):
        changed["messages"] = _messages(request["messages"], change, 0, _names(request))
    for name in ("tools", "functions"):
        if isinstance(request.get(name), list):
            changed[name] = change_tools(request[name])
    if isinstance(form := request.get("response_format"), Mapping):
        [changed["response_format"]] = change_tools([form])
    return changed


def _names(request: Mapping[str, Any]) -> frozenset[str] | None:
    """Return the names of all properties of a request's tools; None without tools."""
    lists = [request.get(name) for name in ("tools", "functions")]
    tools = [tool for given in lists if isinstance(given, list) for tool in given]
    return property_names(tools) if tools else None


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
    # A tuple: nothing is checked yet, so a role may be unhashable.
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
    """Change the texts within a call's arguments; if none changes, the JSON stays as it is."""
    try:
        parsed = json.loads(arguments)
        if names is None:
            # Keys of the first level are the tool's own properties.
            names = frozenset(parsed) if isinstance(parsed, dict) else frozenset()
        changed = changed_data(parsed, change, names.__contains__)
        if changed == parsed:
            return arguments
        return json.dumps(changed, ensure_ascii=False, allow_nan=False)
    except (ValueError, RecursionError):
        # Not valid JSON, or numbers that JSON cannot represent: treated as text.
        return change(arguments)


def _result(text: str, change: Callable[[str], str]) -> str:
    """Change a tool's result; in JSON with escapes, the unescaped texts, too."""
    if "\\" in text and text.lstrip()[:1] in {"{", "["}:
        text = _arguments(text, change)
    return change(text)
