"""Routes of threads and traces, in LangSmith's new API only."""

import datetime as dt
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from langchain_finetune.local.store.routes.shared import Json, Root, Texts, answer, known_only
from langchain_finetune.local.store.run_queries import cursor_after, v2_fields, v2_query, validated
from langchain_finetune.local.store.run_serialization import v2_run
from langchain_finetune.local.store.store import RunStore
from langchain_finetune.local.store.threads import ThreadTraces, TracesQuery
from langchain_finetune.local.store.values import uuid_text

_LONG_AGO = "0001-01-02T00:00:00Z"
_TRACE_BY = ("project_id", "cursor", "filter", "trace_filter", "page_size", "selects")
_RUNS_BY = ("project_id", "filter", "min_start_time", "max_start_time", "selects")


def create_threads_router(store: RunStore) -> APIRouter:
    """Return the routes behind `client.threads.query`, `list_traces`, and `client.traces`."""
    router = APIRouter()

    @router.post("/threads/query")
    def query_threads(body: Json) -> Response:
        return answer(store.threads.find(body, dt.datetime.now(dt.UTC)))

    @router.get("/threads/{thread_id}/traces", dependencies=[known_only(*_TRACE_BY)])
    def list_traces(
        thread_id: str,
        *,
        project_id: str,
        cursor: str | None = None,
        filter: str | None = None,  # noqa: A002 the API's name
        trace_filter: str | None = None,
        page_size: int = 20,
        selects: Texts = None,
    ) -> Response:
        asked = {
            "project_id": project_id,
            "cursor": cursor,
            "filter": filter,
            "trace_filter": trace_filter,
            "page_size": page_size,
        }
        rows, after = store.threads.traces(thread_id, validated(ThreadTraces, asked))
        items = [_trace(row, selects or []) for row in rows]
        return answer({"items": items, "next_cursor": after})

    @router.post("/traces/query")
    def query_traces(body: Json, root: Root) -> Response:
        asked = validated(TracesQuery, body)
        selects = asked.selects or []
        query = v2_query(asked.as_runs(), dt.datetime.now(dt.UTC))
        page = store.runs.find(query)
        tokens = store.runs.tokens_of([found.row["trace_id"] for found in page.runs])
        items = [
            {
                "root_run": v2_run(
                    found.row, found.stats, v2_fields(selects), found.attachments, root
                ),
                "trace_aggregates": {"total_tokens": tokens.get(found.row["trace_id"])}
                if "TOTAL_TOKENS" in selects
                else None,
            }
            for found in page.runs
        ]
        after = cursor_after(page.runs[-1].row) if page.has_more else None
        return answer({"items": items, "next_cursor": after})

    @router.get("/traces/{trace_id}/runs", dependencies=[known_only(*_RUNS_BY)])
    def list_runs(
        trace_id: str,
        *,
        project_id: str,
        root: Root,
        filter: str | None = None,  # noqa: A002 the API's name
        min_start_time: str = _LONG_AGO,
        max_start_time: str | None = None,
        selects: Annotated[list[str] | None, Query()] = None,
    ) -> Response:
        body = {
            "trace_id": uuid_text(trace_id, "trace_id"),
            "project_ids": [project_id],
            "filter": filter,
            "min_start_time": min_start_time,
            "max_start_time": max_start_time,
            "selects": selects or [],
            "page_size": 1000,
        }
        fields, items = v2_fields(selects or []), []
        while True:
            page = store.runs.find(v2_query(body, dt.datetime.now(dt.UTC)))
            items += [
                v2_run(found.row, found.stats, fields, found.attachments, root)
                for found in page.runs
            ]
            if not page.has_more:
                break
            body["cursor"] = cursor_after(page.runs[-1].row)
        return answer({"items": items})

    return router


def _trace(row: Mapping[str, Any], selects: list[str]) -> dict[str, Any]:
    """Return a root run as one turn of its thread."""
    fields = v2_fields(selects) | {"trace_id"}
    told = v2_run(row, None, fields - {"id", "latency"})
    if "latency" in fields and row["end_time"] is not None:
        told["latency"] = (row["end_time"] - row["start_time"]) / 1e6
    return told
