"""Chat completions in the shape of OpenAI's API: one object, or chunks as server-sent events."""

import secrets
from collections.abc import Iterator, Sequence
from typing import Any

from langchain_finetune.local.serving.answer import (
    ChoicesWriter,
    CompleteCall,
    End,
    Piece,
    ReasoningDelta,
    Text,
    Token,
)
from langchain_finetune.local.serving.chat.protocol import ChatRequest


class ChatWriter(ChoicesWriter):
    """Writes chat completions."""

    prefix = "chatcmpl"
    whole_object = "chat.completion"
    chunk_object = "chat.completion.chunk"

    def __init__(self, request: ChatRequest) -> None:
        super().__init__(request, request.n)
        self._legacy = request.legacy
        self._named = request.named
        self._calls = [0] * request.n

    def choice(self, index: int, pieces: Sequence[Piece]) -> dict[str, Any]:
        """Return a whole answer as a choice."""
        texts = [piece for piece in pieces if isinstance(piece, Text)]
        text = "".join(piece.text for piece in texts)
        reasoning = "".join(piece.text for piece in pieces if isinstance(piece, ReasoningDelta))
        calls = [piece for piece in pieces if isinstance(piece, CompleteCall)]
        message: dict[str, Any] = {
            "role": "assistant",
            "content": text or (None if calls else ""),
            "refusal": None,
        }
        if reasoning:
            message["reasoning_content"] = reasoning
        if calls and self._legacy:
            message["function_call"] = _function(calls[0])
        elif calls:
            message["tool_calls"] = [_tool_call(call) for call in calls]
        return {
            "index": index,
            "message": message,
            "logprobs": self._logprobs_of([token for piece in texts for token in piece.tokens]),
            "finish_reason": self._reason(pieces[-1]),
        }

    def deltas(self, index: int, piece: Piece, *, first: bool) -> Iterator[dict[str, Any]]:
        """Yield a piece as choices of a stream's chunks."""
        if first:
            yield _choice(index, {"role": "assistant", "content": "", "refusal": None})
        match piece:
            case Text():
                logprobs = self._logprobs_of(piece.tokens) if piece.tokens else None
                yield _choice(index, {"content": piece.text}, logprobs=logprobs)
            case ReasoningDelta():
                yield _choice(index, {"reasoning_content": piece.text})
            case CompleteCall() if self._legacy:
                yield _choice(index, {"function_call": _function(piece)})
            case CompleteCall():
                call = {"index": self._calls[index]} | _tool_call(piece)
                self._calls[index] += 1
                yield _choice(index, {"tool_calls": [call]})
            case End():
                yield _choice(index, {}, finish_reason=self._reason(piece))

    def _logprobs_of(self, tokens: Sequence[Token]) -> dict[str, Any] | None:
        if not self._logprobs:
            return None
        return {"content": [token_logprobs(token) for token in tokens], "refusal": None}

    def _reason(self, end: Piece) -> str:
        assert isinstance(end, End)
        if end.finish_reason != "tool_calls":
            return end.finish_reason
        # "stop" after a named tool is OpenAI's own rule (its guide on function calling).
        return "stop" if self._named else "function_call" if self._legacy else "tool_calls"


def token_logprobs(token: Token) -> dict[str, Any]:
    """Return a token and its alternatives, as chat completions and responses have them."""
    return _logprob(token) | {"top_logprobs": [_logprob(other) for other in token.top]}


def _logprob(token: Token) -> dict[str, Any]:
    return {
        "token": token.text,
        "bytes": list(token.data),
        "logprob": token.logprob,
    }


def _choice(index: int, delta: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": None, **more}


def _function(call: CompleteCall) -> dict[str, str]:
    return {"name": call.name, "arguments": call.arguments}


def _tool_call(call: CompleteCall) -> dict[str, Any]:
    return {
        "id": f"call_{secrets.token_hex(12)}",
        "type": "function",
        "function": _function(call),
    }
