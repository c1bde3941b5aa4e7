"""The prose and the data within tools' definitions, and the names that must stay as they are."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

_PROSE = frozenset({"description", "title", "$comment"})
_DATA = frozenset({"enum", "const", "default", "examples", "example"})
_BY_NAME = frozenset(
    {"properties", "$defs", "definitions", "patternProperties", "dependentSchemas"}
)


def changed_tools(tools: list[Any], change: Callable[[str], str]) -> list[Any]:
    """Return definitions of tools with their texts changed.

    Texts are descriptions and titles, and the strings that a schema holds as data: in `enum`,
    `const`, `default` and `examples`. Names of tools and properties, types, patterns, formats and
    references stay: they are the schema itself. Values that have become equal stand in an `enum`
    once, as JSON Schema wants it.

    Args:
        tools: Tools, or legacy functions; they stay as they are.
        change: Makes the new text.

    Example:
        >>> who = {"type": "string", "enum": ["ada", "bob"], "title": "who"}
        >>> changed_tools([{"name": "find", "parameters": who}], str.upper)
        [{'name': 'find', 'parameters': {'type': 'string', 'enum': ['ADA', 'BOB'], 'title': 'WHO'}}]
    """
    is_name = frozenset(property_names(tools)).__contains__

    def data(value: Any) -> Any:
        return changed_data(value, change, is_name)

    return [_schema(tool, change, data) for tool in tools]


def property_names(tools: Iterable[Any]) -> Iterator[str]:
    """Yield every name of a property that the schemas of tools know, at any depth."""
    for tool in tools:
        yield from _names(tool)


def _schema(schema: Any, change: Callable[[str], str], data: Callable[[Any], Any]) -> Any:
    if isinstance(schema, list):
        return [_schema(each, change, data) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    changed: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _PROSE and isinstance(value, str):
            changed[key] = change(value)
        elif key in _DATA:
            changed[key] = data(value)
            if key == "enum" and changed[key] != value:
                changed[key] = _once(changed[key])
        elif key in _BY_NAME and isinstance(value, Mapping):
            changed[key] = {name: _schema(each, change, data) for name, each in value.items()}
        else:
            changed[key] = _schema(value, change, data)
    return changed


def changed_data(value: Any, change: Callable[[str], str], is_name: Callable[[str], bool]) -> Any:
    """Return JSON data with its strings changed, and with those keys that are no names.

    Keys that have become equal are told apart by a number.
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
            new = next(name for name in _numbered(new) if name not in changed and name not in value)
        changed[new] = changed_data(item, change, is_name)
    return changed


def _numbered(name: str) -> Iterator[str]:
    yield name
    number = 2
    while True:
        yield f"{name} {number}"
        number += 1


def _once(values: Any) -> Any:
    if not isinstance(values, list):
        return values
    # By their text: Python takes 1 and True for the same.
    return list({repr(value): value for value in values}.values())


def _names(schema: Any) -> Iterator[str]:
    if isinstance(schema, list):
        for each in schema:
            yield from _names(each)
    elif isinstance(schema, Mapping):
        properties = schema.get("properties")
        if isinstance(properties, Mapping):
            yield from properties
        for value in schema.values():
            yield from _names(value)
