"""How much work it is to hold arguments to a JSON schema. Pure.

A few references that name each other can stand for a schema of any size, and a validator follows
all of them: a tool's definition of one kilobyte can take longer to check than the job would run.
"""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

MOST_STEPS = 10_000
"""Schemas that a check may go through; so many take about a tenth of a second."""

_PLAIN = 1_000
"""A schema that is no larger, with its references written out, needs no second look."""

_LISTS = ("allOf", "anyOf", "oneOf")
_SAME = ("not", "if", "then", "else")
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_OF_VALUES = ("additionalProperties", "unevaluatedProperties")
_OF_ITEMS = ("items", "contains", "additionalItems", "unevaluatedItems")


def is_tangled(schema: Mapping[str, Any]) -> bool:
    """Tell whether a schema is large or endless once its references are written out.

    Example:
        >>> is_tangled({"type": "object", "properties": {"a": {"type": "string"}}})
        False
        >>> is_tangled({"properties": {"child": {"$ref": "#"}}})
        True
    """
    sizes: dict[int, int] = {}

    def size(node: Any) -> int:
        if isinstance(node, dict):
            parts = [*node.values(), *_referred(schema, node)]
        elif isinstance(node, list):
            parts = node
        else:
            return 0
        if id(node) not in sizes:
            # What leads back to itself is endless.
            sizes[id(node)] = _PLAIN
            sizes[id(node)] = min(1 + sum(map(size, parts)), _PLAIN)
        return sizes[id(node)]

    try:
        return size(schema) >= _PLAIN
    except RecursionError:
        return True


def takes_too_long(schema: Mapping[str, Any], value: Any) -> bool:
    """Tell whether a validator may go through more than `MOST_STEPS` schemas for a value.

    Each pair of a schema and a part of the value is counted once, and multiplied, so that telling
    takes no longer than a check should.

    Example:
        >>> either = {"anyOf": [{"properties": {"a": {"$ref": "#"}}}] * 2}
        >>> takes_too_long(either, {"a": {"a": {}}})
        False
        >>> value = {}
        >>> for _ in range(20):
        ...     value = {"a": value}
        >>> takes_too_long(either, value)
        True
    """
    steps: dict[tuple[int, int], int] = {}

    def count(part: Any, held: Any) -> int:
        if not isinstance(part, dict):
            return 1
        key = id(part), id(held)
        if key not in steps:
            # A schema that leads back to itself for the same value: validators stop there, too.
            steps[key] = 1
            total = 1
            for each, of in _applied(schema, part, held):
                total += count(each, of)
                if total > MOST_STEPS:
                    break
            steps[key] = total
        return steps[key]

    try:
        return count(schema, value) > MOST_STEPS
    except RecursionError:
        return True


def _applied(schema: Mapping[str, Any], part: Mapping[str, Any], held: Any) -> Iterator[Any]:
    """Yield the schemas that a schema applies, each with what it is applied to."""
    same = [*_referred(schema, part), *(part[name] for name in _SAME if name in part)]
    for name in _LISTS:
        same += _list(part.get(name))
    if isinstance(held, dict):
        for name in ("dependentSchemas", "dependencies"):
            same += _dict(part.get(name)).values()
        yield from _to_values(part, held)
    elif isinstance(held, list):
        yield from _to_items(part, held)
    for each in same:
        yield each, held


def _to_values(part: Mapping[str, Any], held: Mapping[str, Any]) -> Iterator[Any]:
    for key, each in _dict(part.get("properties")).items():
        if key in held:
            yield each, held[key]
    of_values = [*_dict(part.get("patternProperties")).values()]
    of_values += [part[name] for name in _OF_VALUES if name in part]
    for each in of_values:
        for item in held.values():
            yield each, item


def _to_items(part: Mapping[str, Any], held: list[Any]) -> Iterator[Any]:
    for name in ("prefixItems", "items"):
        yield from zip(_list(part.get(name)), held, strict=False)
    for name in _OF_ITEMS:
        if isinstance(part.get(name), dict):
            for item in held:
                yield part[name], item


def _referred(schema: Mapping[str, Any], part: Mapping[str, Any]) -> Iterator[Any]:
    """Yield what a schema's references within the document stand for."""
    for name in _REFERENCES:
        reference = part.get(name)
        if not isinstance(reference, str) or not reference.startswith("#"):
            continue
        found: Any = schema
        for step in unquote(reference[1:]).split("/")[1:]:
            key = step.replace("~1", "/").replace("~0", "~")
            if isinstance(found, list) and key.isdigit() and int(key) < len(found):
                found = found[int(key)]
            else:
                found = _dict(found).get(key)
        if isinstance(found, dict):
            yield found


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
