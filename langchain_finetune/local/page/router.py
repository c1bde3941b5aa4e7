"""All routes of the page."""

from typing import Any

from fastapi import APIRouter, FastAPI, Response
from fastapi.responses import RedirectResponse
from fastapi.staticfiles import StaticFiles
from pydantic import SecretStr

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.auth.csrf import STATIC
from langchain_finetune.local.auth.sessions import PageSessions
from langchain_finetune.local.page.engine_parts import EngineParts
from langchain_finetune.local.page.routes.comparisons import create_comparisons_pages
from langchain_finetune.local.page.routes.datasets import create_datasets_pages
from langchain_finetune.local.page.routes.job_form import create_job_form_pages
from langchain_finetune.local.page.routes.jobs import create_jobs_pages
from langchain_finetune.local.page.routes.langsmith_links import create_langsmith_links_pages
from langchain_finetune.local.page.routes.models import create_models_pages
from langchain_finetune.local.page.routes.playground import create_playground_pages
from langchain_finetune.local.page.routes.runs import create_runs_pages
from langchain_finetune.local.page.routes.sign_in import create_sign_in_pages
from langchain_finetune.local.store import RunStore


class _Assets(StaticFiles):
    """The files in `static/`, which browsers revalidate on each use."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers["cache-control"] = "no-cache"
        return response


def add_page(
    app: FastAPI, store: RunStore, sessions: PageSessions, key: SecretStr, engine: EngineParts
) -> None:
    """Add the page to an application; the guard requires a session for most of its routes."""
    assets = _Assets(packages=[("langchain_finetune.local.page", "static")])
    app.mount(STATIC.rstrip("/"), assets)
    router = APIRouter(include_in_schema=False)
    router.include_router(create_sign_in_pages(sessions, key))
    router.include_router(create_runs_pages(store))
    router.include_router(create_datasets_pages(store))
    router.include_router(create_comparisons_pages(store))
    router.include_router(create_langsmith_links_pages(store))
    router.include_router(create_job_form_pages(engine, store))
    router.include_router(create_jobs_pages(engine))
    router.include_router(create_models_pages(engine, store))
    router.include_router(create_playground_pages(engine, store))

    @router.get("/ui")
    def redirect_to_start() -> Response:
        return RedirectResponse("/", 303)

    # The last route, which matches all remaining paths.
    @router.get("/ui/{_rest:path}")
    def not_found(_rest: str) -> Response:
        raise ApiError(404, "This page does not exist.")

    app.include_router(router)
