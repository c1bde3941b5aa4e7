"""The schema that the openai SDK sends for a pydantic class, from what a run holds of it.

Sources of fact: `openai.lib._pydantic` (strict schemas), `langchain_core` (what the tracer writes),
pydantic's JSON schemas. Tests compare with all three.
"""

import re
from collections.abc import Mapping
from typing import Any

from langchain_finetune.content import UnreadableChatError, mapping

_CLASS = re.compile(r"<class '(?:.*\.)?(\w+)'>")
_NESTED = ("properties", "enum", "const", "$ref", "$defs", "allOf", "oneOf")


def strict_schema(schema: Any) -> Any:
    """Return a JSON schema as the openai SDK makes it strict.

    Every property is required, no others are allowed, and a default of null goes.

    Raises:
        UnreadableChatError: It holds a reference beside other keys, which the SDK would resolve.

    Example:
        >>> strict_schema({"type": "object", "properties": {"a": {"type": "string"}}})[
        ...     "additionalProperties"
        ... ]
        False
    """
    if not isinstance(schema, Mapping):
        return schema
    if ("$ref" in schema and len(schema) > 1) or "allOf" in schema:
        raise UnreadableChatError(
            "unsupported_response_format", "The schema's references were resolved when it was sent."
        )
    strict = dict(schema)
    if strict.get("type") == "object":
        strict.setdefault("additionalProperties", False)
    if isinstance(strict.get("properties"), Mapping):
        strict["required"] = list(strict["properties"])
    for key in ("$defs", "definitions", "properties"):
        if isinstance(strict.get(key), Mapping):
            strict[key] = {name: strict_schema(part) for name, part in strict[key].items()}
    if isinstance(strict.get("items"), Mapping):
        strict["items"] = strict_schema(strict["items"])
    if isinstance(strict.get("anyOf"), list):
        strict["anyOf"] = [strict_schema(part) for part in strict["anyOf"]]
    if "default" in strict and strict["default"] is None:
        del strict["default"]
    return strict


def pydantic_format(class_repr: str, recorded: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the response format that was sent for a pydantic class.

    The tracer writes the class's schema with references resolved and the titles of its fields
    left out. Where no field is a class of its own, pydantic's rule for titles gives back what was
    sent. (A title that a field was given by hand is not in the run; pydantic's is taken.)

    Args:
        class_repr: What the tracer writes for the class, such as `<class 'app.Answer'>`.
        recorded: `{"schema": ..., "kwargs": {"method": ...}}`: LangChain's
            `ls_structured_output_format`.

    Returns:
        The format in the chat API's form; None where the run doesn't tell.
    """
    found = _CLASS.fullmatch(class_repr)
    schema = mapping(recorded.get("schema"))
    fields = schema.get("properties")
    if not found or not isinstance(fields, Mapping) or any(map(_is_nested, fields.values())):
        return None
    titled = {
        name: _sorted({**field, "title": name.title().replace("_", " ").strip()})
        for name, field in fields.items()
    }
    sent = {key: value for key, value in schema.items() if key != "description" or value}
    strict = strict_schema(_sorted({**sent, "properties": titled}))
    named = {"schema": strict, "name": found[1], "strict": True}
    return {"type": "json_schema", "json_schema": named}


def _is_nested(schema: Any) -> bool:
    """Tell whether a field's schema may have been a reference, whose name is lost."""
    if isinstance(schema, list):
        return any(map(_is_nested, schema))
    if not isinstance(schema, Mapping):
        return not isinstance(schema, bool)
    if any(key in schema for key in _NESTED):
        return True
    inner = ("items", "anyOf", "additionalProperties", "prefixItems")
    return any(_is_nested(schema[key]) for key in inner if key in schema)


def _sorted(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema with its keys in pydantic's order, which is the alphabet's."""
    return {key: schema[key] for key in sorted(schema)}
