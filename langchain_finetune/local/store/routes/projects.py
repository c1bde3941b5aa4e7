"""Routes of projects, which LangSmith's API calls sessions."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from fastapi.routing import APIRoute
from pydantic import Field

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.sqlite import Where
from langchain_finetune.local.store.bodies import Json, answer
from langchain_finetune.local.store.store import RunStore
from langchain_finetune.local.store.values import Id, PageQuery


class _ListedProjects(PageQuery):
    ids: list[Id] = Field(default=[], alias="id")
    name: str | None = None
    name_contains: str | None = None
    include_stats: bool = False


def create_projects_router(store: RunStore, searches: type[APIRoute]) -> APIRouter:
    """Return the routes behind `client.read_project`, `list_projects` and their kin."""
    router = APIRouter(prefix="/sessions")
    # With statistics, these read all runs of a project.
    reading = APIRouter(prefix="/sessions", route_class=searches)
    projects = store.projects

    def shown(project: dict[str, Any], *, include_stats: bool) -> dict[str, Any]:
        if not include_stats:
            return project
        return project | store.runs.stats(Where("r.project_id = ?", (project["id"],)))

    @reading.get("")
    def list_projects(asked: Annotated[_ListedProjects, Query()]) -> Response:
        conditions = vars(asked).copy()
        include_stats = conditions.pop("include_stats")
        found = projects.all(**conditions)
        return answer([shown(each, include_stats=include_stats) for each in found])

    @router.post("")
    def create_project(body: Json, *, upsert: bool = False) -> Response:
        return answer(projects.create(body, upsert=upsert))

    @router.get("/resolutions", include_in_schema=False)
    def resolve() -> Response:
        raise ApiError(404, "This store has no registry of agents: name the project itself.")

    @reading.get("/{project_id}")
    def read_project(project_id: Id, *, include_stats: bool = False) -> Response:
        return answer(shown(projects.get(project_id), include_stats=include_stats))

    @router.patch("/{project_id}")
    def change_project(project_id: Id, body: Json) -> Response:
        return answer(projects.change(project_id, body))

    @router.delete("/{project_id}")
    def delete_project(project_id: Id) -> Response:
        projects.delete(project_id)
        return answer({"message": "Project deleted"}, 202)

    both = APIRouter()
    for part in (router, reading):
        both.include_router(part)
    return both
