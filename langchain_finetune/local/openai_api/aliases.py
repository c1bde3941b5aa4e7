"""`/v1/aliases`: names that apps call, and rollouts of their models. The engine's own API."""

import asyncio
from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel

from langchain_finetune.local.aliases import AliasChange, no_alias
from langchain_finetune.local.models import Models
from langchain_finetune.local.serving.alias_steps import AliasStep, take_step
from langchain_finetune.local.serving.backend import Chat
from langchain_finetune.local.store import RunStore
from langchain_finetune.local.store.model_figures import ModelFigures
from langchain_finetune.rollout.state import Rollout, RolloutMode, Share


class AliasBody(BaseModel):
    """An alias: what answers for it, and what is tried."""

    id: str
    object: Literal["alias"] = "alias"
    target: str
    mode: RolloutMode
    candidate: str | None
    share: Share
    earlier: list[str]


class AliasPage(BaseModel):
    """All aliases."""

    object: Literal["list"] = "list"
    data: list[AliasBody]


class AliasDetails(AliasBody):
    """An alias with its last changes, newest first, and figures of its models."""

    history: list[AliasChange]
    figures: list[ModelFigures]


class AliasRemoved(BaseModel):
    """What answers the removal of an alias."""

    id: str
    object: Literal["alias"] = "alias"
    deleted: Literal[True] = True


def create_aliases_router(models: Models, chat: Chat, store: RunStore) -> APIRouter:
    """Return the routes of aliases."""
    router = APIRouter(prefix="/aliases")
    aliases = models.aliases

    @router.get("")
    async def page() -> AliasPage:
        return AliasPage(data=[AliasBody(**_fields(each)) for each, _ in aliases.all().values()])

    # A name may hold a slash, as that of a model.
    @router.get("/{name:path}")
    async def retrieve(name: str) -> AliasDetails:
        found = aliases.get(name)
        if found is None:
            raise no_alias(name)
        return AliasDetails(
            **_fields(found),
            history=aliases.history(name).records,
            figures=await asyncio.to_thread(store.figures.of, found),
        )

    @router.post("/{name:path}")
    async def change(name: str, step: AliasStep) -> AliasBody:
        return AliasBody(**_fields(await take_step(models, chat, name, step)))

    @router.delete("/{name:path}")
    async def remove(name: str) -> AliasRemoved:
        aliases.remove(name)
        return AliasRemoved(id=name)

    return router


def _fields(rollout: Rollout) -> dict[str, Any]:
    found = rollout.model_dump()
    return found | {"id": found.pop("name"), "earlier": list(rollout.earlier)}
