"""Routes of datasets."""

from fastapi import APIRouter, Response

from langchain_finetune.local.store.example_formats import csv_upload
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
from langchain_finetune.local.store.values import uuid_text

_LISTED_BY = ("id", "name", "name_contains", "data_type", "metadata", "limit", "offset")


def create_datasets_router(store: RunStore) -> APIRouter:
    """Return the routes behind `client.create_dataset`, `read_dataset` and their kin."""
    router = APIRouter()

    @router.post("/datasets")
    def create_dataset(body: Json) -> Response:
        return answer(store.datasets.create(body))

    @router.post("/datasets/upload")
    def upload_csv(parts: SplitBody) -> Response:
        dataset, examples = csv_upload(parts())
        with store.together():
            made = store.datasets.create(dataset)
            store.examples.add(made["id"], examples)
        return answer(store.datasets.get(made["id"]))

    @router.get("/datasets", dependencies=[known_only(*_LISTED_BY)])
    def list_datasets(
        page: PageRange,
        *,
        id: Texts = None,  # noqa: A002 the API's name
        name: str | None = None,
        name_contains: str | None = None,
        data_type: Texts = None,
        metadata: str | None = None,
    ) -> Response:
        found = store.datasets.all(
            ids=[uuid_text(each, "id") or "" for each in id or []],
            name=name,
            name_contains=name_contains,
            data_types=data_type or [],
            metadata=json_object(metadata, "metadata"),
            limit=page.limit,
            offset=page.offset,
        )
        return answer(found)

    @router.get("/datasets/{dataset_id}")
    def read_dataset(dataset_id: str) -> Response:
        return answer(store.datasets.get(uuid_text(dataset_id, "dataset_id") or ""))

    @router.delete("/datasets/{dataset_id}")
    def delete_dataset(dataset_id: str) -> Response:
        store.datasets.delete(uuid_text(dataset_id, "dataset_id") or "")
        return answer({"message": "Dataset deleted"})

    @router.post("/datasets/comparative")
    def compare_experiments(body: Json) -> Response:
        return answer(store.comparisons.create(body))

    @router.get("/datasets/{dataset_id}/comparative", dependencies=[known_only("limit", "offset")])
    def list_comparisons(dataset_id: str, page: PageRange) -> Response:
        found = store.datasets.get(uuid_text(dataset_id, "dataset_id") or "")
        return answer(store.comparisons.all(found["id"], limit=page.limit, offset=page.offset))

    return router
