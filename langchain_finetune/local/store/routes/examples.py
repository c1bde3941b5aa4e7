"""Routes of a dataset's examples."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import Field

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.store.bodies import Json, Metadata, SplitBody, answer
from langchain_finetune.local.store.example_changes import (
    ExampleChange,
    example_change,
    examples_of_parts,
)
from langchain_finetune.local.store.examples import ExampleStore
from langchain_finetune.local.store.store import RunStore
from langchain_finetune.local.store.values import (
    ClientBody,
    ClientQuery,
    Id,
    PageQuery,
    iso,
    validated,
)


class _ListedExamples(PageQuery):
    dataset_id: Id | None = Field(default=None, alias="dataset")
    ids: list[Id] = Field(default=[], alias="id")
    as_of: str | None = None
    splits: list[str] = Field(default=[])
    metadata: Metadata = None
    filter_text: str | None = Field(default=None, alias="filter")
    # These ask for less of each example; it comes whole.
    select: list[str] = Field(default=[], exclude=True)
    inline_s3_urls: Any = Field(default=None, exclude=True)
    exclude_default_fields: Any = Field(default=None, exclude=True)


class _DeletedExamples(ClientQuery):
    example_ids: list[Id] = Field(default=[])


class _ErasedExamples(ClientBody):
    example_ids: list[Id]
    hard_delete: bool = False


class _Belonging(ClientBody):
    dataset_id: Id


class _Known(ClientBody):
    id: Id


def create_examples_router(store: RunStore) -> APIRouter:
    """Return the routes behind `client.create_examples`, `list_examples` and their kin."""
    router = APIRouter()
    examples = store.examples
    _add_uploads(router, examples)

    @router.get("/examples")
    def list_examples(asked: Annotated[_ListedExamples, Query()]) -> Response:
        if asked.dataset_id is None and not asked.ids:
            raise ApiError(400, "Either 'dataset' or 'id' must be given.")
        conditions = vars(asked).copy()
        for name in ("select", "inline_s3_urls", "exclude_default_fields"):
            del conditions[name]
        return answer(examples.all(attachments="attachment_urls" in asked.select, **conditions))

    @router.delete("/examples")
    def delete_many(asked: Annotated[_DeletedExamples, Query()]) -> Response:
        examples.delete(asked.example_ids)
        return answer({"message": "Examples deleted"})

    @router.get("/examples/{example_id}")
    def read(example_id: Id, as_of: str | None = None) -> Response:
        return answer(examples.get(example_id, as_of))

    @router.patch("/examples/{example_id}")
    def update(example_id: Id, body: Json) -> Response:
        if not isinstance(body, dict):
            raise ApiError(400, "An example must be a JSON object.")
        examples.change([example_change(body | {"id": example_id})])
        return answer({"message": "1 example updated"})

    @router.post("/platform/datasets/examples/delete")
    def erase(body: Json) -> Response:
        asked = validated(_ErasedExamples, body)
        (examples.erase if asked.hard_delete else examples.delete)(asked.example_ids)
        return answer({"message": "Examples deleted"})

    @router.delete("/examples/{example_id}")
    def delete(example_id: Id) -> Response:
        examples.delete([example_id])
        return answer({"message": "Example deleted"})

    return router


def _add_uploads(router: APIRouter, examples: ExampleStore) -> None:
    @router.post("/platform/datasets/{dataset_id}/examples")
    def upload(dataset_id: Id, parts: SplitBody) -> Response:
        changes = examples_of_parts(parts())
        return answer(_receipt(changes, examples.add(dataset_id, changes)), 201)

    @router.patch("/platform/datasets/{dataset_id}/examples")
    def update_many(dataset_id: Id, parts: SplitBody) -> Response:
        changes = examples_of_parts(parts())
        return answer(_receipt(changes, examples.change(changes, dataset_id)))

    @router.post("/examples/bulk")
    def create_many(body: Json) -> Response:
        if not isinstance(body, list) or not body:
            raise ApiError(400, "The body must be a list of examples.")
        changes = [example_change(each) for each in body]
        datasets = {validated(_Belonging, each).dataset_id for each in body}
        if len(datasets) > 1:
            raise ApiError(400, "All examples must be of one dataset.", param="dataset_id")
        examples.add(datasets.pop(), changes)
        return answer([examples.get(change.id) for change in changes])

    @router.patch("/examples/bulk")
    def change_many(body: Json) -> Response:
        if not isinstance(body, list):
            raise ApiError(400, "The body must be a list of examples.")
        for each in body:
            validated(_Known, each)
        examples.change([example_change(each) for each in body])
        return answer({"message": f"{len(body)} examples updated", "count": len(body)})

    @router.post("/examples")
    def create(body: Json) -> Response:
        change = example_change(body)
        examples.add(validated(_Belonging, body).dataset_id, [change])
        return answer(examples.get(change.id))


def _receipt(changes: list[ExampleChange], time: int) -> dict[str, Any]:
    ids = [change.id for change in changes]
    return {"example_ids": ids, "count": len(ids), "as_of": iso(time)}
