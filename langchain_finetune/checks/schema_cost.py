"""The cost of validating arguments against a JSON schema.

A few references to each other can expand to a schema of any size, and a validator follows all of
them: checking against a tool definition of one kilobyte can take longer than the training.
"""

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any
from urllib.parse import unquote

from langchain_finetune.content import entries, mapping

MOST_STEPS = 10_000
"""Most schemas that a check may visit, which takes about a tenth of a second."""

_PLAIN = 1_000
"""A schema that is smaller than this once its references are expanded is cheap."""

_LISTS = ("allOf", "anyOf", "oneOf")
_SAME = ("not", "if", "then", "else")
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_OF_VALUES = ("additionalProperties", "unevaluatedProperties")
_OF_ITEMS = ("items", "contains", "additionalItems", "unevaluatedItems")


def is_costly(schema: Mapping[str, Any]) -> bool:
    """Return whether a schema is large or infinite once its references are expanded.

    Example:
        >>> is_costly({"type": "object", "properties": {"a": {"type": "string"}}})
        False
        >>> is_costly({"properties": {"child": {"$ref": "#"}}})
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
            # A schema that refers to itself is infinite.
            sizes[id(node)] = _PLAIN
            sizes[id(node)] = min(1 + sum(map(size, parts)), _PLAIN)
        return sizes[id(node)]

    try:
        return size(schema) >= _PLAIN
    except RecursionError:
        return True


def takes_too_long(schema: Mapping[str, Any], value: Any) -> bool:
    """Return whether a validator may visit more than `MOST_STEPS` schemas for a value.

    Each pair of a schema and a part of the value is counted once and multiplied, so that counting
    takes no longer than a check may.

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

    def count(part: Any, value: Any) -> int:
        if not isinstance(part, dict):
            return 1
        key = id(part), id(value)
        if key not in steps:
            # For a schema that refers to itself with the same value, validators stop, too.
            steps[key] = 1
            total = 1
            for each, of in _applied(schema, part, value):
                total += count(each, of)
                if total > MOST_STEPS:
                    break
            steps[key] = total
        return steps[key]

    try:
        return count(schema, value) > MOST_STEPS
    except RecursionError:
        return True


def _applied(schema: Mapping[str, Any], part: Mapping[str, Any], value: Any) -> Iterator[Any]:
    """Yield the schemas that a schema applies, each with the value that it is applied to."""
    same = [*_referred(schema, part), *(part[name] for name in _SAME if name in part)]
    for name in _LISTS:
        same += entries(part.get(name))
    if isinstance(value, dict):
        for name in ("dependentSchemas", "dependencies"):
            same += mapping(part.get(name)).values()
        properties = mapping(part.get("properties")).items()
        yield from ((each, value[key]) for key, each in properties if key in value)
        of_values = [*mapping(part.get("patternProperties")).values()]
        of_values += [part[name] for name in _OF_VALUES if name in part]
        yield from product(of_values, value.values())
    elif isinstance(value, list):
        for name in ("prefixItems", "items"):
            yield from zip(entries(part.get(name)), value, strict=False)
        of_items = [part[name] for name in _OF_ITEMS if isinstance(part.get(name), dict)]
        yield from product(of_items, value)
    for each in same:
        yield each, value


def _is_index(key: str, count: int) -> bool:
    # Python refuses to read thousands of digits.
    return key.isdecimal() and len(key) <= len(str(count)) and int(key) < count


def _referred(schema: Mapping[str, Any], part: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the targets of a schema's references within the document."""
    for name in _REFERENCES:
        reference = part.get(name)
        if not isinstance(reference, str) or not reference.startswith("#"):
            continue
        found: Any = schema
        for step in unquote(reference[1:]).split("/")[1:]:
            key = step.replace("~1", "/").replace("~0", "~")
            if isinstance(found, list) and _is_index(key, len(found)):
                found = found[int(key)]
            else:
                found = mapping(found).get(key)
        if isinstance(found, dict):
            yield found
