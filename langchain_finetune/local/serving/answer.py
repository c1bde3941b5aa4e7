"""The pieces that an answer comes in, and how those with choices are written, whole or streamed."""

import json
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.serving.protocol import SampledRequest

FinishReason = Literal["stop", "length", "tool_calls"]

DONE = "data: [DONE]\n\n"
"""Ends a stream of chat completions or completions."""


def event(body: dict[str, Any], name: str | None = None) -> str:
    """Return an object as a server-sent event, optionally with a name."""
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(body)}\n\n"


@dataclass(frozen=True)
class Token:
    """A token, its natural log-probability as the model gave it, and the likeliest in its place."""

    # In UTF-8; a character may be spread over several tokens.
    data: bytes
    logprob: float
    top: tuple["Token", ...] = ()

    @property
    def text(self) -> str:
        """The token as text, as far as its bytes are whole characters."""
        return self.data.decode(errors="replace")


@dataclass(frozen=True)
class Text:
    """A chunk of the answer's text, with its tokens if requested."""

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
NumberedPieces = AsyncIterator[tuple[int, Piece]]
"""Pieces of several answers, each with the number of its answer."""


class ChoicesWriter(ABC):
    """Writes the answers to one request as choices; the `n` to a prompt stand side by side."""

    prefix: ClassVar[str]
    whole_object: ClassVar[str]
    chunk_object: ClassVar[str]

    def __init__(self, request: SampledRequest, answers: int) -> None:
        self._head = {
            "id": f"{self.prefix}-{secrets.token_hex(12)}",
            "created": int(time.time()),
            "model": request.model,
        }
        # All chunks begin alike.
        self._chunk_head = json.dumps(self._head | {"object": self.chunk_object})[:-1]
        self._answers = answers
        self._n = request.n
        self._include_usage = bool(request.stream_options.include_usage)
        self._logprobs = request.alternatives is not None

    @abstractmethod
    def choice(self, index: int, pieces: Sequence[Piece]) -> dict[str, Any]:
        """Return a whole answer as a choice."""

    @abstractmethod
    def deltas(self, index: int, piece: Piece, *, first: bool) -> Iterator[dict[str, Any]]:
        """Yield a piece as choices of a stream's chunks."""

    async def whole(self, pieces: NumberedPieces) -> dict[str, Any]:
        """Return all answers as one object."""
        answers: list[list[Piece]] = [[] for _ in range(self._answers)]
        async for index, piece in pieces:
            answers[index].append(piece)
        choices = [self.choice(index, answer) for index, answer in enumerate(answers)]
        usage = self._usage([answer[-1] for answer in answers])
        return self._head | {"object": self.whole_object, "choices": choices, "usage": usage}

    async def events(self, pieces: NumberedPieces) -> AsyncIterator[str]:
        """Yield the answers as server-sent events: chunks, then `[DONE]`.

        An error after the first event is an event too, which the openai SDK raises.
        """
        begun: set[int] = set()
        ends: list[Piece] = []
        try:
            async for index, piece in pieces:
                for choice in self.deltas(index, piece, first=index not in begun):
                    yield self._chunk([choice])
                begun.add(index)
                if isinstance(piece, End):
                    ends.append(piece)
            if self._include_usage:
                yield self._chunk([], self._usage(ends))
        except ApiError as error:
            yield event(error.body())
        yield DONE

    def _chunk(self, choices: list[dict[str, Any]], usage: dict[str, int] | None = None) -> str:
        tail = f', "usage": {json.dumps(usage)}' if self._include_usage else ""
        return f'data: {self._chunk_head}, "choices": {json.dumps(choices)}{tail}}}\n\n'

    def _usage(self, pieces: Sequence[Piece]) -> dict[str, int]:
        ends = [piece for piece in pieces if isinstance(piece, End)]
        # Each prompt counts once.
        prompts = sum(end.prompt_tokens for end in ends[:: self._n])
        answers = sum(end.completion_tokens for end in ends)
        return {
            "prompt_tokens": prompts,
            "completion_tokens": answers,
            "total_tokens": prompts + answers,
        }
