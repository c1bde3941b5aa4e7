"""Responses in the shape of OpenAI's Responses API, whole or as events."""

import secrets
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.serving.events import event
from langchain_finetune.local.serving.pieces import Call, End, Piece, Reasoning, Text
from langchain_finetune.local.serving.response_items import (
    CallItem,
    MessageItem,
    ReasoningItem,
)

Event = dict[str, Any]


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

    def _feed(self, piece: Piece) -> Iterator[Event]:
        match piece:
            case Text():
                yield from self._in(MessageItem)
                yield from self._item.feed(piece) if self._item else ()
            case Reasoning():
                yield from self._in(ReasoningItem)
                yield from self._item.feed(piece) if self._item else ()
            case Call():
                yield from self._close("completed")
                call = CallItem(len(self._body["output"]), piece)
                self._body["output"].append(call.body())
                yield from call.events()
            case End():
                yield from self._end(piece)

    def _in(self, kind: type[MessageItem] | type[ReasoningItem]) -> Iterator[Event]:
        """Open an item of this kind, unless it is open."""
        if not isinstance(self._item, kind):
            yield from self._close("completed")
            self._item = kind(len(self._body["output"]))
            yield from self._item.opening()

    def _close(self, status: str) -> Iterator[Event]:
        if self._item:
            yield from self._item.closing(status)
            self._body["output"].append(self._item.body(status))
            self._item = None

    def _end(self, end: End) -> Iterator[Event]:
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
