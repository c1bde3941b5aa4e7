"""Tool definitions in the many forms that LangChain and people write them.

`convert_to_openai_tool` puts a Pydantic model's keys in alphabetical order, with `type` last;
typed dictionaries keep theirs; people mostly write `type` first.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Any

from .chat import Json
from .words import description, tool_name


@dataclass
class Property:
    """One argument of a tool.

    Attributes:
        name: Name of the argument.
        kind: Its JSON type.
        enum: The values it may take.
        text: A description that has to be there, since the question relies on it.
    """

    name: str
    kind: str
    enum: list[str] = field(default_factory=list)
    text: str | None = None


def tool(
    rng: Random,
    properties: list[Property],
    *,
    name: str | None = None,
    text: str | None = None,
    language: str = "en",
) -> Json:
    """Write a tool definition in a random style."""
    style = rng.choice(["pydantic", "pydantic", "hand", "hand", "enum_last", "typed"])
    described = rng.random() < 0.4
    titled = rng.random() < 0.04
    optional = {p.name for p in properties if rng.random() < 0.3} if rng.random() < 0.08 else set()
    fields = {}
    for p in properties:
        words = p.text if p.text is not None else description(rng, language) if described else None
        fields[p.name] = _property(rng, p, words, style, titled=titled, optional=p.name in optional)
    required = [p.name for p in properties if p.name not in optional]
    parameters: Json = {"properties": fields}
    if style != "pydantic":
        parameters = {"type": "object", "properties": fields}
    if required or rng.random() < 0.5:
        parameters["required"] = required
    if style == "pydantic":
        parameters["type"] = "object"
    strict = rng.random() < 0.06
    if strict or rng.random() < 0.04:
        parameters["additionalProperties"] = False
    function: Json = {"name": name or tool_name(rng)}
    if rng.random() < 0.8:
        function["description"] = text if text is not None else description(rng, language)
        if rng.random() < 0.05:
            function["description"] = ""
    function["parameters"] = parameters
    if strict:
        function["strict"] = True
    return {"type": "function", "function": function}


def _property(
    rng: Random, p: Property, words: str | None, style: str, *, titled: bool, optional: bool
) -> dict[str, Any]:
    parts: Json = {"type": p.kind}
    if p.enum:
        parts["enum"] = p.enum
    if words is not None:
        parts["description"] = words
    if titled:
        parts["title"] = p.name.replace("_", " ").title()
    if optional:
        parts["default"] = _default(rng, p)
    if style == "pydantic":
        return dict(sorted(parts.items()))
    order = {
        "hand": ("type", "enum", "description", "title", "default"),
        "enum_last": ("type", "description", "enum", "title", "default"),
        "typed": ("description", "enum", "type", "title", "default"),
    }[style]
    return {key: parts[key] for key in order if key in parts}


def _default(rng: Random, p: Property) -> Any:
    if p.enum:
        return rng.choice(p.enum)
    return {
        "number": rng.choice([0, 1, 0.5]),
        "integer": rng.choice([0, 1, 2]),
        "boolean": rng.random() < 0.5,
        "string": "",
    }[p.kind]
