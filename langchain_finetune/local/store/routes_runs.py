"""Routes that read runs, in both of LangSmith's APIs."""

import datetime as dt
from typing import Annotated

from fastapi import APIRouter, Query, Response

from langchain_finetune.local.store.routes_shared import Json, Texts, answer
from langchain_finetune.local.store.run_answers import v1_run, v2_run
from langchain_finetune.local.store.run_changes import uuid_text
from langchain_finetune.local.store.run_queries import (
    cursor_after,
    v1_query,
    v2_fields,
    v2_query,
)
from langchain_finetune.local.store.runs import RunPage
from langchain_finetune.local.store.store import RunStore


def create_runs_router(store: RunStore) -> APIRouter:
    """Return the routes behind `client.list_runs` and `client.read_run`."""
    router = APIRouter()

    @router.post("/runs/query")
    def query_runs(body: Json) -> Response:
        query = v1_query(body)
        page = store.runs.find(query)
        runs = [v1_run(found.row, found.stats, query.fields) for found in page.runs]
        return answer({"runs": runs, "cursors": {"next": _next(page)}})

    @router.get("/runs/{run_id}")
    def read_run(run_id: str) -> Response:
        found = store.runs.get(uuid_text(run_id, "run_id") or "")
        return answer(v1_run(found.row, found.stats, None))

    return router


def create_v2_router(store: RunStore) -> APIRouter:
    """Return the routes behind `client.runs.query` and `client.runs.retrieve`."""
    router = APIRouter()

    @router.post("/runs/query")
    def query_runs(body: Json) -> Response:
        query = v2_query(body, dt.datetime.now(dt.UTC))
        page = store.runs.find(query)
        items = [v2_run(run.row, run.stats, query.fields or frozenset()) for run in page.runs]
        return answer({"items": items, "next_cursor": _next(page)})

    @router.get("/runs/{run_id}")
    def read_run(
        run_id: str, project_id: Annotated[str, Query()], selects: Texts = None
    ) -> Response:
        found = store.runs.get(
            uuid_text(run_id, "run_id") or "", uuid_text(project_id, "project_id")
        )
        return answer(v2_run(found.row, found.stats, v2_fields(selects or [])))

    return router


def _next(page: RunPage) -> str | None:
    return cursor_after(page.runs[-1].row) if page.has_more else None
