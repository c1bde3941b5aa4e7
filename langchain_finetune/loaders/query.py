"""Which runs to read: a query as data, and the requests that it means. No I/O here."""

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

PAGE_SIZE = 100
"""Most runs that LangSmith gives in one answer of `POST /runs/query`; more is an error there."""

SELECTED = (
    "id",
    "trace_id",
    "name",
    "run_type",
    "status",
    "error",
    "start_time",
    "end_time",
    "inputs",
    "outputs",
    "extra",
)
"""The fields of a run that a chat is read from."""


class RunQuery(BaseModel):
    """Which `llm` runs of LangSmith to read; every condition must hold.

    Attributes:
        project_name: Name of the project, or several.
        project_id: Id of the project, or several.
        run_ids: These runs only.
        trace_id: Runs of this trace only.
        filter: Condition on the run, in LangSmith's filter language.
        trace_filter: Condition on the root run of its trace, where users leave feedback.
        tree_filter: Condition on any run of its trace.
        start_time: Runs that began at this time or later.
        end_time: Runs that began before this time.
        error: True: only runs that failed; False: only others. Failed runs become skips.
        is_root: True: only runs without a parent.
        limit: At most so many runs.

    Example:
        >>> RunQuery(project_name="app", trace_filter='eq(feedback_key, "user_score")').limit
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    project_name: str | tuple[str, ...] | None = None
    project_id: UUID | tuple[UUID, ...] | None = None
    run_ids: tuple[UUID, ...] | None = None
    trace_id: UUID | None = None
    filter: str | None = None
    trace_filter: str | None = None
    tree_filter: str | None = None
    start_time: dt.datetime | None = None
    end_time: dt.datetime | None = None
    error: bool | None = None
    is_root: bool | None = None
    limit: int | None = Field(default=None, gt=0)

    def names_a_source(self) -> bool:
        """Tell whether it says where to look; LangSmith answers no query over everything."""
        return any((self.project_name, self.project_id, self.run_ids, self.trace_id))


def query_body(query: RunQuery, project_ids: Sequence[UUID]) -> dict[str, Any]:
    """Return the JSON body of `POST /runs/query` for a query.

    Args:
        query: What to select.
        project_ids: The projects that it names; LangSmith takes ids only.
    """
    conditions = [query.filter] if query.filter else []
    if query.end_time:
        conditions.append(f'lt(start_time, "{query.end_time.isoformat()}")')
    body = {
        "session": [str(project_id) for project_id in project_ids],
        "run_type": "llm",
        "id": [str(run_id) for run_id in query.run_ids or ()],
        "trace": query.trace_id and str(query.trace_id),
        "filter": conditions[0] if len(conditions) == 1 else _all_of(conditions),
        "trace_filter": query.trace_filter,
        "tree_filter": query.tree_filter,
        "start_time": query.start_time and query.start_time.isoformat(),
        "error": query.error,
        "is_root": query.is_root,
        "select": list(SELECTED),
        # LangSmith reads the limit as the page's size.
        "limit": min(query.limit or PAGE_SIZE, PAGE_SIZE),
    }
    return {key: value for key, value in body.items() if value not in (None, [])}


def _all_of(conditions: Sequence[str]) -> str | None:
    return f"and({', '.join(conditions)})" if conditions else None


def batches(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield ids in pages that one request may ask for."""
    for start in range(0, len(ids), PAGE_SIZE):
        yield ids[start : start + PAGE_SIZE]
