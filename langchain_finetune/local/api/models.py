"""`/v1/models`, and what models answer: chat completions, completions and responses."""

from collections.abc import Mapping
from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Body, Response

from langchain_finetune.local.models import Models


class Chat(Protocol):
    """What answers chats; `ChatService` in `langchain_finetune.local.serving` is one."""

    async def create(self, body: dict[str, Any]) -> Response:
        """Answer a chat completion request."""

    async def complete(self, body: dict[str, Any]) -> Response:
        """Answer a request of the older Completions API."""

    async def respond(self, body: dict[str, Any]) -> Response:
        """Answer a request of the Responses API."""

    async def warm(self) -> None:
        """Load what the first answer needs."""

    async def unload(self, model: str) -> None:
        """Let go of a model's memory."""


def create_models_router(models: Models, chat: Chat) -> APIRouter:
    """Return the routes of the Models API, and of those that models answer."""
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
        await chat.unload(name)
        return {"id": name, "object": "model", "deleted": True}

    def named(body: dict[str, Any]) -> dict[str, Any]:
        """Put what an alias stands for in its place."""
        name = body.get("model")
        return body | {"model": models.target(name)} if isinstance(name, str) else body

    @router.post("/chat/completions")
    async def chat_completion(body: Annotated[dict[str, Any], Body()]) -> Response:
        return await chat.create(named(body))

    @router.post("/completions")
    async def completion(body: Annotated[dict[str, Any], Body()]) -> Response:
        return await chat.complete(named(body))

    @router.post("/responses")
    async def response(body: Annotated[dict[str, Any], Body()]) -> Response:
        return await chat.respond(named(body))

    return router
