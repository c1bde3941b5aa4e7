"""Addresses of LangSmith's web app, which its client prints and returns, lead to the page's own.

A client needs the address of the app: `Client(api_url=url, web_url=f"{url}/ui/langsmith")`.
"""

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Response
from fastapi.responses import RedirectResponse

from langchain_finetune.local.store import RunStore
from langchain_finetune.local.store.values import uuid_text

_ROOT = "/ui/langsmith/o/{tenant}"


def create_langsmith_links_pages(store: RunStore) -> APIRouter:
    """Return the redirects."""
    router = APIRouter(prefix=_ROOT)

    @router.get("/datasets/{dataset_id}/compare")
    def to_comparison(
        dataset_id: str, sessions: Annotated[str, Query(alias="selectedSessions")] = ""
    ) -> Response:
        chosen = [uuid_text(each, "selectedSessions") for each in sessions.split(",") if each]
        for each in store.comparisons.all(uuid_text(dataset_id, "dataset_id"), limit=-1):
            # The form of signing in drops the query.
            if not chosen or {info["id"] for info in each["experiments_info"]} == set(chosen):
                return RedirectResponse(f"/ui/comparisons/{each['id']}", 303)
        return _to_runs(chosen[-1] if chosen else "")

    @router.get("/datasets/{dataset_id}")
    def to_dataset(dataset_id: str) -> Response:
        return RedirectResponse(f"/ui/datasets/{uuid_text(dataset_id, 'dataset_id')}", 303)

    @router.get("/projects/p/{project_id}")
    def to_project(project_id: str) -> Response:
        return _to_runs(uuid_text(project_id, "project_id"))

    @router.get("/projects/p/{_project_id}/r/{run_id}")
    def to_run(_project_id: str, run_id: str) -> Response:
        return RedirectResponse(f"/ui/runs/{uuid_text(run_id, 'run_id')}", 303)

    return router


def _to_runs(project_id: str | None) -> Response:
    return RedirectResponse(f"/?{urlencode({'project': project_id or ''})}", 303)
