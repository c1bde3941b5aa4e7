"""The form that an answer must have: JSON of a schema, calls of certain tools, or any text."""

from dataclasses import dataclass
from typing import Any

Schema = dict[str, Any]


@dataclass(frozen=True)
class AnswerSchema:
    """A JSON schema that a document, or the arguments of a call, must satisfy.

    Attributes:
        name: Of a document, what errors call it; of a call, the function's name.
        schema: The schema.
        param: The field of the request that has it, for errors.
        strict: If it can't be enforced, that is an error.
    """

    name: str
    schema: Schema
    param: str
    strict: bool = True


@dataclass(frozen=True)
class Shape:
    """The form of an answer; at least one of the three is there.

    Attributes:
        json: It may be this JSON document.
        free: It may be any text, with calls of the tools after it.
        tools: It may be calls of these.
        parallel: There may be more than one call.
    """

    json: AnswerSchema | None
    free: bool
    tools: tuple[AnswerSchema, ...]
    parallel: bool
