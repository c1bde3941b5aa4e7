"""What form an answer must have: JSON of a schema, calls of certain tools, or any text."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from langchain_finetune.local.serving.request_fields import (
    RequestFields,
    invalid,
    missing,
    take,
    take_required,
    unsupported,
)


@dataclass(frozen=True)
class ToolChoice:
    """Which tools may, or must, be called.

    Attributes:
        mode: `auto` leaves it to the model; `required` is one call at least.
        names: Only these; None for all that are offered.
        named: A single tool is named, in which case OpenAI's API ends with `stop`.
    """

    mode: Literal["none", "auto", "required"]
    names: frozenset[str] | None = None
    named: bool = False

    @property
    def forced(self) -> bool:
        """The answer has to be a call."""
        return self.mode == "required"

    @property
    def restricted(self) -> bool:
        """Not all that is offered may be called."""
        return self.names is not None

    def allows(self, name: str) -> bool:
        """Tell whether a tool may be called."""
        return self.names is None or name in self.names


def read_tool_choice(given: RequestFields) -> ToolChoice:
    """Read `tool_choice`, or `function_call` where functions are offered.

    Raises:
        ApiError: 400; it is malformed, or names what is not offered.
    """
    for field, offers in (("tool_choice", "tools"), ("function_call", "functions")):
        value = given.get(field)
        if value is None:
            continue
        choice = _read(field, value)
        offered = {_name(offer) for offer in given.get(offers) or ()}
        if choice.forced and not offered:
            raise invalid(field, f"is only allowed when '{offers}' are specified")
        for name in choice.names or ():
            if name not in offered:
                raise invalid(field, f"names '{name}', which is not among the {offers}")
        return choice
    return ToolChoice("auto")


def _read(field: str, value: Any) -> ToolChoice:
    match value:
        case "none" | "auto" | "required":
            if value == "required" and field == "function_call":
                raise invalid(field, "must be 'none', 'auto' or the name of a function")
            return ToolChoice(value)
        case {"type": "function", "function": {"name": str(name)}} if field == "tool_choice":
            return ToolChoice("required", frozenset({name}), named=True)
        case {"name": str(name)} if field == "function_call":
            return ToolChoice("required", frozenset({name}), named=True)
        case {
            "type": "allowed_tools",
            "allowed_tools": {"mode": "auto" | "required" as mode, "tools": [*tools]},
        } if tools:
            names = [_name(tool) for tool in tools]
            if not all(names):
                raise invalid(f"{field}.allowed_tools.tools", "must be functions with names")
            return ToolChoice(mode, frozenset(names))
    raise invalid(field, "is no choice that this engine knows")


def _name(offer: Any) -> str:
    """Return the name of a tool, of a legacy function, or of a choice; "" where it has none."""
    function = offer.get("function", offer) if isinstance(offer, Mapping) else None
    name = function.get("name") if isinstance(function, Mapping) else None
    return name if isinstance(name, str) else ""


Schema = dict[str, Any]

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


@dataclass(frozen=True)
class JsonText:
    """An answer that is a JSON document.

    Attributes:
        schema: What is in it.
        param: The field of the request that asks for it, for errors.
        label: What the schema is of, for errors.
    """

    schema: Schema
    param: str
    label: str


@dataclass(frozen=True)
class OfferedTool:
    """A function that may be called.

    Attributes:
        name: Its name.
        schema: What its arguments are: a JSON object.
        strict: A schema that can't be enforced is an error.
        param: The field of the request that has it, for errors.
    """

    name: str
    schema: Schema
    strict: bool
    param: str


@dataclass(frozen=True)
class Shape:
    """The form of an answer; one of the three is there at least.

    Attributes:
        json: It may be this JSON document.
        free: It may be any text, with calls of the tools after it.
        tools: It may be calls of these.
        parallel: There may be more than one call.
    """

    json: JsonText | None
    free: bool
    tools: tuple[OfferedTool, ...]
    parallel: bool


def read_shape(given: RequestFields, choice: ToolChoice, *, parallel: bool) -> Shape | None:
    """Return the form that a chat completion request asks for; None where any text will do.

    Raises:
        ApiError: 400; `response_format` or a tool is malformed.
    """
    json = _read_format(take(given, "response_format", dict) or {})
    tools = _read_tools(given, choice)
    if choice.forced:
        return Shape(None, free=False, tools=tools, parallel=parallel)
    if json:
        return Shape(json, free=False, tools=tools, parallel=parallel)
    if choice.restricted or any(tool.strict for tool in tools):
        return Shape(None, free=True, tools=tools, parallel=parallel)
    return None


def _read_format(given: RequestFields) -> JsonText | None:
    kind = given.get("type", "text")
    if kind == "text":
        return None
    if kind == "json_object":
        return JsonText({"type": "object"}, "response_format", "response_format")
    if kind != "json_schema":
        raise unsupported("response_format.type", "this engine knows no such format")
    if not isinstance(given.get("json_schema"), dict):
        raise missing("response_format.json_schema")
    place = "response_format.json_schema"
    name = take_required(given["json_schema"], "name", str, within=place)
    if not _NAME.fullmatch(name):
        raise invalid(f"{place}.name", f"must match {_NAME.pattern}")
    schema = take_required(given["json_schema"], "schema", dict, within=place)
    return JsonText(schema, "response_format", f"response_format '{name}'")


def _read_tools(given: RequestFields, choice: ToolChoice) -> tuple[OfferedTool, ...]:
    """Return the tools that may be called."""
    if choice.mode == "none":
        return ()
    found = []
    for field in ("tools", "functions"):
        for index, tool in enumerate(given.get(field) or ()):
            function = tool["function"] if field == "tools" else tool
            if choice.allows(function["name"]):
                inner = ".function" if field == "tools" else ""
                found.append(_read_tool(function, f"{field}[{index}]{inner}.parameters"))
    return tuple(found)


def _read_tool(function: Mapping[str, Any], param: str) -> OfferedTool:
    schema = function.get("parameters")
    if schema is None:
        # Nothing said means no parameters (OpenAI's API reference).
        schema = {"type": "object", "properties": {}}
    if not isinstance(schema, dict):
        raise invalid(param, "must be a JSON schema")
    if schema.get("type", "object") != "object":
        raise invalid(param, "must be a JSON schema of type object")
    strict = take(function, "strict", bool) is True
    return OfferedTool(function["name"], {"type": "object"} | schema, strict, param)
