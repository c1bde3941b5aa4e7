"""All routes of the page."""

import hashlib
from importlib.resources import files

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import SecretStr

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.auth.sessions import PageSessions
from langchain_finetune.local.page.context import EngineParts
from langchain_finetune.local.page.render_html import PageRoute
from langchain_finetune.local.page.routes.datasets import create_datasets_router
from langchain_finetune.local.page.routes.job_form import create_job_form_pages
from langchain_finetune.local.page.routes.jobs import create_jobs_pages
from langchain_finetune.local.page.routes.models import create_models_pages
from langchain_finetune.local.page.routes.playground import create_playground_pages
from langchain_finetune.local.page.routes.runs import create_runs_router
from langchain_finetune.local.page.routes.sign_in import create_sign_in_router
from langchain_finetune.local.store import RunStore

_KINDS = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


def create_assets_router() -> APIRouter:
    """Return the route of the files in `static/`; no other file can be named."""
    router = APIRouter()
    found = {
        file.name: file.read_bytes()
        for file in files("langchain_finetune.local.page").joinpath("static").iterdir()
        if file.name.rpartition(".")[2] in _KINDS
    }
    tags = {name: f'"{hashlib.sha256(data).hexdigest()[:32]}"' for name, data in found.items()}

    @router.get("/ui/static/{name}")
    def read_asset(name: str, request: Request) -> Response:
        if name not in found:
            raise ApiError(404, "There is no such file.")
        headers = {"etag": tags[name], "cache-control": "no-cache"}
        if request.headers.get("if-none-match") == tags[name]:
            return Response(status_code=304, headers=headers)
        kind = _KINDS[name.rpartition(".")[2]]
        return Response(found[name], media_type=kind, headers=headers)

    return router


def create_page_router(
    store: RunStore, sessions: PageSessions, key: SecretStr, engine: EngineParts
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
