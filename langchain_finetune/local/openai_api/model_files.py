"""`/v1/model_files`: where a model's files are, to export them. The engine's own API."""

import asyncio

from fastapi import APIRouter

from langchain_finetune.local.model_export.source import ModelFiles
from langchain_finetune.local.models import Models
from langchain_finetune.local.serving.protocol import model_not_found


def create_model_files_router(models: Models) -> APIRouter:
    """Return the route of a model's files."""
    router = APIRouter(prefix="/model_files")

    # A name may hold a slash, as that of a model.
    @router.get("/{name:path}")
    async def retrieve(name: str) -> ModelFiles:
        name = models.target(name)
        folder = await asyncio.to_thread(models.servable, name)
        if folder is None:
            # As for a model that does not exist, unless it is only not downloaded.
            models.card(name)
            raise model_not_found(f"The files of the model {name!r} are not on this machine.")
        adapter = models.adapter(name)
        base = await asyncio.to_thread(models.servable, adapter.base) if adapter else None
        tuned = any(each.id == name for each in models.fine_tuned())
        return ModelFiles(
            id=name,
            folder=folder,
            base=models.base_of(name) if tuned else None,
            base_folder=str(base) if base else None,
            adapter=adapter.folder if adapter else None,
        )

    return router
