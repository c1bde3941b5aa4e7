"""Routes of a dataset's examples."""

from typing import Any

from fastapi import APIRouter, Response

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.store.example_changes import (
    ExampleChange,
    example_change,
    examples_of_parts,
)
from langchain_finetune.local.store.examples import ExampleStore
from langchain_finetune.local.store.routes.shared import (
    Json,
    PageRange,
    SplitBody,
    Texts,
    answer,
    json_object,
    known_only,
)
from langchain_finetune.local.store.store import RunStore
from langchain_finetune.local.store.values import iso, uuid_text

_LISTED_BY = (
    *("dataset", "id", "as_of", "splits", "metadata", "filter", "limit", "offset"),
    # These ask for less of each example; it comes whole.
    *("inline_s3_urls", "select", "exclude_default_fields"),
)


def create_examples_router(store: RunStore) -> APIRouter:
    """Return the routes behind `client.create_examples`, `list_examples` and their kin."""
    router = APIRouter()
    examples = store.examples
    _add_uploads(router, examples)

    @router.get("/examples", dependencies=[known_only(*_LISTED_BY)])
    def list_examples(
        page: PageRange,
        *,
        dataset: str | None = None,
        id: Texts = None,  # noqa: A002 the API's name
        as_of: str | None = None,
        splits: Texts = None,
        metadata: str | None = None,
        filter: str | None = None,  # noqa: A002 the API's name
        select: Texts = None,
    ) -> Response:
        if dataset is None and not id:
            raise ApiError(400, "Either 'dataset' or 'id' must be given.")
        found = examples.all(
            dataset_id=uuid_text(dataset, "dataset"),
            ids=[uuid_text(each, "id") or "" for each in id or []],
            as_of=as_of,
            splits=splits or [],
            metadata=json_object(metadata, "metadata"),
            filter_text=filter,
            limit=page.limit,
            offset=page.offset,
            attachments="attachment_urls" in (select or []),
        )
        return answer(found)

    @router.delete("/examples", dependencies=[known_only("example_ids")])
    def delete_many(example_ids: Texts = None) -> Response:
        examples.delete([uuid_text(each, "example_ids") or "" for each in example_ids or []])
        return answer({"message": "ExampleStore deleted"})

    @router.get("/examples/{example_id}")
    def read(example_id: str, as_of: str | None = None) -> Response:
        return answer(examples.get(uuid_text(example_id, "example_id") or "", as_of))

    @router.patch("/examples/{example_id}")
    def update(example_id: str, body: Json) -> Response:
        examples.change([example_change(body, example_id=example_id)])
        return answer({"message": "1 example updated"})

    @router.post("/platform/datasets/examples/delete")
    def erase(body: Json) -> Response:
        ids = body.get("example_ids") if isinstance(body, dict) else None
        if not isinstance(ids, list):
            raise ApiError(400, "example_ids must be a list.", param="example_ids")
        gone = [uuid_text(each, "example_ids") or "" for each in ids]
        (examples.erase if body.get("hard_delete") else examples.delete)(gone)
        return answer({"message": "ExampleStore deleted"})

    @router.delete("/examples/{example_id}")
    def delete(example_id: str) -> Response:
        examples.delete([uuid_text(example_id, "example_id") or ""])
        return answer({"message": "Example deleted"})

    return router


def _add_uploads(router: APIRouter, examples: ExampleStore) -> None:
    @router.post("/platform/datasets/{dataset_id}/examples")
    def upload(dataset_id: str, parts: SplitBody) -> Response:
        changes = examples_of_parts(parts())
        time = examples.add(uuid_text(dataset_id, "dataset_id") or "", changes)
        return answer(_receipt(changes, time), 201)

    @router.patch("/platform/datasets/{dataset_id}/examples")
    def update_many(dataset_id: str, parts: SplitBody) -> Response:
        changes = examples_of_parts(parts())
        time = examples.change(changes, uuid_text(dataset_id, "dataset_id"))
        return answer(_receipt(changes, time))

    @router.post("/examples/bulk")
    def create_many(body: Json) -> Response:
        if not isinstance(body, list) or not body:
            raise ApiError(400, "The body must be a list of examples.")
        dataset_id, changes = _dataset_of(body[0]), [example_change(each) for each in body]
        if any(_dataset_of(each) != dataset_id for each in body):
            raise ApiError(400, "All examples must be of one dataset.", param="dataset_id")
        examples.add(dataset_id, changes)
        return answer([examples.get(change.id) for change in changes])

    @router.patch("/examples/bulk")
    def change_many(body: Json) -> Response:
        if not isinstance(body, list):
            raise ApiError(400, "The body must be a list of examples.")
        if not all(isinstance(each, dict) and each.get("id") for each in body):
            raise ApiError(400, "Each example needs its id.", param="id")
        examples.change([example_change(each) for each in body])
        return answer({"message": f"{len(body)} examples updated", "count": len(body)})

    @router.post("/examples")
    def create(body: Json) -> Response:
        change = example_change(body)
        examples.add(_dataset_of(body), [change])
        return answer(examples.get(change.id))


def _receipt(changes: list[ExampleChange], time: int) -> dict[str, Any]:
    ids = [change.id for change in changes]
    return {"example_ids": ids, "count": len(ids), "as_of": iso(time)}


def _dataset_of(body: Any) -> str:
    dataset_id = uuid_text(body.get("dataset_id"), "dataset_id") if isinstance(body, dict) else None
    if dataset_id is None:
        raise ApiError(400, "An example needs a dataset_id.", param="dataset_id")
    return dataset_id
