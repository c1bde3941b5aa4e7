"""The runs."""

from fastapi import APIRouter, Request, Response

from langchain_finetune.local.page.rendering import PageRoute, page
from langchain_finetune.local.store import RunStore


def create_runs_router(store: RunStore) -> APIRouter:
    """Return the pages of runs."""
    router = APIRouter(route_class=PageRoute)

    @router.get("/")
    def list_runs(request: Request) -> Response:
        return page(request, "runs.html", section="Runs", projects=store.projects.all())

    return router
