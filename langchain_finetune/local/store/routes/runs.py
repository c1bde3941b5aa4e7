"""Routes that read runs, in both of LangSmith's APIs, and threads and traces, in the newer."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from fastapi.routing import APIRoute
from pydantic import Field

from langchain_finetune.local.store.bodies import Json, Root, Texts, answer
from langchain_finetune.local.store.run_queries import cursor_after, v1_query, v2_fields, v2_query
from langchain_finetune.local.store.run_serialization import FoundRun, v1_run, v2_run
from langchain_finetune.local.store.runs import FoundRuns
from langchain_finetune.local.store.store import RunStore
from langchain_finetune.local.store.threads import ThreadTraces, TracesQuery
from langchain_finetune.local.store.values import ClientQuery, Id, validated

_LONG_AGO = "0001-01-02T00:00:00Z"


class _TraceRuns(ClientQuery):
    project_id: Id
    filter: str | None = None
    min_start_time: str = _LONG_AGO
    max_start_time: str | None = None
    selects: list[str] = Field(default=[])


def create_runs_router(store: RunStore, searches: type[APIRoute]) -> APIRouter:
    """Return the routes behind `client.list_runs` and `client.read_run`."""
    router = APIRouter(route_class=searches)

    @router.post("/runs/query")
    def query_runs(body: Json) -> Response:
        query = v1_query(body)
        page = store.runs.find(query)
        runs = [v1_run(found, query.fields) for found in page.runs]
        return answer({"runs": runs, "cursors": {"next": _next(page)}})

    @router.post("/runs/stats")
    def read_stats(body: Json) -> Response:
        return answer(store.runs.stats(v1_query(body).where))

    @router.get("/runs/{run_id}")
    def read_run(run_id: Id) -> Response:
        return answer(v1_run(store.runs.get(run_id)))

    return router


def create_v2_router(store: RunStore, searches: type[APIRoute]) -> APIRouter:
    """Return the routes behind `client.runs`, `client.threads` and `client.traces`."""
    router = APIRouter(route_class=searches)

    @router.post("/runs/query")
    def query_runs(body: Json, root: Root) -> Response:
        query = v2_query(body)
        page = store.runs.find(query)
        items = [v2_run(found, query.fields or frozenset(), root) for found in page.runs]
        return answer({"items": items, "next_cursor": _next(page)})

    @router.get("/runs/{run_id}")
    def read_run(run_id: Id, project_id: Id, root: Root, selects: Texts = None) -> Response:
        found = store.runs.get(run_id, project_id)
        return answer(v2_run(found, v2_fields(selects or []), root))

    @router.post("/threads/query")
    def query_threads(body: Json) -> Response:
        return answer(store.threads.find(body))

    @router.get("/threads/{thread_id}/traces")
    def list_traces(thread_id: str, asked: Annotated[ThreadTraces, Query()]) -> Response:
        page = store.runs.find(asked.search(thread_id))
        items = [_turn(found.row, asked.selects) for found in page.runs]
        return answer({"items": items, "next_cursor": _next(page)})

    @router.post("/traces/query")
    def query_traces(body: Json, root: Root) -> Response:
        asked = validated(TracesQuery, body)
        selects = asked.selects or []
        page = store.runs.find(v2_query(asked.as_runs()))
        tokens = store.runs.tokens_of([found.row["trace_id"] for found in page.runs])
        items = [
            {
                "root_run": v2_run(found, v2_fields(selects), root),
                "trace_aggregates": {"total_tokens": tokens.get(found.row["trace_id"])}
                if "TOTAL_TOKENS" in selects
                else None,
            }
            for found in page.runs
        ]
        return answer({"items": items, "next_cursor": _next(page)})

    @router.get("/traces/{trace_id}/runs")
    def list_runs(trace_id: Id, asked: Annotated[_TraceRuns, Query()], root: Root) -> Response:
        body = {
            "trace_id": trace_id,
            "project_ids": [asked.project_id],
            "page_size": 1000,
            "cursor": None,
            **asked.model_dump(exclude={"project_id"}),
        }
        fields, items = v2_fields(asked.selects), []
        while True:
            page = store.runs.find(v2_query(body))
            items += [v2_run(found, fields, root) for found in page.runs]
            body["cursor"] = _next(page)
            if body["cursor"] is None:
                return answer({"items": items})

    return router


def _next(page: FoundRuns) -> str | None:
    return cursor_after(page.runs[-1].row) if page.has_more else None


def _turn(row: Mapping[str, Any], selects: list[str]) -> dict[str, Any]:
    """Return a root run as one turn of its thread."""
    fields = v2_fields(selects) | {"trace_id"}
    shown = v2_run(FoundRun(row, None), fields - {"id", "latency"}, "")
    if "latency" in fields and row["end_time"] is not None:
        shown["latency"] = (row["end_time"] - row["start_time"]) / 1e6
    return shown
