"""`/v1/models`: list, retrieve and delete models (OpenAI's Models API)."""

from typing import Annotated, Any

from fastapi import APIRouter

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.models import Models
from langchain_finetune.local.openai_api.openapi import DescribedAs
from langchain_finetune.local.serving.backend import Chat, all_cards

ModelBody = Annotated[dict[str, Any], DescribedAs("openai.types:Model")]


def create_models_router(models: Models, chat: Chat) -> APIRouter:
    """Return the routes of the Models API."""
    router = APIRouter(prefix="/models")

    @router.get("")
    async def page() -> dict[str, Any]:
        return {"object": "list", "data": await all_cards(models, chat)}

    # A name may hold a slash, where the base is one of the Hugging Face hub.
    @router.get("/{name:path}")
    async def retrieve(name: str) -> ModelBody:
        try:
            return models.card(name)
        except ApiError:
            for card in await chat.cards():
                if card["id"] == name:
                    return card
            raise

    @router.delete("/{name:path}")
    async def delete(
        name: str,
    ) -> Annotated[dict[str, Any], DescribedAs("openai.types:ModelDeleted")]:
        models.delete(name)
        await chat.unload(name)
        return {"id": name, "object": "model", "deleted": True}

    return router
