"""Chat completions in the shape of OpenAI's API: one object, or chunks as server-sent events."""

import secrets
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.serving.deltas import (
    CompleteCall,
    End,
    Piece,
    ReasoningDelta,
    Text,
    Token,
)
from langchain_finetune.local.serving.sse import DONE, event

# OpenAI's API gives this for what is all but impossible; JSON knows no infinity.
_LEAST = -9999.0


@dataclass(frozen=True)
class Envelope:
    """What all parts of one answer have in common.

    Attributes:
        model: Name of the model, as asked for.
        legacy: Calls are given as `function_call`, the form before tools.
        named: The call was of a tool that the request named.
        include_usage: A stream ends with a chunk about the tokens used.
        logprobs: Tokens come with their log-probabilities.
        id: Name of the answer.
        created: Seconds since 1970.
    """

    model: str
    legacy: bool = False
    named: bool = False
    include_usage: bool = False
    logprobs: bool = False
    id: str = field(default_factory=lambda: f"chatcmpl-{secrets.token_hex(12)}")
    created: int = field(default_factory=lambda: int(time.time()))

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}

    def completion(self, answers: Sequence[Sequence[Piece]]) -> dict[str, Any]:
        """Return a whole answer: a `chat.completion` object with a choice for each."""
        choices = [self._choice(index, pieces) for index, pieces in enumerate(answers)]
        ends = [pieces[-1] for pieces in answers]
        return self._head("chat.completion") | {
            "choices": choices,
            "usage": usage([end for end in ends if isinstance(end, End)]),
        }

    def _choice(self, index: int, pieces: Sequence[Piece]) -> dict[str, Any]:
        texts = [piece for piece in pieces if isinstance(piece, Text)]
        text = "".join(piece.text for piece in texts)
        reasoning = "".join(piece.text for piece in pieces if isinstance(piece, ReasoningDelta))
        calls = [piece for piece in pieces if isinstance(piece, CompleteCall)]
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
        return {
            "index": index,
            "message": message,
            "logprobs": self._logprobs([token for piece in texts for token in piece.tokens]),
            "finish_reason": self._reason(end),
        }

    async def events(self, pieces: AsyncIterator[tuple[int, Piece]]) -> AsyncIterator[str]:
        """Yield an answer as server-sent events: `chat.completion.chunk` objects, then `[DONE]`.

        An error after the first event is an event too, which the openai SDK raises.

        Args:
            pieces: Each with the number of its choice.
        """
        calls: dict[int, int] = {}
        ends = []
        try:
            async for index, piece in pieces:
                if index not in calls:
                    calls[index] = 0
                    yield self._chunk(index, {"role": "assistant", "content": "", "refusal": None})
                match piece:
                    case Text():
                        yield self._chunk(index, {"content": piece.text}, tokens=piece.tokens)
                    case ReasoningDelta():
                        yield self._chunk(index, {"reasoning_content": piece.text})
                    case CompleteCall() if self.legacy:
                        call = {"name": piece.name, "arguments": piece.arguments}
                        yield self._chunk(index, {"function_call": call})
                    case CompleteCall():
                        call = {"index": calls[index]} | _tool_call(piece)
                        yield self._chunk(index, {"tool_calls": [call]})
                        calls[index] += 1
                    case End():
                        ends.append(piece)
                        yield self._chunk(index, {}, self._reason(piece))
            if self.include_usage:
                last = self._head("chat.completion.chunk")
                yield event(last | {"choices": [], "usage": usage(ends)})
        except ApiError as error:
            yield event(error.body())
        yield DONE

    def _chunk(
        self,
        index: int,
        delta: dict[str, Any],
        finish_reason: str | None = None,
        *,
        tokens: Sequence[Token] = (),
    ) -> str:
        choice = {
            "index": index,
            "delta": delta,
            "logprobs": self._logprobs(tokens) if tokens else None,
            "finish_reason": finish_reason,
        }
        chunk = self._head("chat.completion.chunk") | {"choices": [choice]}
        return event(chunk | {"usage": None} if self.include_usage else chunk)

    def _logprobs(self, tokens: Sequence[Token]) -> dict[str, Any] | None:
        if not self.logprobs:
            return None
        content = [
            token_logprob(token) | {"top_logprobs": [token_logprob(other) for other in token.top]}
            for token in tokens
        ]
        return {"content": content, "refusal": None}

    def _reason(self, end: End) -> str:
        if end.finish_reason != "tool_calls":
            return end.finish_reason
        # "stop" after a named tool is OpenAI's own rule (its guide on function calling).
        return "stop" if self.named else "function_call" if self.legacy else "tool_calls"


def usage(ends: Sequence[End]) -> dict[str, int]:
    """Return the tokens used by answers to one prompt, in OpenAI's shape."""
    prompt = ends[0].prompt_tokens
    answers = sum(end.completion_tokens for end in ends)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": answers,
        "total_tokens": prompt + answers,
    }


def token_logprob(token: Token) -> dict[str, Any]:
    """Return a token and how likely it was, as chat completions and responses have it."""
    return {
        "token": token.data.decode(errors="replace"),
        "bytes": list(token.data),
        "logprob": max(token.logprob, _LEAST),
    }


def _tool_call(call: CompleteCall) -> dict[str, Any]:
    return {
        "id": f"call_{secrets.token_hex(12)}",
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments},
    }
