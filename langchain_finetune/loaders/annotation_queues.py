"""Annotation queues and their runs."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from langsmith import Client

from langchain_finetune.errors import LoadError
from langchain_finetune.loaders.langsmith_client import reading, request_json
from langchain_finetune.loaders.query import RunQuery
from langchain_finetune.loaders.run_requests import Run

_PAGE = 100
"""Most queued runs in one response."""


@dataclass(frozen=True)
class QueuedRuns:
    """Some runs of an annotation queue, their traces and their projects."""

    run_ids: frozenset[str]
    trace_ids: tuple[str, ...]
    project_ids: tuple[UUID, ...]

    def contains(self, run: Run) -> bool:
        """Return whether a run is queued, or below one that is."""
        # `dotted_order` names the run and its ancestors: `<time>Z<id>.<time>Z<id>`.
        path = {step[-36:] for step in str(run.get("dotted_order") or "").split(".")}
        return not self.run_ids.isdisjoint({str(run["id"]), *path})


def queued_runs(client: Client, query: RunQuery) -> Iterator[QueuedRuns]:
    """Yield the runs of the query's annotation queue in batches, in its order.

    Raises:
        LoadError: There is no such queue, or LangSmith can't be read.
    """
    name = query.annotation_queue
    assert name is not None, "only called with a queue"
    with reading(client, f"annotation queue {str(name)!r}"):
        params: dict[str, Any] = {"limit": _PAGE, "offset": 0}
        if query.annotation_status:
            params["status"] = query.annotation_status
        path = f"/annotation-queues/{_queue_id(client, name)}/runs"
        while items := request_json(client, "GET", path, params=params):
            traces = dict.fromkeys(str(item.get("trace_id") or item["id"]) for item in items)
            projects = dict.fromkeys(UUID(str(item["session_id"])) for item in items)
            ids = frozenset(str(item["id"]) for item in items)
            yield QueuedRuns(ids, tuple(traces), tuple(projects))
            if len(items) < _PAGE:
                return
            params["offset"] += len(items)


def _queue_id(client: Client, queue: str | UUID) -> UUID:
    if isinstance(queue, UUID):
        return queue
    # In a query stored as JSON, an id is text, too.
    found = next(client.list_annotation_queues(name=queue, limit=1), None)
    if found is not None:
        return found.id
    try:
        return UUID(queue)
    except ValueError:
        raise LoadError(
            f"LangSmith at {client.api_url} has no annotation queue {queue!r}."
        ) from None
