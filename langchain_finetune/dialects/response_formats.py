"""The response format of a request, in the form of OpenAI's chat API.

Sources: the API references of OpenAI (chat, Responses), Anthropic, Gemini and Ollama, the AI SDK
(`responseFormat`), and what LangChain's tracer and LangSmith's wrappers write of a class.
"""

import re
from collections.abc import Mapping
from typing import Any

from langchain_finetune.content import UnreadableChatError, entries, mapping
from langchain_finetune.sessions import UNKNOWN_FORMAT

_CLASS = re.compile(r"<class '(?:.*\.)?(\w+)'>")
_SETTINGS = frozenset(
    {
        *("response_format", "text", "text_format", "output_format", "output_config", "format"),
        *("response_schema", "response_json_schema", "response_mime_type"),
    }
)
"""Names of settings that choose the format, in any API."""

_VALUES = frozenset({"default", "examples", "enum", "const"})
"""Keywords of a schema whose values are not schemas."""


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
    """Return the response format that was sent for a pydantic class, or an equal one.

    The tracer writes the class's schema with references resolved and without the titles of its
    fields. Pydantic's rule for titles restores what was sent, unless a field is itself a class or
    has a title of its own. Then the result is equal: an answer fits one exactly if it fits the
    other. If a class contains itself, the tracer loses that, and the result is None.

    The class is given as the tracer writes it, such as `<class 'app.Answer'>`, with LangChain's
    `ls_structured_output_format`: `{"schema": ..., "kwargs": {"method": ...}}`.
    """
    found = _CLASS.fullmatch(class_repr)
    schema = mapping(recorded.get("schema"))
    fields = schema.get("properties")
    if not found or not isinstance(fields, Mapping) or any(map(_holds_empty, fields.values())):
        return None
    # Pydantic's order is alphabetical.
    titled = {
        name: dict(sorted({**field, "title": name.title().replace("_", " ").strip()}.items()))
        if isinstance(field, Mapping)
        else field
        for name, field in fields.items()
    }
    sent = {key: value for key, value in schema.items() if key != "description" or value}
    strict = strict_schema(dict(sorted({**sent, "properties": titled}.items())))
    named = {"schema": strict, "name": found[1], "strict": True}
    return {"type": "json_schema", "json_schema": named}


def _holds_empty(schema: Any) -> bool:
    """Return whether an empty schema is inside of another: what the tracer makes of a cycle."""
    inner = entries(schema)
    if isinstance(schema, Mapping):
        inner = [value for key, value in schema.items() if key not in _VALUES]
    return any(each == {} or _holds_empty(each) for each in inner)


def response_format(
    params: Mapping[str, Any], recorded: Mapping[str, Any] | None = None
) -> dict[str, Any] | None:
    """Return the response format that a request set, or None if it set none.

    It is `UNKNOWN_FORMAT` if the trace does not contain what was sent, such as a class's schema.

    Args:
        params: The request's fields, of any provider.
        recorded: `ls_structured_output_format` of LangChain's tracer.
    """
    if _SETTINGS.isdisjoint(params):
        return None
    try:
        recorded = recorded or {}
        form = _chat_format(params)
        if form and _is_zod(mapping(form.get("json_schema")).get("schema")):
            # LangChain.js writes zod's object there, and the JSON schema of it elsewhere.
            schema = mapping(recorded.get("schema"))
            named = {**form["json_schema"], "schema": schema}
            form = {**form, "json_schema": named} if schema else UNKNOWN_FORMAT
        return form or _class_format(params, recorded) or _named(params)
    except UnreadableChatError:
        return UNKNOWN_FORMAT


def _is_zod(schema: Any) -> bool:
    return not {"def", "_def", "_zod"}.isdisjoint(mapping(schema))


def _chat_format(params: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a format of OpenAI's API (chat, Responses) or the AI SDK."""
    form = params.get("response_format")
    if isinstance(form, Mapping):
        if form.get("type") == "json":
            # The AI SDK's; without a schema it is JSON mode.
            if not form.get("schema"):
                return {"type": "json_object"}
            known = ("name", "description", "schema")
            return _json_schema({key: form[key] for key in known if form.get(key)})
        if "type" in form:
            return dict(form)
        # LiteLLM and others also write a bare schema.
        return _json_schema({"schema": form}) if "properties" in form else UNKNOWN_FORMAT
    flat = mapping(mapping(params.get("text")).get("format"))
    if flat.get("type") == "json_schema":
        return _json_schema({key: value for key, value in flat.items() if key != "type"})
    return dict(flat) if flat.get("type") == "json_object" else None


def _class_format(params: Mapping[str, Any], recorded: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the format of a class that was given to the SDK."""
    text_format = params.get("text_format")
    if isinstance(text_format, Mapping) and isinstance(text_format.get("title"), str):
        # langsmith writes the schema of the class given to `responses.parse`.
        schema = strict_schema(text_format)
        return _json_schema({"name": text_format["title"], "schema": schema, "strict": True})
    if text_format is not None:
        return UNKNOWN_FORMAT
    form = params.get("response_format")
    if isinstance(form, str):
        # For a class the tracer writes its repr: `<class 'app.Answer'>`.
        return pydantic_format(form, recorded) or UNKNOWN_FORMAT
    return None if form is None else UNKNOWN_FORMAT


def _named(params: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the format of Anthropic, Gemini or Ollama, whose schemas have no name."""
    form = params.get("output_format") or mapping(params.get("output_config")).get("format")
    schema = mapping(form).get("schema") if isinstance(form, Mapping) else None
    schema = schema or params.get("response_json_schema") or params.get("response_schema")
    if isinstance(params.get("format"), Mapping):
        schema = schema or params["format"]
    if isinstance(schema, Mapping):
        return _json_schema({"schema": schema})
    is_json = (
        params.get("response_mime_type") == "application/json" or params.get("format") == "json"
    )
    if schema or (form and not is_json):
        return UNKNOWN_FORMAT
    return {"type": "json_object"} if is_json else None


def _json_schema(named: Mapping[str, Any]) -> dict[str, Any]:
    # The AI SDK sends this name if there is none.
    return {"type": "json_schema", "json_schema": {"name": "response", **named}}
