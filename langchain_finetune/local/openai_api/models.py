"""`/v1/models`, and what models answer: chat completions, completions and responses."""

import json
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Body, Response

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.models import Models
from langchain_finetune.local.serving import WhileConnected
from langchain_finetune.local.serving.backend import Chat, all_cards


def create_models_router(models: Models, chat: Chat) -> APIRouter:
    """Return the routes of the Models API, and of those that models answer."""
    router = APIRouter()

    @router.get("/models")
    async def page() -> Mapping[str, Any]:
        return {"object": "list", "data": await all_cards(models, chat)}

    # A name may hold a slash, where the base is one of the Hugging Face hub.
    @router.get("/models/{name:path}")
    async def retrieve(name: str) -> Mapping[str, Any]:
        try:
            return models.card(name)
        except ApiError:
            for card in await chat.cards():
                if card["id"] == name:
                    return card
            raise

    @router.delete("/models/{name:path}")
    async def delete(name: str) -> Mapping[str, Any]:
        models.delete(name)
        await chat.unload(name)
        return {"id": name, "object": "model", "deleted": True}

    def named(body: dict[str, Any]) -> dict[str, Any]:
        """Put what an alias stands for in its place."""
        _require_whole_text(body)
        name = body.get("model")
        return body | {"model": models.target(name)} if isinstance(name, str) else body

    @router.post("/chat/completions")
    async def chat_completion(body: Annotated[dict[str, Any], Body()]) -> Response:
        return WhileConnected(chat.create(named(body)))

    @router.post("/completions")
    async def completion(body: Annotated[dict[str, Any], Body()]) -> Response:
        return WhileConnected(chat.complete(named(body)))

    @router.post("/responses")
    async def response(body: Annotated[dict[str, Any], Body()]) -> Response:
        return WhileConnected(chat.respond(named(body)))

    return router


def _require_whole_text(body: dict[str, Any]) -> None:
    """Refuse half characters, which JSON can write and no tokenizer can read."""
    try:
        json.dumps(body, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ApiError(400, "A text has half a character (a lone surrogate) in it.") from None
    except RecursionError:
        raise ApiError(400, "The body is nested too deep.") from None
