"""Routes of the items of annotation queues: LangSmith's newer way to the same runs."""

from typing import Any

from fastapi import APIRouter, Response

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.store.queues import QueuedRun
from langchain_finetune.local.store.routes.shared import Json, answer, known_only
from langchain_finetune.local.store.store import RunStore
from langchain_finetune.local.store.values import iso, uuid_text

_STATES = {
    "needs_my_review": "needs_my_review",
    "needs_others_review": "needs_others_review",
    "archived": "completed",
}
_MOST = 100
_LAST = 2**31


def create_queue_items_router(store: RunStore) -> APIRouter:
    """Return the routes behind `client.annotation_queues.items`; an item's id is its run's."""
    router = APIRouter(prefix="/platform/annotation-queues/{queue_id}/items")
    queues = store.queues

    @router.get("", dependencies=[known_only("status", "cursor", "page_size", "item_type")])
    def list_items(
        queue_id: str,
        *,
        status: str,
        cursor: str = "0",
        page_size: int = 20,
        item_type: str = "RUN",
    ) -> Response:
        start = int(cursor) if cursor.isascii() and cursor.isdigit() and len(cursor) < 10 else -1  # noqa: PLR2004
        if start < 0 or not 1 <= page_size <= _MOST:
            raise ApiError(400, f"cursor must be one of this server, page_size 1 to {_MOST}.")
        limit = page_size + 1 if item_type == "RUN" else 0
        # Together, so that no run goes between the two.
        with store.together():
            found = queues.runs(_id(queue_id), status=_state(status), limit=limit, offset=start)
            items = [_item(store, queue_id, queued) for queued in found[:page_size]]
        after = str(start + page_size) if len(found) > page_size else None
        return answer({"items": items, "next_cursor": after})

    @router.post("")
    def add_items(queue_id: str, body: Json) -> Response:
        items = body.get("items") if isinstance(body, dict) else None
        if not isinstance(items, list) or not all(isinstance(each, dict) for each in items):
            raise ApiError(400, 'The body must be {"items": [...]}.', param="items")
        if any(each.get("item_type", "RUN") != "RUN" for each in items):
            raise ApiError(400, "Queues hold runs here, and no threads.", param="item_type")
        ids = [_id(each.get("run_id")) for each in items]
        queues.add(_id(queue_id), ids)
        made = [{"id": each, "run_id": each, "queue_id": queue_id} for each in ids]
        return answer({"items": [each | {"item_type": "RUN"} for each in made]})

    @router.get("/count", dependencies=[known_only("status")])
    def count_items(queue_id: str, status: str = "all") -> Response:
        state = None if status == "all" else _state(status)
        return answer({"count": queues.size(_id(queue_id), state)})

    @router.patch("/{item_id}")
    def review_item(queue_id: str, item_id: str, body: Json) -> Response:
        if not isinstance(body, dict):
            raise ApiError(400, "The body must be a JSON object.")
        queues.review(_id(queue_id), _id(item_id), body.get("last_reviewed_time"))
        return answer({"id": item_id, "run_id": item_id, "queue_id": queue_id})

    @router.post("/delete")
    def remove_items(queue_id: str, body: Json) -> Response:
        ids = body.get("item_ids") if isinstance(body, dict) else None
        if not isinstance(ids, list):
            raise ApiError(400, "item_ids must be a list.", param="item_ids")
        with store.together():
            for item_id in ids:
                queues.remove(_id(queue_id), _id(item_id))
        return answer({"message": "Items removed"})

    return router


def _item(store: RunStore, queue_id: str, queued: QueuedRun) -> dict[str, Any]:
    run = store.runs.get(queued.run_id).row
    return {
        "id": queued.run_id,
        "item_type": "RUN",
        "run_id": queued.run_id,
        "queue_id": queue_id,
        "project_id": run["project_id"],
        "start_time": iso(run["start_time"]),
        "added_at": queued.added_at,
        "effective_added_at": queued.added_at,
        "last_reviewed_time": queued.reviewed_at,
    }


def _state(status: str) -> str:
    if status not in _STATES:
        raise ApiError(400, f"status must be one of {', '.join(_STATES)}.", param="status")
    return _STATES[status]


def _id(text: Any) -> str:
    found = uuid_text(text, "id")
    if found is None:
        raise ApiError(400, "A run needs its id.", param="id")
    return found
