"""Routes of annotation queues."""

from typing import Any

from fastapi import APIRouter, Response

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.store.routes_shared import Json, Page, Texts, answer, known_only
from langchain_finetune.local.store.run_answers import v1_run
from langchain_finetune.local.store.run_changes import uuid_text
from langchain_finetune.local.store.store import RunStore


def create_queues_router(store: RunStore) -> APIRouter:
    """Return the routes behind `client.list_runs_from_annotation_queue` and its kin."""
    router = APIRouter(prefix="/annotation-queues")

    @router.get("", dependencies=[known_only("ids", "name", "limit", "offset")])
    def list_queues(page: Page, ids: Texts = None, name: str | None = None) -> Response:
        wanted = [_id(each) for each in ids or []]
        return answer(store.queues.all(ids=wanted, name=name, limit=page.limit, offset=page.offset))

    @router.post("")
    def create_queue(body: Json) -> Response:
        return answer(store.queues.create(body))

    @router.get("/{queue_id}")
    def read_queue(queue_id: str) -> Response:
        return answer(store.queues.get(_id(queue_id)))

    @router.delete("/{queue_id}")
    def delete_queue(queue_id: str) -> Response:
        store.queues.delete(_id(queue_id))
        return answer({"message": "Annotation queue deleted"})

    @router.get("/{queue_id}/runs", dependencies=[known_only("status", "limit", "offset")])
    def list_runs(queue_id: str, page: Page, status: str | None = None) -> Response:
        queued = store.queues.runs(_id(queue_id), limit=page.limit, offset=page.offset)
        if status not in {None, "needs_my_review"}:
            # Nobody reviews in a local store.
            queued = []
        return answer([_queued(store, run_id, added_at) for run_id, added_at in queued])

    @router.post("/{queue_id}/runs")
    @router.post("/{queue_id}/runs/by-key")
    def add_runs(queue_id: str, body: Json) -> Response:
        if not isinstance(body, list):
            raise ApiError(400, "The runs must be a list.")
        ids = [_id(run.get("run_id") if isinstance(run, dict) else run) for run in body]
        store.queues.add(_id(queue_id), ids)
        return answer([{"run_id": run_id, "queue_id": queue_id} for run_id in ids])

    @router.delete("/{queue_id}/runs/{run_id}")
    def remove_run(queue_id: str, run_id: str) -> Response:
        store.queues.remove(_id(queue_id), _id(run_id))
        return answer({"message": "Run removed"})

    return router


def _queued(store: RunStore, run_id: str, added_at: str) -> dict[str, Any]:
    found = store.runs.get(run_id)
    return {**v1_run(found.row, found.stats, None, found.attachments), "added_at": added_at}


def _id(text: Any) -> str:
    found = uuid_text(text, "id")
    if found is None:
        raise ApiError(400, "A run needs its id.", param="id")
    return found
