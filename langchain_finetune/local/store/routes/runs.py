"""Routes that read runs, in both of LangSmith's APIs."""

import datetime as dt
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from langchain_finetune.local.store.routes.shared import Json, Root, Texts, answer
from langchain_finetune.local.store.run_queries import (
    cursor_after,
    v1_query,
    v2_fields,
    v2_query,
)
from langchain_finetune.local.store.run_serialization import v1_run, v2_run
from langchain_finetune.local.store.runs import FoundRun, RunPage
from langchain_finetune.local.store.store import RunStore
from langchain_finetune.local.store.values import uuid_text


def create_runs_router(store: RunStore) -> APIRouter:
    """Return the routes behind `client.list_runs` and `client.read_run`."""
    router = APIRouter()

    @router.post("/runs/query")
    def query_runs(body: Json) -> Response:
        query = v1_query(body)
        page = store.runs.find(query)
        runs = [_v1(found, query.fields) for found in page.runs]
        return answer({"runs": runs, "cursors": {"next": _next(page)}})

    @router.post("/runs/stats")
    def tell_stats(body: Json) -> Response:
        return answer(store.runs.stats(v1_query(body).where))

    @router.get("/runs/{run_id}")
    def read_run(run_id: str) -> Response:
        found = store.runs.get(uuid_text(run_id, "run_id") or "")
        return answer(_v1(found, None))

    return router


def create_v2_router(store: RunStore) -> APIRouter:
    """Return the routes behind `client.runs.query` and `client.runs.retrieve`."""
    router = APIRouter()

    @router.post("/runs/query")
    def query_runs(body: Json, root: Root) -> Response:
        query = v2_query(body, dt.datetime.now(dt.UTC))
        page = store.runs.find(query)
        items = [_v2(found, query.fields or frozenset(), root) for found in page.runs]
        return answer({"items": items, "next_cursor": _next(page)})

    @router.get("/runs/{run_id}")
    def read_run(
        run_id: str, project_id: Annotated[str, Query()], root: Root, selects: Texts = None
    ) -> Response:
        found = store.runs.get(
            uuid_text(run_id, "run_id") or "", uuid_text(project_id, "project_id")
        )
        return answer(_v2(found, v2_fields(selects or []), root))

    return router


def _next(page: RunPage) -> str | None:
    return cursor_after(page.runs[-1].row) if page.has_more else None


def _v1(found: FoundRun, fields: frozenset[str] | None) -> dict[str, Any]:
    return v1_run(found.row, found.stats, fields, found.attachments)


def _v2(found: FoundRun, fields: frozenset[str], root: str) -> dict[str, Any]:
    return v2_run(found.row, found.stats, fields, found.attachments, root)
