"""Models: the list, how to use a model in an app, rolling out and back, deleting a model."""

import asyncio
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from pydantic import ValidationError

from langchain_finetune.home import KEY_VARIABLE
from langchain_finetune.local.aliases import AliasChange
from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.identifiers import now
from langchain_finetune.local.page.engine_parts import EngineParts
from langchain_finetune.local.page.job_views import age
from langchain_finetune.local.page.render_html import redirect, render_page
from langchain_finetune.local.serving.alias_steps import AliasStep, take_step
from langchain_finetune.local.serving.backend import all_cards
from langchain_finetune.local.store import RunStore
from langchain_finetune.local.store.model_figures import ModelFigures
from langchain_finetune.rollout.state import Rollout

_PATH = "/ui/models"
_CHANGES = 20
"""How many changes of an alias are shown."""


@dataclass(frozen=True)
class AliasView:
    """Where an alias points, how its models do, and its last changes."""

    rollout: Rollout
    figures: list[ModelFigures]
    history: list[AliasChange]


@dataclass(frozen=True)
class ModelRow:
    """A model in the list; its kind is `base`, `alias`, `fine-tuned` or `checkpoint`.

    `of` is what an alias stands for, or the base of a fine-tuned model. `alias` is set for aliases,
    which may have the name of a model.
    """

    name: str
    kind: str
    of: str | None = None
    job: str | None = None
    age: str | None = None
    alias: AliasView | None = None
    checkpoints: list["ModelRow"] = field(default_factory=list)


async def _rows(engine: EngineParts, store: RunStore) -> list[ModelRow]:
    """Return base models and aliases, then fine-tuned models with their checkpoints, newest first.

    Checkpoints of a deleted model stand for themselves.
    """
    trained = {each.id: each for each in engine.models.fine_tuned()}
    aliases = engine.models.aliases
    views = {
        name: AliasView(
            rollout,
            await asyncio.to_thread(store.figures.of, rollout),
            aliases.history(name, limit=_CHANGES).records,
        )
        for name, (rollout, _) in aliases.all().items()
    }
    bases = [
        ModelRow(
            card["id"],
            "alias" if "root" in card else "base",
            card.get("root"),
            alias=views.get(card["id"]),
        )
        for card in await all_cards(engine.models, engine.chats)
        if card["id"] not in trained
    ]
    rows: dict[str, ModelRow] = {}
    for each in sorted(trained.values(), key=lambda each: each.step is not None):
        row = ModelRow(
            each.id,
            "fine-tuned" if each.step is None else "checkpoint",
            each.base,
            each.job,
            age(now() - each.created_at),
            views.get(each.id),
        )
        if each.step is not None and each.job in rows:
            rows[each.job].checkpoints.append(row)
        else:
            rows[each.id if each.step is not None else each.job] = row
    order = list(trained)  # In which they were made.
    return bases + sorted(rows.values(), key=lambda row: -order.index(row.name))


def _flat(rows: list[ModelRow]) -> list[ModelRow]:
    return [each for row in rows for each in (row, *row.checkpoints)]


def _told(rollout: Rollout) -> str:
    if rollout.mode == "canary":
        share = f"{float(rollout.share) * 100:.4g}%"
        return f"{rollout.candidate} answers {share} of {rollout.name} now."
    if rollout.mode == "shadow":
        return f"{rollout.candidate} is asked beside {rollout.target} for {rollout.name} now."
    return f"{rollout.target} answers {rollout.name} now."


def create_models_pages(engine: EngineParts, store: RunStore) -> APIRouter:
    """Return the pages of models and aliases."""
    router = APIRouter()

    @router.get(_PATH)
    async def list_models(request: Request) -> Response:
        rows = await _rows(engine, store)
        return render_page(
            request,
            "models.html",
            section="Models",
            rows=rows,
            names=[row.name for row in _flat(rows) if row.kind != "alias"],
            base_url=f"{str(request.base_url).rstrip('/')}/v1",
            key_variable=KEY_VARIABLE,
            key_file=str(engine.home / "api_key"),
        )

    @router.get(f"{_PATH}/delete")
    async def confirm_deletion(request: Request, name: str) -> Response:
        rows = _flat(await _rows(engine, store))
        row = next((row for row in rows if row.name == name), None)
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

    @router.post(f"{_PATH}/alias")
    async def change_alias(
        request: Request,
        name: Annotated[str, Form()],
        action: Annotated[str, Form()],
        model: Annotated[str, Form()] = "",
        share: Annotated[str, Form()] = "",
    ) -> Response:
        given = {"action": action, "model": model or None, "share": share or None}
        try:
            if action == "remove":
                engine.models.aliases.remove(name)
                notice = f"The alias {name} was removed."
            else:
                step = AliasStep.model_validate(given)
                notice = _told(await take_step(engine.models, engine.chats, name.strip(), step))
        except ValidationError:
            raise ApiError(400, "A share is a number from 0 to 1, such as 0.1.") from None
        return redirect(request, _PATH, notice, anchor="" if action == "remove" else name.strip())

    return router
