"""All routes of the page."""

from fastapi import APIRouter, Response
from fastapi.responses import RedirectResponse
from pydantic import SecretStr

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.auth.sessions import Sessions
from langchain_finetune.local.page.assets import create_assets_router
from langchain_finetune.local.page.engine_parts import EngineParts
from langchain_finetune.local.page.rendering import PageRoute
from langchain_finetune.local.page.routes_datasets import create_datasets_router
from langchain_finetune.local.page.routes_job_form import create_job_form_pages
from langchain_finetune.local.page.routes_jobs import create_jobs_pages
from langchain_finetune.local.page.routes_models import create_models_pages
from langchain_finetune.local.page.routes_playground import create_playground_pages
from langchain_finetune.local.page.routes_runs import create_runs_router
from langchain_finetune.local.page.routes_sign_in import create_sign_in_router
from langchain_finetune.local.store import RunStore


def create_page_router(
    store: RunStore, sessions: Sessions, key: SecretStr, engine: EngineParts
) -> APIRouter:
    """Return all routes of the page; the guard lets only those who are signed in reach them.

    Args:
        store: Runs, feedback and datasets.
        sessions: Who is signed in; the guard has the same.
        key: What signs in.
        engine: What trains and answers.
    """
    router = APIRouter(route_class=PageRoute, include_in_schema=False)
    router.include_router(create_assets_router())
    router.include_router(create_sign_in_router(sessions, key))
    router.include_router(create_runs_router(store))
    router.include_router(create_datasets_router(store))
    router.include_router(create_job_form_pages(engine, store))
    router.include_router(create_jobs_pages(engine))
    router.include_router(create_models_pages(engine))
    router.include_router(create_playground_pages(engine, store))

    @router.get("/ui")
    def show_start() -> Response:
        return RedirectResponse("/", 303)

    # The last route: it takes what no other took.
    @router.get("/ui/{_rest:path}")
    def show_nothing(_rest: str) -> Response:
        raise ApiError(404, "There is no such page.")

    return router
