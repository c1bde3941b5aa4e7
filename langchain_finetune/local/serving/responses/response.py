"""Responses in the shape of OpenAI's Responses API, whole or as events."""

import secrets
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.serving.answer import (
    CompleteCall,
    End,
    NumberedPieces,
    Piece,
    ReasoningDelta,
    Text,
    Token,
    event,
)
from langchain_finetune.local.serving.chat.response import token_logprobs
from langchain_finetune.local.serving.responses.protocol import ResponseRequest

ResponseEvent = dict[str, Any]


class _TextItem:
    """An item of one text, which comes in pieces of one kind: the answer, or thoughts before it."""

    def __init__(self, index: int, kind: type[Text] | type[ReasoningDelta]) -> None:
        self.kind = kind
        self._is_message = kind is Text
        self._fixed: dict[str, Any]
        prefix, self._part_type, self._fixed = (
            ("msg", "output_text", {"type": "message", "role": "assistant"})
            if self._is_message
            else ("rs", "reasoning_text", {"type": "reasoning", "summary": []})
        )
        self._id = f"{prefix}_{secrets.token_hex(16)}"
        self._index = index
        self._place = {"item_id": self._id, "output_index": index, "content_index": 0}
        self._text = ""
        self._tokens: list[Token] = []

    def body(self, status: str) -> dict[str, Any]:
        """Return the item in the API's shape."""
        return {"id": self._id, **self._fixed, "status": status, "content": [self._part()]}

    def opening(self) -> Iterator[ResponseEvent]:
        """Report that the item begins."""
        empty = self.body("in_progress") | {"content": []}
        yield {"type": "response.output_item.added", "output_index": self._index, "item": empty}
        yield {"type": "response.content_part.added", **self._place, "part": self._part()}

    def feed(self, piece: Text | ReasoningDelta) -> Iterator[ResponseEvent]:
        """Add a piece, and report it."""
        tokens = piece.tokens if isinstance(piece, Text) else ()
        self._text += piece.text
        self._tokens += tokens
        yield self._event("delta", tokens, delta=piece.text)

    def closing(self, status: str) -> Iterator[ResponseEvent]:
        """Report that the item is at its end."""
        yield self._event("done", self._tokens, text=self._text)
        yield {"type": "response.content_part.done", **self._place, "part": self._part()}
        item = self.body(status)
        yield {"type": "response.output_item.done", "output_index": self._index, "item": item}

    def _part(self) -> dict[str, Any]:
        part: dict[str, Any] = {"type": self._part_type, "text": self._text}
        if self._is_message:
            part |= {"annotations": [], "logprobs": [token_logprobs(each) for each in self._tokens]}
        return part

    def _event(self, name: str, tokens: Sequence[Token], **text: str) -> ResponseEvent:
        found = {"type": f"response.{self._part_type}.{name}", **self._place, **text}
        if self._is_message:
            # Unlike the item, its events have no bytes.
            found["logprobs"] = [_likely(token) for token in tokens]
        return found


def _likely(token: Token) -> dict[str, Any]:
    top = [{"token": other.text, "logprob": other.logprob} for other in token.top]
    return {"token": token.text, "logprob": token.logprob, "top_logprobs": top}


class ResponseWriter:
    """Makes one response of the pieces of an answer."""

    def __init__(self, request: ResponseRequest) -> None:
        self._body: dict[str, Any] = {
            "id": f"resp_{secrets.token_hex(16)}",
            "object": "response",
            "created_at": int(time.time()),
            "status": "in_progress",
            "background": False,
            "error": None,
            "incomplete_details": None,
            "model": request.model,
            "output": [],
            "previous_response_id": None,
            "reasoning": {"effort": None, "summary": None},
            "truncation": "disabled",
            "usage": None,
            **request.echoed(),
        }
        self._item: _TextItem | None = None
        self._sent = 0

    async def whole(self, pieces: NumberedPieces) -> dict[str, Any]:
        """Return the response when it is all written."""
        async for _, piece in pieces:
            for _ in self._feed(piece):
                pass
        return self._body

    async def events(self, pieces: NumberedPieces) -> AsyncIterator[str]:
        """Yield the response as server-sent events; the last one has all of it."""
        yield self._event("response.created", response=self._body)
        yield self._event("response.in_progress", response=self._body)
        try:
            async for _, piece in pieces:
                for each in self._feed(piece):
                    yield self._event(each.pop("type"), **each)
        except ApiError as error:
            fault = {"code": "server_error", "message": error.message}
            self._body |= {"status": "failed", "error": fault}
            yield self._event("response.failed", response=self._body)

    def _feed(self, piece: Piece) -> Iterator[ResponseEvent]:
        match piece:
            case Text() | ReasoningDelta():
                if self._item is None or self._item.kind is not type(piece):
                    yield from self._open(type(piece))
                yield from self._item.feed(piece) if self._item else ()
            case CompleteCall():
                yield from self._close("completed")
                yield from self._call(piece)
            case End():
                yield from self._end(piece)

    def _open(self, kind: type[Text] | type[ReasoningDelta]) -> Iterator[ResponseEvent]:
        yield from self._close("completed")
        self._item = _TextItem(len(self._body["output"]), kind)
        yield from self._item.opening()

    def _close(self, status: str) -> Iterator[ResponseEvent]:
        if self._item:
            yield from self._item.closing(status)
            self._body["output"].append(self._item.body(status))
            self._item = None

    def _call(self, call: CompleteCall) -> Iterator[ResponseEvent]:
        item = {
            "id": f"fc_{secrets.token_hex(16)}",
            "call_id": f"call_{secrets.token_hex(12)}",
            "type": "function_call",
            "name": call.name,
            "arguments": call.arguments,
            "status": "completed",
        }
        place = {"output_index": len(self._body["output"])}
        self._body["output"].append(item)
        begun = item | {"arguments": "", "status": "in_progress"}
        yield {"type": "response.output_item.added", **place, "item": begun}
        arguments = place | {"item_id": item["id"]}
        kind = "response.function_call_arguments"
        yield {"type": f"{kind}.delta", **arguments, "delta": call.arguments}
        yield {"type": f"{kind}.done", **arguments, "arguments": call.arguments}
        yield {"type": "response.output_item.done", **place, "item": item}

    def _end(self, end: End) -> Iterator[ResponseEvent]:
        complete = end.finish_reason != "length"
        status = "completed" if complete else "incomplete"
        if not self._body["output"] and not self._item:
            # An empty answer is a message all the same.
            yield from self._open(Text)
        yield from self._close(status)
        self._body |= {
            "status": status,
            "completed_at": int(time.time()) if complete else None,
            "incomplete_details": None if complete else {"reason": "max_output_tokens"},
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
