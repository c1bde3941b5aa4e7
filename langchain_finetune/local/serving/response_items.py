"""The items of a response: messages, thoughts and function calls, and the events that tell them."""

import secrets
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

from langchain_finetune.local.serving.chat.response import token_logprob
from langchain_finetune.local.serving.pieces import Call, Reasoning, Text, Token

Event = dict[str, Any]


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
    def _place(self) -> Event:
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

    def opening(self) -> Iterator[Event]:
        """Tell that the item begins."""
        empty = self.body("in_progress") | {"content": []}
        yield {"type": "response.output_item.added", "output_index": self._index, "item": empty}
        yield {"type": "response.content_part.added", **self._place, "part": self.part()}

    def feed(self, piece: Text | Reasoning) -> Iterator[Event]:
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

    def closing(self, status: str) -> Iterator[Event]:
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

    def __init__(self, index: int, call: Call) -> None:
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

    def events(self) -> Iterator[Event]:
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
