"""The pieces that an answer comes in, before they take the shape of one of OpenAI's APIs."""

from dataclasses import dataclass
from typing import Literal

FinishReason = Literal["stop", "length", "tool_calls"]


@dataclass(frozen=True)
class Token:
    """A token and how likely it was.

    Attributes:
        data: Its bytes, in UTF-8; a character may be spread over several tokens.
        logprob: Natural logarithm of its probability, as the model gave it.
        top: The likeliest tokens in its place.
    """

    data: bytes
    logprob: float
    top: tuple["Token", ...] = ()


@dataclass(frozen=True)
class Text:
    """A piece of the answer's text, and its tokens where they were asked for."""

    text: str
    tokens: tuple[Token, ...] = ()


@dataclass(frozen=True)
class ReasoningDelta:
    """A piece of what the model thinks before it answers."""

    text: str


@dataclass(frozen=True)
class CompleteCall:
    """A whole call of a tool; `arguments` is JSON."""

    name: str
    arguments: str


@dataclass(frozen=True)
class End:
    """The last piece of every answer."""

    finish_reason: FinishReason
    prompt_tokens: int
    completion_tokens: int


Piece = Text | ReasoningDelta | CompleteCall | End
