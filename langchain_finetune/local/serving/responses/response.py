"""Responses in the shape of OpenAI's Responses API, whole or as events."""

import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.serving.chat.response import token_logprob
from langchain_finetune.local.serving.deltas import (
    CompleteCall,
    End,
    Piece,
    ReasoningDelta,
    Text,
    Token,
)
from langchain_finetune.local.serving.sse import event

ResponseEvent = dict[str, Any]


class _TextItem(ABC):
    """An item with one part of text, which comes piece by piece.

    Args:
        index: Its place among the response's items.
    """

    prefix: str
    event: str

    def __init__(self, index: int) -> None:
        self._id = f"{self.prefix}_{secrets.token_hex(16)}"
        self._index = index
        self._text = ""
        self._tokens: list[Token] = []

    @property
    def _place(self) -> ResponseEvent:
        return {"item_id": self._id, "output_index": self._index, "content_index": 0}

    @abstractmethod
    def part(self) -> dict[str, Any]:
        """Return the text in the API's shape."""

    @abstractmethod
    def body(self, status: str) -> dict[str, Any]:
        """Return the item in the API's shape."""

    def _logprobs(self, tokens: list[Token]) -> dict[str, Any]:
        del tokens
        return {}

    def opening(self) -> Iterator[ResponseEvent]:
        """Tell that the item begins."""
        empty = self.body("in_progress") | {"content": []}
        yield {"type": "response.output_item.added", "output_index": self._index, "item": empty}
        yield {"type": "response.content_part.added", **self._place, "part": self.part()}

    def feed(self, piece: Text | ReasoningDelta) -> Iterator[ResponseEvent]:
        """Add a piece, and tell it."""
        tokens = list(piece.tokens) if isinstance(piece, Text) else []
        self._text += piece.text
        self._tokens += tokens
        yield {
            "type": f"response.{self.event}.delta",
            **self._place,
            "delta": piece.text,
            **self._logprobs(tokens),
        }

    def closing(self, status: str) -> Iterator[ResponseEvent]:
        """Tell that the item is at its end."""
        yield {
            "type": f"response.{self.event}.done",
            **self._place,
            "text": self._text,
            **self._logprobs(self._tokens),
        }
        yield {"type": "response.content_part.done", **self._place, "part": self.part()}
        yield {
            "type": "response.output_item.done",
            "output_index": self._index,
            "item": self.body(status),
        }


class MessageItem(_TextItem):
    """What the model says."""

    prefix = "msg"
    event = "output_text"

    def part(self) -> dict[str, Any]:
        """Return the text in the API's shape."""
        return {
            "type": "output_text",
            "text": self._text,
            "annotations": [],
            "logprobs": [
                token_logprob(token)
                | {"top_logprobs": [token_logprob(other) for other in token.top]}
                for token in self._tokens
            ],
        }

    def body(self, status: str) -> dict[str, Any]:
        """Return the item in the API's shape."""
        return {
            "id": self._id,
            "type": "message",
            "role": "assistant",
            "status": status,
            "content": [self.part()],
        }

    def _logprobs(self, tokens: list[Token]) -> dict[str, Any]:
        # Unlike the item, its events tell no bytes.
        return {
            "logprobs": [
                _likely(token) | {"top_logprobs": [_likely(other) for other in token.top]}
                for token in tokens
            ]
        }


class ReasoningItem(_TextItem):
    """What the model thinks before it says something."""

    prefix = "rs"
    event = "reasoning_text"

    def part(self) -> dict[str, Any]:
        """Return the text in the API's shape."""
        return {"type": "reasoning_text", "text": self._text}

    def body(self, status: str) -> dict[str, Any]:
        """Return the item in the API's shape."""
        return {
            "id": self._id,
            "type": "reasoning",
            "summary": [],
            "status": status,
            "content": [self.part()],
        }


class CallItem:
    """A function call, which comes in one piece.

    Args:
        index: Its place among the response's items.
        call: The call.
    """

    def __init__(self, index: int, call: CompleteCall) -> None:
        self._index = index
        self._call = call
        self._ids = {
            "id": f"fc_{secrets.token_hex(16)}",
            "call_id": f"call_{secrets.token_hex(12)}",
        }

    def body(self, status: str = "completed") -> dict[str, Any]:
        """Return the item in the API's shape."""
        return {
            **self._ids,
            "type": "function_call",
            "name": self._call.name,
            "arguments": self._call.arguments,
            "status": status,
        }

    def events(self) -> Iterator[ResponseEvent]:
        """Tell the call."""
        place = {"output_index": self._index}
        arguments = place | {"item_id": self._ids["id"]}
        empty = self.body("in_progress") | {"arguments": ""}
        yield {"type": "response.output_item.added", **place, "item": empty}
        yield {
            "type": "response.function_call_arguments.delta",
            **arguments,
            "delta": self._call.arguments,
        }
        yield {
            "type": "response.function_call_arguments.done",
            **arguments,
            "arguments": self._call.arguments,
        }
        yield {"type": "response.output_item.done", **place, "item": self.body()}


def _likely(token: Token) -> dict[str, Any]:
    told = token_logprob(token)
    return {"token": told["token"], "logprob": told["logprob"]}


class ResponseWriter:
    """Makes one response of the pieces of an answer.

    Args:
        model: Name of the model, as asked for.
        echoed: Fields of the request that come back.
    """

    def __init__(self, model: str, echoed: Mapping[str, Any]) -> None:
        self._body: dict[str, Any] = {
            "id": f"resp_{secrets.token_hex(16)}",
            "object": "response",
            "created_at": int(time.time()),
            "status": "in_progress",
            "background": False,
            "error": None,
            "incomplete_details": None,
            "model": model,
            "output": [],
            "previous_response_id": None,
            "reasoning": {"effort": None, "summary": None},
            "truncation": "disabled",
            "usage": None,
            **echoed,
        }
        self._item: MessageItem | ReasoningItem | None = None
        self._sent = 0

    async def whole(self, pieces: AsyncIterator[tuple[int, Piece]]) -> dict[str, Any]:
        """Return the response when it is all written."""
        async for _, piece in pieces:
            for _ in self._feed(piece):
                pass
        return self._body

    async def events(self, pieces: AsyncIterator[tuple[int, Piece]]) -> AsyncIterator[str]:
        """Yield the response as server-sent events; the last one has all of it."""
        yield self._event("response.created", response=self._body)
        yield self._event("response.in_progress", response=self._body)
        try:
            async for _, piece in pieces:
                for each in self._feed(piece):
                    kind = each.pop("type")
                    yield self._event(kind, **each)
        except ApiError as error:
            self._body |= {
                "status": "failed",
                "error": {"code": "server_error", "message": error.message},
            }
            yield self._event("response.failed", response=self._body)

    def _feed(self, piece: Piece) -> Iterator[ResponseEvent]:
        match piece:
            case Text():
                yield from self._in(MessageItem)
                yield from self._item.feed(piece) if self._item else ()
            case ReasoningDelta():
                yield from self._in(ReasoningItem)
                yield from self._item.feed(piece) if self._item else ()
            case CompleteCall():
                yield from self._close("completed")
                call = CallItem(len(self._body["output"]), piece)
                self._body["output"].append(call.body())
                yield from call.events()
            case End():
                yield from self._end(piece)

    def _in(self, kind: type[MessageItem] | type[ReasoningItem]) -> Iterator[ResponseEvent]:
        """Open an item of this kind, unless it is open."""
        if not isinstance(self._item, kind):
            yield from self._close("completed")
            self._item = kind(len(self._body["output"]))
            yield from self._item.opening()

    def _close(self, status: str) -> Iterator[ResponseEvent]:
        if self._item:
            yield from self._item.closing(status)
            self._body["output"].append(self._item.body(status))
            self._item = None

    def _end(self, end: End) -> Iterator[ResponseEvent]:
        status = "incomplete" if end.finish_reason == "length" else "completed"
        if not self._body["output"] and not self._item:
            # An empty answer is a message all the same.
            yield from self._in(MessageItem)
        yield from self._close(status)
        self._body |= {
            "status": status,
            "completed_at": int(time.time()) if status == "completed" else None,
            "incomplete_details": (
                {"reason": "max_output_tokens"} if status == "incomplete" else None
            ),
            "usage": {
                "input_tokens": end.prompt_tokens,
                "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
                "output_tokens": end.completion_tokens,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": end.prompt_tokens + end.completion_tokens,
            },
        }
        yield {"type": f"response.{status}", "response": self._body}

    def _event(self, kind: str, **fields: Any) -> str:
        body = {"type": kind, "sequence_number": self._sent} | fields
        self._sent += 1
        return event(body, kind)
