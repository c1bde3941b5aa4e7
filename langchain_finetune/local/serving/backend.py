"""What answers chats: the engine's own models, or an upstream."""

from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from fastapi import Response

from langchain_finetune.local.models import Models


class Chat(Protocol):
    """Answers chats, as those in `langchain_finetune.local.serving` do.

    A response can be sent, or read, until its context is left; then the model stops.
    """

    def create(self, body: dict[str, Any]) -> AbstractAsyncContextManager[Response]:
        """Answer a chat completion request."""

    def complete(self, body: dict[str, Any]) -> AbstractAsyncContextManager[Response]:
        """Answer a request of the older Completions API."""

    def respond(self, body: dict[str, Any]) -> AbstractAsyncContextManager[Response]:
        """Answer a request of the Responses API."""

    async def warm(self) -> None:
        """Load what the first answer needs."""

    async def unload(self, model: str) -> None:
        """Free a model's memory."""

    async def cards(self) -> list[dict[str, Any]]:
        """Return models that the engine itself does not have, in OpenAI's shape."""

    async def close(self) -> None:
        """Free all resources."""


async def all_cards(models: Models, chat: Chat) -> list[dict[str, Any]]:
    """Return all models in OpenAI's shape: the engine's own, then those of `chat`."""
    own = models.cards()
    known = {card["id"] for card in own}
    return own + [card for card in await chat.cards() if card["id"] not in known]
