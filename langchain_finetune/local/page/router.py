"""All routes of the page."""

from fastapi import APIRouter, Response
from pydantic import SecretStr

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.page.assets import create_assets_router
from langchain_finetune.local.page.rendering import PageRoute
from langchain_finetune.local.page.routes_datasets import create_datasets_router
from langchain_finetune.local.page.routes_runs import create_runs_router
from langchain_finetune.local.page.routes_sign_in import create_sign_in_router
from langchain_finetune.local.page.sessions import Sessions
from langchain_finetune.local.store import RunStore


def create_page_router(store: RunStore, sessions: Sessions, key: SecretStr) -> APIRouter:
    """Return all routes of the page; the guard lets only those who are signed in reach them.

    Args:
        store: Runs, feedback and datasets.
        sessions: Who is signed in; the guard has the same.
        key: What signs in.
    """
    router = APIRouter(route_class=PageRoute, include_in_schema=False)
    router.include_router(create_assets_router())
    router.include_router(create_sign_in_router(sessions, key))
    router.include_router(create_runs_router(store))
    router.include_router(create_datasets_router(store))

    # The last route: it takes what no other took.
    @router.get("/ui/{_rest:path}")
    def show_nothing(_rest: str) -> Response:
        raise ApiError(404, "There is no such page.")

    return router
