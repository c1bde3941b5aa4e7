"""Routes of datasets, their versions, splits and downloads, and of comparisons on them."""

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import Field

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.store.bodies import Json, Metadata, SplitBody, answer
from langchain_finetune.local.store.example_formats import csv_upload, openai_line
from langchain_finetune.local.store.store import RunStore
from langchain_finetune.local.store.values import (
    ClientBody,
    ClientQuery,
    Id,
    Name,
    PageQuery,
    validated,
)

_BLOCK = 1 << 16
"""Bytes of a download that are sent at once."""


class _ListedDatasets(PageQuery):
    ids: list[Id] = Field(default=[], alias="id")
    name: str | None = None
    name_contains: str | None = None
    data_types: list[str] = Field(default=[], alias="data_type")
    metadata: Metadata = None


class _ListedVersions(PageQuery):
    search: str | None = None


class _OneVersion(ClientQuery):
    as_of: str | None = None
    tag: str | None = None


class _VersionQuery(ClientQuery):
    as_of: str | None = None


class _TwoVersions(ClientQuery):
    from_version: str
    to_version: str


class _NewTag(ClientBody):
    as_of: Any = None
    tag: Any = None


class _SplitChange(ClientBody):
    split_name: Name
    examples: list[Id]
    remove: bool = False


def create_datasets_router(store: RunStore) -> APIRouter:
    """Return the routes behind `client.create_dataset`, `read_dataset` and their kin."""
    router = APIRouter(prefix="/datasets")
    datasets = store.datasets

    @router.post("")
    def create_dataset(body: Json) -> Response:
        return answer(datasets.create(body))

    @router.post("/upload")
    def upload_csv(parts: SplitBody) -> Response:
        dataset, examples = csv_upload(parts())
        with store.together():
            made = datasets.create(dataset)
            store.examples.add(made["id"], examples)
        return answer(datasets.get(made["id"]))

    @router.get("")
    def list_datasets(asked: Annotated[_ListedDatasets, Query()]) -> Response:
        return answer(datasets.all(**vars(asked)))

    @router.get("/{dataset_id}")
    def read_dataset(dataset_id: Id) -> Response:
        return answer(datasets.get(dataset_id))

    @router.delete("/{dataset_id}")
    def delete_dataset(dataset_id: Id) -> Response:
        datasets.delete(dataset_id)
        return answer({"message": "Dataset deleted"})

    @router.post("/comparative")
    def compare_experiments(body: Json) -> Response:
        return answer(store.comparisons.create(body))

    @router.get("/{dataset_id}/comparative")
    def list_comparisons(dataset_id: Id, page: Annotated[PageQuery, Query()]) -> Response:
        found = datasets.get(dataset_id)
        return answer(store.comparisons.all(found["id"], **vars(page)))

    return router


def create_versions_router(store: RunStore) -> APIRouter:
    """Return the routes behind `client.list_dataset_versions`, `list_dataset_splits` and kin."""
    router = APIRouter(prefix="/datasets/{dataset_id}")
    versions = store.versions

    def known(dataset_id: Id) -> str:
        return str(store.datasets.get(dataset_id)["id"])

    @router.get("/versions")
    def list_versions(dataset_id: Id, asked: Annotated[_ListedVersions, Query()]) -> Response:
        return answer(versions.all(known(dataset_id), **vars(asked)))

    @router.get("/version")
    def read_version(dataset_id: Id, asked: Annotated[_OneVersion, Query()]) -> Response:
        return answer(versions.get(known(dataset_id), asked.as_of, asked.tag))

    @router.get("/versions/diff")
    def compare(dataset_id: Id, asked: Annotated[_TwoVersions, Query()]) -> Response:
        return answer(versions.difference(known(dataset_id), asked.from_version, asked.to_version))

    @router.put("/tags")
    def tag_version(dataset_id: Id, body: Json) -> Response:
        asked = validated(_NewTag, body)
        return answer(versions.tag(known(dataset_id), asked.as_of, asked.tag))

    @router.get("/splits")
    def list_splits(dataset_id: Id, as_of: str | None = None) -> Response:
        return answer(store.examples.splits(known(dataset_id), as_of))

    @router.put("/splits")
    def change_split(dataset_id: Id, body: Json) -> Response:
        asked = validated(_SplitChange, body)
        store.examples.move(
            known(dataset_id), asked.split_name, asked.examples, remove=asked.remove
        )
        return answer(store.examples.splits(known(dataset_id)))

    @router.get("/openai_ft")
    def download_openai_lines(dataset_id: Id, asked: Annotated[_VersionQuery, Query()]) -> Response:
        return _download(store, known(dataset_id), asked.as_of, _openai_line)

    @router.get("/jsonl")
    def download_lines(dataset_id: Id, asked: Annotated[_VersionQuery, Query()]) -> Response:
        return _download(store, known(dataset_id), asked.as_of, _line)

    return router


def _download(
    store: RunStore,
    dataset_id: str,
    as_of: str | None,
    line_of: Callable[[Mapping[str, Any]], bytes],
) -> Response:
    """Stream one version of a dataset as JSON lines."""
    # A version stays as it is, so that what was looked at is what is sent.
    version = store.versions.fixed(dataset_id, as_of)
    for row in store.examples.each(dataset_id, version):
        line_of(row)  # An error must come before the first line is on its way.

    def blocks() -> Iterator[bytes]:
        block = bytearray()
        for row in store.examples.each(dataset_id, version):
            block += line_of(row) + b"\n"
            if len(block) >= _BLOCK:
                yield bytes(block)
                block.clear()
        yield bytes(block)

    return StreamingResponse(blocks(), media_type="application/jsonl")


def _openai_line(row: Mapping[str, Any]) -> bytes:
    line = openai_line(orjson.loads(row["inputs"]), orjson.loads(row["outputs"] or "null"))
    if line is None:
        raise ApiError(400, f"Example {row['id']} holds no chat.", code="no_chat")
    return orjson.dumps(line)


def _line(row: Mapping[str, Any]) -> bytes:
    return orjson.dumps(
        {
            "id": row["id"],
            "inputs": orjson.Fragment(row["inputs"]),
            "outputs": orjson.Fragment(row["outputs"] or "null"),
            "metadata": orjson.Fragment(row["metadata"]),
        }
    )
