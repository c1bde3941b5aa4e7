"""Routes of threads, in LangSmith's new API only."""

import datetime as dt

from fastapi import APIRouter, Response

from langchain_finetune.local.store.routes_shared import Json, answer
from langchain_finetune.local.store.store import RunStore


def create_threads_router(store: RunStore) -> APIRouter:
    """Return the route behind `client.threads.query`."""
    router = APIRouter()

    @router.post("/threads/query")
    def query_threads(body: Json) -> Response:
        return answer(store.threads.find(body, dt.datetime.now(dt.UTC)))

    return router
