"""Routes of annotation queues."""

from typing import Any

from fastapi import APIRouter, Response

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.store.queues import QueuedRun
from langchain_finetune.local.store.routes.shared import Json, PageRange, Texts, answer, known_only
from langchain_finetune.local.store.run_serialization import v1_run
from langchain_finetune.local.store.store import RunStore
from langchain_finetune.local.store.values import uuid_text

_MOST_RUNS = 2**31


def create_queues_router(store: RunStore) -> APIRouter:
    """Return the routes behind `client.list_runs_from_annotation_queue` and its kin."""
    router = APIRouter(prefix="/annotation-queues")

    queues = store.queues

    @router.get("", dependencies=[known_only("ids", "name", "name_contains", "limit", "offset")])
    def list_queues(
        page: PageRange,
        ids: Texts = None,
        name: str | None = None,
        name_contains: str | None = None,
    ) -> Response:
        found = queues.all(
            ids=[_id(each) for each in ids or []],
            name=name,
            name_contains=name_contains,
            limit=page.limit,
            offset=page.offset,
        )
        return answer(found)

    @router.post("")
    def create_queue(body: Json) -> Response:
        return answer(queues.create(body))

    @router.get("/{queue_id}")
    def read_queue(queue_id: str) -> Response:
        return answer(queues.get(_id(queue_id)))

    @router.patch("/{queue_id}")
    def change_queue(queue_id: str, body: Json) -> Response:
        return answer(queues.change(_id(queue_id), body))

    @router.delete("/{queue_id}")
    def delete_queue(queue_id: str) -> Response:
        queues.delete(_id(queue_id))
        return answer({"message": "Annotation queue deleted"})

    @router.get("/{run_id}/queues")
    def list_queues_of_run(run_id: str) -> Response:
        return answer(queues.all(run_id=_id(run_id)))

    @router.get("/{queue_id}/size", dependencies=[known_only("status")])
    def tell_size(queue_id: str, status: str | None = None) -> Response:
        return answer({"size": queues.size(_id(queue_id), status)})

    @router.get("/{queue_id}/total_size")
    def tell_total_size(queue_id: str) -> Response:
        return answer({"size": queues.size(_id(queue_id))})

    _add_runs(router, store)
    return router


def _add_runs(router: APIRouter, store: RunStore) -> None:
    queues = store.queues

    @router.get("/{queue_id}/runs", dependencies=[known_only("status", "limit", "offset")])
    def list_runs(queue_id: str, page: PageRange, status: str | None = None) -> Response:
        # Together, so that no run goes between the two.
        with store.together():
            found = queues.runs(_id(queue_id), status=status, limit=page.limit, offset=page.offset)
            runs = [_queued(store, queued) for queued in found]
        return answer(runs)

    @router.get("/{queue_id}/run/{index}", dependencies=[known_only("status")])
    def read_run(queue_id: str, index: int, status: str | None = None) -> Response:
        in_range = 0 <= index < _MOST_RUNS
        found = queues.runs(
            _id(queue_id), status=status, limit=1, offset=index if in_range else _MOST_RUNS
        )
        if not found:
            raise ApiError(404, f"The queue holds no run at {index}.", code="run_not_found")
        return answer(_queued(store, found[0]))

    @router.patch("/{queue_id}/runs/{run_id}")
    def review_run(queue_id: str, run_id: str, body: Json) -> Response:
        if not isinstance(body, dict):
            raise ApiError(400, "The body must be a JSON object.")
        queues.review(_id(queue_id), _id(run_id), body.get("last_reviewed_time"))
        return answer({"message": "Run updated"})

    @router.post("/{queue_id}/runs/delete")
    def remove_runs(queue_id: str, body: Json) -> Response:
        ids = body.get("run_ids") if isinstance(body, dict) else None
        if not isinstance(ids, list):
            raise ApiError(400, "run_ids must be a list.", param="run_ids")
        with store.together():
            for run_id in ids:
                queues.remove(_id(queue_id), _id(run_id))
        return answer({"message": "Runs removed"})

    @router.post("/{queue_id}/runs")
    @router.post("/{queue_id}/runs/by-key")
    def add_runs(queue_id: str, body: Json) -> Response:
        if not isinstance(body, list):
            raise ApiError(400, "The runs must be a list.")
        ids = [_id(run.get("run_id") if isinstance(run, dict) else run) for run in body]
        queues.add(_id(queue_id), ids)
        # A run is in a queue once, so that its own id names its place there.
        return answer([{"id": run_id, "run_id": run_id, "queue_id": queue_id} for run_id in ids])

    @router.delete("/{queue_id}/runs/{run_id}")
    def remove_run(queue_id: str, run_id: str) -> Response:
        queues.remove(_id(queue_id), _id(run_id))
        return answer({"message": "Run removed"})


def _queued(store: RunStore, queued: QueuedRun) -> dict[str, Any]:
    found = store.runs.get(queued.run_id)
    return {
        **v1_run(found.row, found.stats, None, found.attachments),
        "queue_run_id": queued.run_id,
        "added_at": queued.added_at,
        "last_reviewed_time": queued.reviewed_at,
    }


def _id(text: Any) -> str:
    found = uuid_text(text, "id")
    if found is None:
        raise ApiError(400, "A run needs its id.", param="id")
    return found
