"""Requests for the runs of a query, in both of LangSmith's APIs.

| | old | new |
|---|---|---|
| route | `POST /runs/query` | `POST /api/v2/runs/query`, LangSmith 0.16 or newer |
| scope | projects, run ids or a trace | projects |
| runs a page | 100 | 1000 |
| time range | open | begins one day ago without `min_start_time` |

Source: LangSmith's OpenAPI description and langsmith 0.14.17 (`resources/runs`).
"""

import datetime as dt
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from langchain_finetune.loaders.filter_language import all_of
from langchain_finetune.loaders.query import RunQuery

Run = Mapping[str, Any]
"""A run's JSON, in the old API's format."""

Api = Literal["v1", "v2"]

V1_PAGE = 100
"""Most runs in one response of the old API; requesting more is an error there."""

V2_PAGE = 1000
"""Most runs in one response of the new API."""

IDS_PER_REQUEST = 100
"""Most ids in one request."""

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

_SELECTED = (
    "id",
    "trace_id",
    "thread_id",
    "dotted_order",
    "name",
    "run_type",
    "status",
    "error",
    "start_time",
    "end_time",
    "tags",
    "total_tokens",
    "reference_example_id",
    "inputs",
    "outputs",
    "extra",
)
"""Fields from which chats are read, and others that `where` may use; the rest is large."""

_V1_SELECTED = (*_SELECTED, "session_id", "parent_run_id", "feedback_stats")
_V2_SELECTED = (*_SELECTED, "project_id", "parent_run_ids", "feedback_stats")


@dataclass(frozen=True)
class RunRequest:
    """Runs to fetch: the server's part of a `RunQuery`."""

    project_ids: tuple[str, ...]
    run_type: str | None = "llm"
    run_ids: tuple[str, ...] = ()
    trace_id: str | None = None
    filter: str | None = None
    trace_filter: str | None = None
    tree_filter: str | None = None
    start_time: dt.datetime | None = None
    end_time: dt.datetime | None = None
    before: str | None = None
    """`end_time` as a condition, if `filter` does not contain it."""
    error: bool | None = None
    is_root: bool | None = None
    page_size: int | None = None
    """None for the API's maximum."""
    light: bool = False
    """Leave out inputs and outputs."""


def run_request(
    query: RunQuery, project_ids: Sequence[UUID], *, all_count: bool = True
) -> RunRequest:
    """Return the request for a query; sample and limit are left to the caller.

    `all_count` says whether every run of a response counts towards the limit.
    """
    return RunRequest(
        project_ids=tuple(map(str, project_ids)),
        run_ids=tuple(map(str, query.run_ids or ())),
        trace_id=str(query.trace_id) if query.trace_id else None,
        filter=query.run_condition(),
        trace_filter=query.trace_condition(),
        tree_filter=query.tree_filter,
        start_time=query.start_time,
        end_time=query.end_time,
        error=query.error,
        is_root=query.is_root,
        page_size=query.limit if all_count and query.sample is None else None,
    )


def request_body(api: Api, request: RunRequest, cursor: str | None = None) -> dict[str, Any]:
    """Return the JSON body of the request for a page; the previous response has its cursor."""
    shared = {
        "filter": all_of([request.filter, request.before]),
        "trace_filter": request.trace_filter,
        "tree_filter": request.tree_filter,
        "is_root": request.is_root,
        "cursor": cursor,
    }
    if api == "v1":
        body = {
            "session": list(request.project_ids),
            "run_type": request.run_type,
            "id": list(request.run_ids),
            "trace": request.trace_id,
            "start_time": request.start_time and request.start_time.isoformat(),
            "error": request.error,
            "select": _selected(_V1_SELECTED, request),
            # For LangSmith, the limit is the page size.
            "limit": min(request.page_size or V1_PAGE, V1_PAGE),
        }
    else:
        body = {
            "project_ids": list(request.project_ids),
            "run_type": request.run_type and request.run_type.upper(),
            "ids": list(request.run_ids),
            "trace_id": request.trace_id,
            # Without it the time range silently begins one day ago.
            "min_start_time": (request.start_time or EPOCH).isoformat(),
            "max_start_time": request.end_time and request.end_time.isoformat(),
            "has_error": request.error,
            "selects": [name.upper() for name in _selected(_V2_SELECTED, request)],
            "page_size": min(request.page_size or V2_PAGE, V2_PAGE),
        }
    return {key: value for key, value in (body | shared).items() if value not in (None, [])}


def choose_api(version: str, flags: Mapping[str, Any] | None, request: RunRequest) -> Api:
    """Return the API for a request: the new one if the server has it, by `GET /info`.

    Its flag `sdb_query_enabled` means that the new API is present, `ch_query_enabled` that the old
    one is. Without a project only the old API can be used.

    Example:
        >>> in_project = RunRequest(project_ids=("p",))
        >>> choose_api("0.16.2", None, in_project), choose_api("0.12.7", None, in_project)
        ('v2', 'v1')
        >>> choose_api("0.16.2", None, RunRequest(project_ids=(), run_ids=("r",)))
        'v1'
    """
    flags = flags or {}
    if not request.project_ids:
        return "v1"
    if flags.get("sdb_query_enabled") or flags.get("ch_query_enabled") is False:
        return "v2"
    numbers = re.match(r"(\d+)\.(\d+)", version)
    new = numbers is not None and (int(numbers[1]), int(numbers[2])) >= (0, 16)
    return "v2" if new else "v1"


def trace_of(run: Run) -> str:
    """Return the id of a run's trace; a run without one is its own trace."""
    return str(run.get("trace_id") or run.get("id"))


def batches(ids: Sequence[str], size: int = IDS_PER_REQUEST) -> Iterator[Sequence[str]]:
    """Yield ids in batches for one request."""
    for start in range(0, len(ids), size):
        yield ids[start : start + size]


def _selected(names: Sequence[str], request: RunRequest) -> list[str]:
    left_out = {"inputs", "outputs", "feedback_stats"} if request.light else set()
    return [name for name in names if name not in left_out]
