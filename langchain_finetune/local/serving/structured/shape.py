"""The form that an answer must have: JSON of a schema, calls of certain tools, or any text."""

from dataclasses import dataclass
from typing import Any

Schema = dict[str, Any]


@dataclass(frozen=True)
class AnswerSchema:
    """A JSON schema that a document, or the arguments of a call, must satisfy.

    `name` is the function's, or what errors call the document; `param` is the request's field that
    has it. If a strict one can't be enforced, that is an error.
    """

    name: str
    schema: Schema
    param: str
    strict: bool = True


@dataclass(frozen=True)
class Shape:
    """The form of an answer: JSON, calls of tools (several if parallel), or any text before calls.

    At least one of the three is there.
    """

    json: AnswerSchema | None
    free: bool
    tools: tuple[AnswerSchema, ...]
    parallel: bool
