"""The models: what there is, how an app uses one, and how one is deleted."""

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.identifiers import now
from langchain_finetune.local.openai_api.models import all_cards
from langchain_finetune.local.page.context import EngineParts
from langchain_finetune.local.page.model_views import ModelRow, model_rows, snippet
from langchain_finetune.local.page.render_html import PageRoute, back, page

_PATH = "/ui/models"


def create_models_pages(engine: EngineParts) -> APIRouter:
    """Return the pages of models."""
    router = APIRouter(route_class=PageRoute)
    models = engine.models

    @router.get(_PATH)
    async def list_models(request: Request) -> Response:
        base_url = f"{str(request.base_url).rstrip('/')}/v1"
        key_file = engine.home / "api_key"
        rows = [(row, snippet(row.name, base_url, key_file)) for row in await _rows()]
        return page(request, "models.html", section="Models", rows=rows)

    @router.get(f"{_PATH}/delete")
    async def ask(request: Request, name: str) -> Response:
        row = next((row for row in await _rows() if row.name == name), None)
        if row is None:
            raise ApiError(404, "There is no such model any more.")
        if row.job is None:
            raise ApiError(403, "Only fine-tuned models can be deleted.")
        return page(request, "model_delete.html", section="Models", row=row)

    @router.post(f"{_PATH}/delete")
    async def delete(request: Request, name: Annotated[str, Form()]) -> Response:
        models.delete(name)
        await engine.chats.unload(name)
        return back(request, _PATH, f"The model {name} is deleted.")

    async def _rows() -> list[ModelRow]:
        return model_rows(await all_cards(models, engine.chats), models.fine_tuned(), now())

    return router
