"""Settings of a request, other than its messages: tools, and the response format.

Sources: the API references of OpenAI (chat, Responses), Anthropic and Amazon Bedrock, and
`langchain_core.utils.function_calling`.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

from langchain_finetune.content import UnreadableChatError, entries, mapping
from langchain_finetune.sessions import FineTuningSession

_CLASS = re.compile(r"<class '(?:.*\.)?(\w+)'>")
_SAMPLING: dict[str, Any] = {
    **dict.fromkeys(("temperature", "top_p", "presence_penalty", "frequency_penalty"), int | float),
    **dict.fromkeys(("max_output_tokens", "max_completion_tokens", "max_tokens"), int),
    "logit_bias": Mapping,
    "reasoning_effort": str,
    "stop": str | list,
    "verbosity": str,
}
_RENAMED = {"max_output_tokens": "max_completion_tokens"}
_NESTED = ("properties", "enum", "const", "$ref", "$defs", "allOf", "oneOf")


def strict_schema(schema: Any) -> Any:
    """Return a JSON schema made strict as by the openai SDK.

    Every property is required, no others are allowed, and a default of null is removed.

    Raises:
        UnreadableChatError: It has a reference next to other keys, which the SDK would resolve.

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

    The tracer writes the class's schema with references resolved and without the titles of its
    fields. If no field is itself a class, pydantic's rule for titles restores what was sent; or
    else the result is None. (A custom title of a field is not in the run; pydantic's is used.)

    The class is given as the tracer writes it, such as `<class 'app.Answer'>`, with LangChain's
    `ls_structured_output_format`: `{"schema": ..., "kwargs": {"method": ...}}`.
    """
    found = _CLASS.fullmatch(class_repr)
    schema = mapping(recorded.get("schema"))
    fields = schema.get("properties")
    if not found or not isinstance(fields, Mapping) or any(map(_is_nested, fields.values())):
        return None
    # Pydantic's order is alphabetical.
    titled = {
        name: dict(sorted({**field, "title": name.title().replace("_", " ").strip()}.items()))
        for name, field in fields.items()
    }
    sent = {key: value for key, value in schema.items() if key != "description" or value}
    strict = strict_schema(dict(sorted({**sent, "properties": titled}.items())))
    named = {"schema": strict, "name": found[1], "strict": True}
    return {"type": "json_schema", "json_schema": named}


def _is_nested(schema: Any) -> bool:
    """Return whether a field's schema may have been a reference, whose name is lost."""
    if isinstance(schema, list):
        return any(map(_is_nested, schema))
    if not isinstance(schema, Mapping):
        return not isinstance(schema, bool)
    if any(key in schema for key in _NESTED):
        return True
    inner = ("items", "anyOf", "additionalProperties", "prefixItems")
    return any(_is_nested(schema[key]) for key in inner if key in schema)


def add_settings(
    session: FineTuningSession, params: Mapping[str, Any], recorded: Mapping[str, Any] | None = None
) -> None:
    """Add a request's `SETTINGS` and `sampling` to a session, from any provider's request.

    `recorded` is `ls_structured_output_format` of LangChain's tracer.

    Raises:
        UnreadableChatError: A setting cannot be represented in the wire form.
    """
    tools = params.get("tools")
    if tools:
        if not isinstance(tools, list):
            raise _unsupported_tools()
        session["tools"] = [read_tool(tool) for tool in tools]
    if functions := entries(params.get("functions")):
        session["functions"] = functions
    parallel = params.get("parallel_tool_calls")
    if mapping(params.get("tool_choice")).get("disable_parallel_tool_use") is True:
        parallel = False  # Anthropic's name for it.
    if isinstance(parallel, bool):
        session["parallel_tool_calls"] = parallel
    form = _response_format(params, recorded or {})
    if form is not None:
        session["response_format"] = form
    if sampling := read_sampling(params):
        session["sampling"] = sampling


def read_sampling(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a request that change how it is answered, in the chat API's names.

    Names are those of OpenAI's chat and Responses APIs; values of another type are left out.

    Example:
        >>> read_sampling({"temperature": 0.2, "max_output_tokens": 50, "top_p": None, "n": 3})
        {'temperature': 0.2, 'max_completion_tokens': 50}
    """
    found = {
        _RENAMED.get(name, name): params[name]
        for name, types in _SAMPLING.items()
        if isinstance(params.get(name), types) and _is_plain(params[name])
    }
    choice = params.get("tool_choice")
    if choice in ("auto", "none", "required"):
        found["tool_choice"] = choice
    chosen = mapping(choice)
    name = mapping(chosen.get("function") or chosen).get("name")
    if chosen.get("type") == "function" and isinstance(name, str):
        found["tool_choice"] = {"type": "function", "function": {"name": name}}
    return found


def _is_plain(value: Any) -> bool:
    """Return whether a value is a finite number, text, or a list or dict of these."""
    if isinstance(value, Mapping):
        return all(isinstance(name, str) for name in value) and _is_plain(list(value.values()))
    if isinstance(value, list):
        return all(map(_is_plain, value))
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, str | int) and not isinstance(value, bool)


def read_tool(tool: Any) -> dict[str, Any]:
    """Return a tool in OpenAI's chat format; its schema keeps its order.

    It may have OpenAI's flat format (Responses), Anthropic's `{name, description, input_schema}` or
    Bedrock's `{"toolSpec": ...}`.

    Raises:
        UnreadableChatError: It is another type of tool, such as one that the provider runs.

    Example:
        >>> read_tool({"name": "f", "input_schema": {"type": "object"}})
        {'type': 'function', 'function': {'name': 'f', 'parameters': {'type': 'object'}}}
    """
    tool = mapping(tool)
    kind = tool.get("type")
    if kind == "function" and isinstance(tool.get("function"), Mapping):
        return dict(tool)
    spec = mapping(tool.get("toolSpec"))
    if spec:
        schema = mapping(spec.get("inputSchema")).get("json")
        tool = {**spec, "inputSchema": schema}
    names = {"input_schema": "parameters", "inputSchema": "parameters"}
    known = ("name", "description", "parameters", "input_schema", "inputSchema", "strict")
    # In Anthropic's API the app's own tools have the type `custom`, or none.
    own = kind == "function" or (kind in {None, "custom"} and names.keys() & tool.keys())
    if not own or not isinstance(tool.get("name"), str):
        raise _unsupported_tools()
    function = {names.get(key, key): value for key, value in tool.items() if key in known}
    return {"type": "function", "function": function}


def _unsupported_tools() -> UnreadableChatError:
    return UnreadableChatError(
        "unsupported_tools", "The run has tools that OpenAI's chat format cannot represent."
    )


def _response_format(
    params: Mapping[str, Any], recorded: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Return the response format that the request set, in the chat API's form."""
    if params.get("output_format") or mapping(params.get("output_config")).get("format"):
        raise unsupported_format()  # Anthropic's schema has no name.
    form = params.get("response_format")
    text_format = params.get("text_format")
    if isinstance(text_format, Mapping) and isinstance(text_format.get("title"), str):
        # langsmith writes the schema of the class given to `responses.parse`.
        schema = strict_schema(text_format)
        named = {"name": text_format["title"], "schema": schema, "strict": True}
        return {"type": "json_schema", "json_schema": named}
    if text_format is not None:
        raise unsupported_format()
    flat = mapping(mapping(params.get("text")).get("format"))
    if flat.get("type") == "json_schema":
        named = {key: value for key, value in flat.items() if key != "type"}
        return {"type": "json_schema", "json_schema": named}
    if flat.get("type") == "json_object":
        return dict(flat)
    if isinstance(form, str):
        # For a class the tracer writes its repr: `<class 'app.Answer'>`.
        form = pydantic_format(form, recorded)
        if form is None:
            raise unsupported_format()
    return dict(form) if isinstance(form, Mapping) else None


def unsupported_format() -> UnreadableChatError:
    """Return the error for a response format that the run does not contain."""
    return UnreadableChatError(
        "unsupported_response_format", "The run does not contain the schema that was sent."
    )
