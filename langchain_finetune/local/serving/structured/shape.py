"""The form that an answer must have: JSON of a schema, calls of certain tools, or any text."""

from dataclasses import dataclass
from typing import Any

Schema = dict[str, Any]


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
    """The form of an answer; at least one of the three is there.

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
