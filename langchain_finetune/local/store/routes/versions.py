"""Routes of a dataset's versions and splits, and of its downloads."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import orjson
from fastapi import APIRouter, Response
from fastapi.responses import StreamingResponse

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.store.example_formats import openai_line
from langchain_finetune.local.store.routes.shared import Json, PageRange, answer, known_only
from langchain_finetune.local.store.store import RunStore
from langchain_finetune.local.store.values import uuid_text

_BLOCK = 1 << 16
"""Bytes of a download that are sent at once."""


def create_versions_router(store: RunStore) -> APIRouter:
    """Return the routes behind `client.list_dataset_versions`, `list_dataset_splits` and kin."""
    router = APIRouter(prefix="/datasets/{dataset_id}")
    versions = store.versions

    def known(dataset_id: str) -> str:
        return str(store.datasets.get(uuid_text(dataset_id, "dataset_id") or "")["id"])

    @router.get("/versions", dependencies=[known_only("search", "limit", "offset")])
    def list_versions(dataset_id: str, page: PageRange, search: str | None = None) -> Response:
        found = versions.all(known(dataset_id), search=search, limit=page.limit, offset=page.offset)
        return answer(found)

    @router.get("/version", dependencies=[known_only("as_of", "tag")])
    def read_version(dataset_id: str, as_of: str | None = None, tag: str | None = None) -> Response:
        return answer(versions.get(known(dataset_id), as_of, tag))

    @router.get("/versions/diff", dependencies=[known_only("from_version", "to_version")])
    def compare(dataset_id: str, from_version: str, to_version: str) -> Response:
        return answer(versions.difference(known(dataset_id), from_version, to_version))

    @router.put("/tags")
    def tag_version(dataset_id: str, body: Json) -> Response:
        if not isinstance(body, dict):
            raise ApiError(400, 'The body must be {"as_of", "tag"}.')
        return answer(versions.tag(known(dataset_id), body.get("as_of"), body.get("tag")))

    @router.get("/splits")
    def list_splits(dataset_id: str, as_of: str | None = None) -> Response:
        return answer(store.examples.splits(known(dataset_id), as_of))

    @router.put("/splits")
    def change_split(dataset_id: str, body: Json) -> Response:
        split = body.get("split_name") if isinstance(body, dict) else None
        ids = body.get("examples") if isinstance(body, dict) else None
        if not isinstance(split, str) or not split or not isinstance(ids, list):
            raise ApiError(400, 'The body must be {"split_name", "examples", "remove"?}.')
        examples = [uuid_text(each, "examples") or "" for each in ids]
        remove = body.get("remove") is True
        store.examples.move(known(dataset_id), split, examples, remove=remove)
        return answer(store.examples.splits(known(dataset_id)))

    @router.get("/openai_ft", dependencies=[known_only("as_of")])
    def download_openai_lines(dataset_id: str, as_of: str | None = None) -> Response:
        return _download(store, known(dataset_id), as_of, _openai_line)

    @router.get("/jsonl", dependencies=[known_only("as_of")])
    def download_lines(dataset_id: str, as_of: str | None = None) -> Response:
        return _download(store, known(dataset_id), as_of, _line)

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
