"""The tools that a request offered, in OpenAI's chat format.

Sources: the API references of OpenAI (chat, Responses), Anthropic, Amazon Bedrock and Gemini
(`FunctionDeclaration`, `Schema`), the AI SDK, and `langchain_core.utils.function_calling`.
"""

import re
from collections.abc import Mapping
from typing import Any

from langchain_finetune.content import UnreadableChatError, entries, mapping

_SCHEMAS = (
    *("parameters", "input_schema", "inputSchema"),
    *("parameters_json_schema", "parametersJsonSchema"),
)
"""Names of a tool's JSON schema."""

_COPIED = ("name", "description", "strict")
_DECLARATIONS = ("function_declarations", "functionDeclarations")
_GEMINI_TYPES = ("STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL")


def read_tools(tools: Any) -> list[dict[str, Any]]:
    """Return the tools of a request.

    Raises:
        UnreadableChatError: They are not a list, or one of them is run by the provider.
    """
    if not isinstance(tools, list):
        raise unsupported_tools()
    return [read_tool(each) for tool in tools for each in _declared(tool)]


def _declared(tool: Any) -> list[Any]:
    """Return the functions of one of Gemini's tools, or the tool of another provider."""
    for key in _DECLARATIONS:
        functions = mapping(tool).get(key)
        if isinstance(functions, list):
            if any(value for name, value in tool.items() if name != key):
                raise unsupported_tools()
            return [{"type": "function", "function": each} for each in functions]
    return [tool]


def read_tool(tool: Any) -> dict[str, Any]:
    """Return a tool in OpenAI's chat format; its schema keeps its order.

    It may have OpenAI's flat format (Responses), Anthropic's `{name, description, input_schema}`,
    Bedrock's `{"toolSpec": ...}`, the AI SDK's `inputSchema`, or the form of a declaration of
    Gemini's API.

    Raises:
        UnreadableChatError: It is another type of tool, such as one that the provider runs.

    Example:
        >>> read_tool({"name": "f", "input_schema": {"type": "object"}})
        {'type': 'function', 'function': {'name': 'f', 'parameters': {'type': 'object'}}}
    """
    tool = mapping(tool)
    kind = tool.get("type")
    if kind == "function" and isinstance(tool.get("function"), Mapping):
        function = tool["function"]
        schema = function.get("parameters")
        unusual = not isinstance(schema, Mapping) or _is_gemini(schema)
        return {**tool, "function": _function(function)} if unusual else dict(tool)
    spec = mapping(tool.get("toolSpec"))
    if spec:
        tool = {**spec, "inputSchema": mapping(spec.get("inputSchema")).get("json")}
    # In Anthropic's API the app's own tools have the type `custom`, or none.
    own = kind == "function" or (kind in {None, "custom"} and any(map(tool.get, _SCHEMAS)))
    if not own or not isinstance(tool.get("name"), str):
        raise unsupported_tools()
    return {"type": "function", "function": _function(tool)}


def _function(tool: Mapping[str, Any]) -> dict[str, Any]:
    """Return a function with its schema under OpenAI's key, in the order of its fields."""
    function: dict[str, Any] = {}
    for key, value in tool.items():
        if key in _COPIED and value is not None:
            function[key] = value
        elif key in _SCHEMAS and value is not None:
            if not isinstance(value, Mapping):
                function.setdefault("parameters", value)
            else:
                function["parameters"] = json_schema(value) if _is_gemini(value) else value
    if "parameters" not in function and any(map(_may_be_schema, tool, tool.values())):
        # A schema under a name that is unknown here: without it the tool would be another.
        raise unsupported_tools()
    return function


def _may_be_schema(key: str, value: Any) -> bool:
    named = "schema" in key.lower() or "param" in key.lower()
    return named and isinstance(value, Mapping) and not key.lower().startswith(("output", "re"))


def unsupported_tools() -> UnreadableChatError:
    """Return the error for tools that are not functions of the app."""
    return UnreadableChatError(
        "unsupported_tools", "The run has tools that OpenAI's chat format cannot represent."
    )


def _is_gemini(schema: Mapping[str, Any]) -> bool:
    """Return whether a schema has the types of Gemini's API: `OBJECT`, or their numbers."""
    kind = schema.get("type", schema.get("type_"))
    return kind in _GEMINI_TYPES or (isinstance(kind, int) and not isinstance(kind, bool))


def json_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema of Gemini's API as JSON Schema.

    Example:
        >>> json_schema({"type": "ARRAY", "items": {"type": "STRING", "nullable": True}})
        {'type': 'array', 'items': {'type': ['string', 'null']}}
    """
    made: dict[str, Any] = {}
    for given, value in schema.items():
        key = _camel(given)
        if value is None or key in {"nullable", "propertyOrdering", "type"}:
            if key == "type" and value is not None:
                made["type"] = _type(value)
        elif key in {"properties", "defs"} and isinstance(value, Mapping):
            made[key] = {name: _inner(part) for name, part in value.items()}
        elif key == "items":
            made[key] = _inner(value)
        elif key == "anyOf":
            made[key] = [_inner(part) for part in entries(value)]
        else:
            made[key] = value
    if schema.get("nullable") is True and isinstance(made.get("type"), str):
        made["type"] = [made["type"], "null"]
    return made


def _inner(schema: Any) -> Any:
    return json_schema(schema) if isinstance(schema, Mapping) else schema


def _type(value: Any) -> Any:
    if isinstance(value, int) and 0 < value <= len(_GEMINI_TYPES):
        return _GEMINI_TYPES[value - 1].lower()
    return value.lower() if isinstance(value, str) else value


def _camel(key: str) -> str:
    return re.sub(r"_(\w)", lambda found: found[1].upper(), key.rstrip("_"))
