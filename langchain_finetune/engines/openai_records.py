"""What an account at OpenAI's API has: its objects as this package's records, lists, downloads.

Servers may omit fields. Sources: openai 3.52, `resources` and `types`.
"""

import asyncio
import base64
import binascii
import csv
import hashlib
import io
import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Self

from openai import AsyncOpenAI

from langchain_finetune.engines.jobs import (
    ApiRecord,
    DownloadedFile,
    JobCheckpoint,
    JobEvent,
    RecordKind,
    UploadedFile,
    figures_of,
)
from langchain_finetune.engines.openai_errors import GarbledError
from langchain_finetune.private_files import open_private
from langchain_finetune.tolerant_json import dumps

_UNUSABLE = frozenset({"error", "deleted"})

_PART = 2**18
"""Bytes of a file in memory at once."""


def event(one: Any) -> JobEvent:
    """Return an event of a job."""
    data = getattr(one, "data", None)
    return JobEvent(
        id=one.id,
        created_at=getattr(one, "created_at", None) or 0,
        level=getattr(one, "level", None) or "info",
        type=getattr(one, "type", None) or "message",
        message=getattr(one, "message", None) or "",
        data=data if isinstance(data, dict) else {},
    )


def checkpoint(one: Any) -> JobCheckpoint:
    """Return a checkpoint of a job."""
    figures = getattr(one, "metrics", None)
    metrics = figures.to_dict() if figures else {}
    return JobCheckpoint(
        id=one.id,
        step=one.step_number,
        model=getattr(one, "fine_tuned_model_checkpoint", None) or "",
        metrics={name: value for name, value in metrics.items() if value is not None},
    )


def uploaded_file(file: Any) -> UploadedFile:
    """Return an uploaded file."""
    return UploadedFile(
        id=str(file.id),
        name=getattr(file, "filename", None),
        size=getattr(file, "bytes", None),
        usable=getattr(file, "status", None) not in _UNUSABLE,
    )


def metrics_table(content: bytes) -> list[dict[str, float]]:
    """Read a result file: CSV, which only OpenAI encodes as base64."""
    with suppress(binascii.Error):
        content = base64.b64decode(content, validate=True)
    rows = csv.DictReader(io.StringIO(content.decode("utf-8", "replace")))
    return [figures_of(row) for row in rows]


def lister(kind: RecordKind, of: str | None, client: Any) -> Callable[..., Any]:
    """Return the SDK's method that lists a kind of objects, in its raw form."""
    jobs, completions = client.fine_tuning.jobs, client.chat.completions
    match kind:
        case "models":  # The only list without pages.
            return lambda timeout, **_: client.models.with_raw_response.list(timeout=timeout)
        case "jobs":
            return jobs.with_raw_response.list  # type: ignore[no-any-return]
        case "events":
            return partial(jobs.with_raw_response.list_events, of)
        case "checkpoints":
            return partial(jobs.checkpoints.with_raw_response.list, of)
        case "completions":
            return partial(completions.with_raw_response.list, model=of)
        case "messages":
            return partial(completions.messages.with_raw_response.list, of)


def record(one: Any) -> ApiRecord:
    """Return an object of the SDK with all fields that the server sent."""
    fields = json.loads(dumps(one.to_dict(warnings=False)))  # Without half characters and NaN.
    return ApiRecord(str(fields["id"]), fields)


def download(file_id: str, path: Path, timeout: float, client: Any) -> Any:
    """Write a file's content to a path, readable only by its owner, and onto the disk.

    With the async client, the result is awaitable. What was at the path is replaced; memory does
    not grow with the file.
    """
    answer = client.files.with_streaming_response.content(file_id, timeout=timeout)
    if isinstance(client, AsyncOpenAI):
        return _adownload(answer, path)
    with answer as response, _Target(path, response) as target:
        for part in response.iter_bytes(_PART):
            target.write(part)
    return target.written()


async def _adownload(answer: Any, path: Path) -> DownloadedFile:
    async with answer as response:
        target = _Target(path, response)
        await asyncio.to_thread(target.__enter__)
        try:
            async for part in response.iter_bytes(_PART):
                await asyncio.to_thread(target.write, part)
        finally:
            await asyncio.to_thread(target.__exit__, *sys.exc_info())
    return target.written()


class _Target:
    """A file that is being written, with its size and hash."""

    def __init__(self, path: Path, response: Any) -> None:
        if response.headers.get("content-type", "").startswith("text/html"):
            raise GarbledError("a page came instead of the file.")
        self._path = path
        self._hash = hashlib.sha256()
        self._size = 0

    def __enter__(self) -> Self:
        self._file = os.fdopen(open_private(self._path, new=True), "wb")
        return self

    def write(self, part: bytes) -> None:
        self._file.write(part)
        self._hash.update(part)
        self._size += len(part)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._file:
            if kind is None:
                self._file.flush()
                os.fsync(self._file.fileno())

    def written(self) -> DownloadedFile:
        return DownloadedFile(self._hash.hexdigest(), self._size)
