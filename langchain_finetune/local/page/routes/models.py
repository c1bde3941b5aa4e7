"""The models: what there is, how an app uses one, and how one is deleted."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, Response

from langchain_finetune.home import KEY_VARIABLE
from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.identifiers import now
from langchain_finetune.local.models import FineTuned
from langchain_finetune.local.page.context import EngineParts
from langchain_finetune.local.page.job_views import age
from langchain_finetune.local.page.render_html import PageRoute, back, page
from langchain_finetune.local.serving.backend import all_cards


@dataclass(frozen=True)
class ModelRow:
    """A model as the page lists it.

    Attributes:
        name: What it answers to.
        kind: `base`, `alias`, `fine-tuned` or `checkpoint`.
        of: What an alias stands for, or what a fine-tuned model was made of.
        job: Id of the job that made it; None for others.
        age: When it was made; None for others.
    """

    name: str
    kind: str
    of: str | None = None
    job: str | None = None
    age: str | None = None


def model_rows(
    cards: Iterable[Mapping[str, Any]], tuned: Iterable[FineTuned], now: int
) -> list[ModelRow]:
    """Return the models: those that came along first, then fine-tuned ones, newest first.

    Args:
        cards: All models in OpenAI's shape; `root` names what an alias stands for.
        tuned: The fine-tuned ones.
        now: Seconds since 1970.
    """
    made = {each.id: each for each in tuned}
    own = [
        ModelRow(card["id"], "alias" if "root" in card else "base", card.get("root"))
        for card in cards
        if card["id"] not in made
    ]
    return own + [
        ModelRow(
            each.id,
            "fine-tuned" if each.step is None else "checkpoint",
            each.base,
            each.job,
            age(now - each.created_at),
        )
        for each in sorted(made.values(), key=lambda each: -each.created_at)
    ]


def snippet(model: str, base_url: str, key_file: Path) -> str:
    """Return the lines that use a model in an app; they name the key's place, never the key.

    Args:
        model: The model's name.
        base_url: The engine's address, ending in `/v1`.
        key_file: Where the engine keeps its key.
    """
    return (
        f"import os\n"
        f"from pathlib import Path\n\n"
        f"from langchain_openai import ChatOpenAI\n\n"
        f"key = os.environ.get({_text(KEY_VARIABLE)}) or Path({_text(str(key_file))}).read_text()\n"
        f"model = ChatOpenAI(\n"
        f"    model={_text(model)},\n"
        f"    base_url={_text(base_url)},\n"
        f"    api_key=key.strip(),\n"
        f")\n"
    )


def _text(value: str) -> str:
    """Return a literal that Python reads as this text, whatever is in it."""
    return json.dumps(value)


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
