"""Routes of annotation queues, and of their items: LangSmith's newer way to the same runs."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import Field

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.store.bodies import Json, answer
from langchain_finetune.local.store.queues import Queues
from langchain_finetune.local.store.run_serialization import v1_run
from langchain_finetune.local.store.store import RunStore
from langchain_finetune.local.store.values import (
    ClientBody,
    ClientQuery,
    Id,
    PageQuery,
    iso,
    validated,
)

_MOST_RUNS = 2**31
_ITEM_STATES = {
    "all": None,
    "needs_my_review": "needs_my_review",
    "needs_others_review": "needs_others_review",
    "archived": "completed",
}


class _ListedQueues(PageQuery):
    ids: list[Id] = Field(default=[])
    name: str | None = None
    name_contains: str | None = None


class _StateQuery(ClientQuery):
    status: str | None = None


class _RunsQuery(PageQuery):
    status: str | None = None


class _ItemsQuery(ClientQuery):
    status: Literal["needs_my_review", "needs_others_review", "archived"]
    cursor: int = Field(default=0, ge=0, lt=10**9)
    page_size: int = Field(default=20, ge=1, le=100)
    item_type: str = "RUN"


class _CountQuery(ClientQuery):
    status: Literal["all", "needs_my_review", "needs_others_review", "archived"] = "all"


class _Review(ClientBody):
    last_reviewed_time: Any = None


class _RemovedRuns(ClientBody):
    run_ids: list[Id]


class _RemovedItems(ClientBody):
    item_ids: list[Id]


class _QueueKey(ClientBody):
    run_id: Id


class _NewItem(_QueueKey):
    # Queues hold runs here, and no threads.
    item_type: Literal["RUN"] = "RUN"


class _NewItems(ClientBody):
    items: list[_NewItem]


def create_queues_router(store: RunStore) -> APIRouter:
    """Return the routes behind `client.list_runs_from_annotation_queue` and its kin."""
    router = APIRouter(prefix="/annotation-queues")
    queues = store.queues

    @router.get("")
    def list_queues(asked: Annotated[_ListedQueues, Query()]) -> Response:
        return answer(queues.all(**vars(asked)))

    @router.post("")
    def create_queue(body: Json) -> Response:
        return answer(queues.create(body))

    @router.get("/{queue_id}")
    def read_queue(queue_id: Id) -> Response:
        return answer(queues.get(queue_id))

    @router.patch("/{queue_id}")
    def change_queue(queue_id: Id, body: Json) -> Response:
        return answer(queues.change(queue_id, body))

    @router.delete("/{queue_id}")
    def delete_queue(queue_id: Id) -> Response:
        queues.delete(queue_id)
        return answer({"message": "Annotation queue deleted"})

    @router.get("/{run_id}/queues")
    def list_queues_of_run(run_id: Id) -> Response:
        return answer(queues.of_run(run_id))

    @router.get("/{queue_id}/size")
    def read_size(queue_id: Id, asked: Annotated[_StateQuery, Query()]) -> Response:
        return answer({"size": queues.size(queue_id, asked.status)})

    @router.get("/{queue_id}/total_size")
    def read_total_size(queue_id: Id) -> Response:
        return answer({"size": queues.size(queue_id)})

    _add_runs(router, store)
    return router


def _add_runs(router: APIRouter, store: RunStore) -> None:
    queues = store.queues

    @router.get("/{queue_id}/runs")
    def list_runs(queue_id: Id, asked: Annotated[_RunsQuery, Query()]) -> Response:
        return answer(_read(store, queue_id, _run, **vars(asked)))

    @router.get("/{queue_id}/run/{index}")
    def read_run(queue_id: Id, index: int, asked: Annotated[_StateQuery, Query()]) -> Response:
        offset = index if 0 <= index < _MOST_RUNS else _MOST_RUNS
        found = _read(store, queue_id, _run, status=asked.status, limit=1, offset=offset)
        if not found:
            raise ApiError(404, f"The queue holds no run at {index}.", code="run_not_found")
        return answer(found[0])

    @router.patch("/{queue_id}/runs/{run_id}")
    def review_run(queue_id: Id, run_id: Id, body: Json) -> Response:
        queues.review(queue_id, run_id, validated(_Review, body).last_reviewed_time)
        return answer({"message": "Run updated"})

    @router.post("/{queue_id}/runs/delete")
    def remove_runs(queue_id: Id, body: Json) -> Response:
        _remove(store, queue_id, validated(_RemovedRuns, body).run_ids)
        return answer({"message": "Runs removed"})

    @router.post("/{queue_id}/runs")
    @router.post("/{queue_id}/runs/by-key")
    def add_runs(queue_id: Id, body: Json) -> Response:
        if not isinstance(body, list):
            raise ApiError(400, "The runs must be a list.")
        runs = [run if isinstance(run, dict) else {"run_id": run} for run in body]
        return answer(_add(queues, queue_id, [validated(_QueueKey, run).run_id for run in runs]))

    @router.delete("/{queue_id}/runs/{run_id}")
    def remove_run(queue_id: Id, run_id: Id) -> Response:
        queues.remove(queue_id, run_id)
        return answer({"message": "Run removed"})


def create_queue_items_router(store: RunStore) -> APIRouter:
    """Return the routes behind `client.annotation_queues.items`; an item's id is its run's."""
    router = APIRouter(prefix="/platform/annotation-queues/{queue_id}/items")
    queues = store.queues

    @router.get("")
    def list_items(queue_id: Id, asked: Annotated[_ItemsQuery, Query()]) -> Response:
        size, state = asked.page_size, _ITEM_STATES[asked.status]
        limit = size + 1 if asked.item_type == "RUN" else 0
        items = _read(store, queue_id, _item, status=state, limit=limit, offset=asked.cursor)
        after = str(asked.cursor + size) if len(items) > size else None
        return answer({"items": items[:size], "next_cursor": after})

    @router.post("")
    def add_items(queue_id: Id, body: Json) -> Response:
        ids = [item.run_id for item in validated(_NewItems, body).items]
        made = _add(queues, queue_id, ids)
        return answer({"items": [each | {"item_type": "RUN"} for each in made]})

    @router.get("/count")
    def count_items(queue_id: Id, asked: Annotated[_CountQuery, Query()]) -> Response:
        return answer({"count": queues.size(queue_id, _ITEM_STATES[asked.status])})

    @router.patch("/{item_id}")
    def review_item(queue_id: Id, item_id: Id, body: Json) -> Response:
        queues.review(queue_id, item_id, validated(_Review, body).last_reviewed_time)
        return answer({"id": item_id, "run_id": item_id, "queue_id": queue_id})

    @router.post("/delete")
    def remove_items(queue_id: Id, body: Json) -> Response:
        _remove(store, queue_id, validated(_RemovedItems, body).item_ids)
        return answer({"message": "Items removed"})

    return router


def _read(
    store: RunStore,
    queue_id: str,
    form: Callable[[RunStore, dict[str, Any]], dict[str, Any]],
    *,
    status: str | None,
    limit: int,
    offset: int,
) -> list[dict[str, Any]]:
    # Together, so that no run goes between the two.
    with store.together():
        found = store.queues.runs(queue_id, status=status, limit=limit, offset=offset)
        return [form(store, queued) for queued in found]


def _add(queues: Queues, queue_id: str, run_ids: list[str]) -> list[dict[str, Any]]:
    queues.add(queue_id, run_ids)
    # A run is in a queue once, so that its own id names its place there.
    return [{"id": run_id, "run_id": run_id, "queue_id": queue_id} for run_id in run_ids]


def _remove(store: RunStore, queue_id: str, run_ids: list[str]) -> None:
    with store.together():
        for run_id in run_ids:
            store.queues.remove(queue_id, run_id)


def _run(store: RunStore, queued: dict[str, Any]) -> dict[str, Any]:
    return {
        **v1_run(store.runs.get(queued["run_id"])),
        "queue_run_id": queued["run_id"],
        "added_at": queued["added_at"],
        "last_reviewed_time": queued["last_reviewed_time"],
    }


def _item(store: RunStore, queued: dict[str, Any]) -> dict[str, Any]:
    run = store.runs.get(queued["run_id"]).row
    return {
        "id": queued["run_id"],
        "item_type": "RUN",
        "run_id": queued["run_id"],
        "queue_id": queued["queue_id"],
        "project_id": run["project_id"],
        "start_time": iso(run["start_time"]),
        "added_at": queued["added_at"],
        "effective_added_at": queued["added_at"],
        "last_reviewed_time": queued["last_reviewed_time"],
    }
