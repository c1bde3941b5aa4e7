"""Models: the list, how to use a model in an app, and deleting a model."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response

from langchain_finetune.home import KEY_VARIABLE
from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.identifiers import now
from langchain_finetune.local.page.context import EngineParts
from langchain_finetune.local.page.job_views import age
from langchain_finetune.local.page.render_html import redirect, render_page
from langchain_finetune.local.serving.backend import all_cards

_PATH = "/ui/models"


@dataclass(frozen=True)
class ModelRow:
    """A model in the list; its kind is `base`, `alias`, `fine-tuned` or `checkpoint`.

    `of` is what an alias stands for, or the base of a fine-tuned model.
    """

    name: str
    kind: str
    of: str | None = None
    job: str | None = None
    age: str | None = None


async def _rows(engine: EngineParts) -> list[ModelRow]:
    """Return base models and aliases, then fine-tuned models, newest first."""
    trained = {each.id: each for each in engine.models.fine_tuned()}
    bases = [
        ModelRow(card["id"], "alias" if "root" in card else "base", card.get("root"))
        for card in await all_cards(engine.models, engine.chats)
        if card["id"] not in trained
    ]
    return bases + [
        ModelRow(
            each.id,
            "fine-tuned" if each.step is None else "checkpoint",
            each.base,
            each.job,
            age(now() - each.created_at),
        )
        for each in sorted(trained.values(), key=lambda each: -each.created_at)
    ]


def create_models_pages(engine: EngineParts) -> APIRouter:
    """Return the pages of models."""
    router = APIRouter()

    @router.get(_PATH)
    async def list_models(request: Request) -> Response:
        return render_page(
            request,
            "models.html",
            section="Models",
            rows=await _rows(engine),
            base_url=f"{str(request.base_url).rstrip('/')}/v1",
            key_variable=KEY_VARIABLE,
            key_file=str(engine.home / "api_key"),
        )

    @router.get(f"{_PATH}/delete")
    async def confirm_deletion(request: Request, name: str) -> Response:
        row = next((row for row in await _rows(engine) if row.name == name), None)
        if row is None:
            raise ApiError(404, "This model does not exist.")
        if row.job is None:
            raise ApiError(403, "Only fine-tuned models can be deleted.")
        return render_page(request, "model_delete.html", section="Models", row=row)

    @router.post(f"{_PATH}/delete")
    async def delete(request: Request, name: Annotated[str, Form()]) -> Response:
        engine.models.delete(name)
        await engine.chats.unload(name)
        return redirect(request, _PATH, f"The model {name} was deleted.")

    return router
