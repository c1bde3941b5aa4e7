"""Routes of projects, which LangSmith's API calls sessions."""

from typing import Any

from fastapi import APIRouter, Response

from langchain_finetune.local.sqlite import Where
from langchain_finetune.local.store.routes.shared import Json, PageRange, Texts, answer, known_only
from langchain_finetune.local.store.store import RunStore
from langchain_finetune.local.store.values import uuid_text


def create_projects_router(store: RunStore) -> APIRouter:
    """Return the routes behind `client.read_project`, `list_projects` and their kin."""
    router = APIRouter()

    @router.get(
        "/sessions",
        dependencies=[
            known_only("id", "name", "name_contains", "limit", "offset", "include_stats")
        ],
    )
    def list_projects(
        page: PageRange,
        *,
        id: Texts = None,  # noqa: A002 the API's name
        name: str | None = None,
        name_contains: str | None = None,
        include_stats: bool = False,
    ) -> Response:
        found = store.projects.all(
            ids=id or [],
            name=name,
            name_contains=name_contains,
            limit=page.limit,
            offset=page.offset,
        )
        return answer([_with_stats(store, each) for each in found] if include_stats else found)

    @router.post("/sessions")
    def create_project(body: Json, *, upsert: bool = False) -> Response:
        return answer(store.projects.create(body, upsert=upsert))

    @router.get("/sessions/{project_id}")
    def read_project(project_id: str, *, include_stats: bool = False) -> Response:
        found = store.projects.get(uuid_text(project_id, "project_id") or "")
        return answer(_with_stats(store, found) if include_stats else found)

    @router.patch("/sessions/{project_id}")
    def change_project(project_id: str, body: Json) -> Response:
        return answer(store.projects.change(uuid_text(project_id, "project_id") or "", body))

    @router.delete("/sessions/{project_id}")
    def delete_project(project_id: str) -> Response:
        store.projects.delete(uuid_text(project_id, "project_id") or "")
        return answer({"message": "Project deleted"}, 202)

    return router


def _with_stats(store: RunStore, project: dict[str, Any]) -> dict[str, Any]:
    return project | store.runs.stats(Where("r.project_id = ?", (project["id"],)))
