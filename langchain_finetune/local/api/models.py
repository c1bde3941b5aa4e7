"""`/v1/models` and `/v1/chat/completions` (OpenAI's Models and Chat Completions APIs)."""

from collections.abc import Mapping
from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Body, Response

from langchain_finetune.local.models import Models


class Chat(Protocol):
    """What answers chats; `ChatService` in `langchain_finetune.local.serving` is one."""

    async def create(self, body: dict[str, Any]) -> Response:
        """Answer a chat completion request."""

    async def warm(self) -> None:
        """Load what the first answer needs."""

    def unload(self, model: str) -> None:
        """Let go of a model's memory."""


def create_models_router(models: Models, chat: Chat) -> APIRouter:
    """Return the routes of the Models and Chat Completions APIs."""
    router = APIRouter()

    @router.get("/models")
    async def page() -> Mapping[str, Any]:
        return {"object": "list", "data": models.cards()}

    # A name may hold a slash, where the base is one of the Hugging Face hub.
    @router.get("/models/{name:path}")
    async def retrieve(name: str) -> Mapping[str, Any]:
        return models.card(name)

    @router.delete("/models/{name:path}")
    async def delete(name: str) -> Mapping[str, Any]:
        models.delete(name)
        chat.unload(name)
        return {"id": name, "object": "model", "deleted": True}

    @router.post("/chat/completions")
    async def complete(body: Annotated[dict[str, Any], Body()]) -> Response:
        name = body.get("model")
        return await chat.create(
            body | {"model": models.target(name)} if isinstance(name, str) else body
        )

    return router
