"""Answers in the shape of OpenAI's API: one object, or chunks as server-sent events."""

import json
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from langchain_finetune.local.api_error import ApiError

FinishReason = Literal["stop", "length", "tool_calls"]


@dataclass(frozen=True)
class Text:
    """A piece of the answer's text."""

    text: str


@dataclass(frozen=True)
class Reasoning:
    """A piece of what the model thinks before it answers."""

    text: str


@dataclass(frozen=True)
class Call:
    """A whole call of a tool; `arguments` is JSON."""

    name: str
    arguments: str


@dataclass(frozen=True)
class End:
    """The last piece of every answer."""

    finish_reason: FinishReason
    prompt_tokens: int
    completion_tokens: int

    def usage(self) -> dict[str, int]:
        """Return the tokens used, in OpenAI's shape."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
        }


Piece = Text | Reasoning | Call | End


@dataclass(frozen=True)
class Envelope:
    """What all parts of one answer have in common.

    Attributes:
        model: Name of the model, as asked for.
        legacy: Calls are given as `function_call`, the form before tools.
        include_usage: A stream ends with a chunk about the tokens used.
        id: Name of the answer.
        created: Seconds since 1970.
    """

    model: str
    legacy: bool
    include_usage: bool
    id: str = field(default_factory=lambda: f"chatcmpl-{secrets.token_hex(12)}")
    created: int = field(default_factory=lambda: int(time.time()))

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}

    def completion(self, pieces: Sequence[Piece]) -> dict[str, Any]:
        """Return a whole answer: a `chat.completion` object."""
        text = "".join(piece.text for piece in pieces if isinstance(piece, Text))
        reasoning = "".join(piece.text for piece in pieces if isinstance(piece, Reasoning))
        calls = [piece for piece in pieces if isinstance(piece, Call)]
        end = next(piece for piece in pieces if isinstance(piece, End))
        message: dict[str, Any] = {
            "role": "assistant",
            "content": text or (None if calls else ""),
            "refusal": None,
        }
        if reasoning:
            message["reasoning_content"] = reasoning
        if calls and self.legacy:
            message["function_call"] = {"name": calls[0].name, "arguments": calls[0].arguments}
        elif calls:
            message["tool_calls"] = [_tool_call(call) for call in calls]
        choice = {
            "index": 0,
            "message": message,
            "logprobs": None,
            "finish_reason": self._reason(end),
        }
        return self._head("chat.completion") | {"choices": [choice], "usage": end.usage()}

    async def events(self, pieces: AsyncIterator[Piece]) -> AsyncIterator[str]:
        """Yield an answer as server-sent events: `chat.completion.chunk` objects, then `[DONE]`.

        An error after the first event is an event too, which the openai SDK raises.
        """
        yield self._chunk({"role": "assistant", "content": "", "refusal": None})
        calls = 0
        try:
            async for piece in pieces:
                match piece:
                    case Text():
                        yield self._chunk({"content": piece.text})
                    case Reasoning():
                        yield self._chunk({"reasoning_content": piece.text})
                    case Call() if self.legacy:
                        call = {"name": piece.name, "arguments": piece.arguments}
                        yield self._chunk({"function_call": call})
                    case Call():
                        call = {"index": calls} | _tool_call(piece)
                        yield self._chunk({"tool_calls": [call]})
                        calls += 1
                    case End():
                        yield self._chunk({}, self._reason(piece))
                        if self.include_usage:
                            last = self._head("chat.completion.chunk")
                            yield _event(last | {"choices": [], "usage": piece.usage()})
        except ApiError as error:
            yield _event(error.body())
        yield "data: [DONE]\n\n"

    def _chunk(self, delta: dict[str, Any], finish_reason: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        chunk = self._head("chat.completion.chunk") | {"choices": [choice]}
        return _event(chunk | {"usage": None} if self.include_usage else chunk)

    def _reason(self, end: End) -> str:
        legacy = self.legacy and end.finish_reason == "tool_calls"
        return "function_call" if legacy else end.finish_reason


def _tool_call(call: Call) -> dict[str, Any]:
    return {
        "id": f"call_{secrets.token_hex(12)}",
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments},
    }


def _event(body: dict[str, Any]) -> str:
    return f"data: {json.dumps(body)}\n\n"
