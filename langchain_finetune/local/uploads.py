"""Files that are uploaded in parts, for OpenAI's Uploads API."""

import asyncio
import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Literal

from pydantic import Field

from langchain_finetune.durable import flush
from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.documents import Record, Table, UnreadableRecordError
from langchain_finetune.local.files import FileRecord, Files, copy_to, require_lines
from langchain_finetune.local.identifiers import new_id, now
from langchain_finetune.local.sqlite import Database, Where

MAX_PART_BYTES = 64 * 2**20
"""Largest part (OpenAI's API reference, "Add upload part")."""

MAX_UPLOAD_BYTES = 8 * 2**30
"""Largest file that is uploaded in parts (OpenAI's API reference, "Create upload")."""

LIFETIME_S = 3600
"""Time after which an upload expires (OpenAI's API reference, "Create upload")."""

_PENDING = Where("json_extract(body, '$.status') = 'pending'")


class UploadRecord(Record):
    """An upload, with the fields of OpenAI's `Upload` object."""

    object: Literal["upload"] = "upload"
    bytes: int
    filename: str
    purpose: Literal["fine-tune"] = "fine-tune"
    mime_type: str = Field(json_schema_extra={"private": True})
    status: Literal["pending", "completed", "cancelled", "expired"] = "pending"
    expires_at: int
    file: FileRecord | None = None


class PartRecord(Record):
    """A part of a file, with the fields of OpenAI's `UploadPart` object."""

    object: Literal["upload.part"] = "upload.part"
    upload_id: str


class Uploads:
    """Uploads in parts; `files` receives the completed ones."""

    def __init__(self, database: Database, folder: Path, files: Files) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        self._folder = folder
        self._files = files
        self._transaction = database.transaction
        self._table = Table(database, "uploads", UploadRecord)
        self._completing: set[str] = set()

    def sweep(self) -> None:
        """Remove leftovers of an engine that was killed, except parts that it acknowledged."""
        for folder in self._folder.glob("upload-*"):
            try:
                upload = self._table.get(folder.name)
            except UnreadableRecordError:
                continue
            if upload and upload.status == "pending":
                for fresh in folder.glob("*.new"):
                    fresh.unlink()
            elif upload or not any(folder.iterdir()):
                shutil.rmtree(folder, ignore_errors=True)

    def create(self, *, filename: str, size: int, mime_type: str) -> UploadRecord:
        """Create an upload, and remove those that have expired."""
        for stale in self._table.all(_PENDING):
            self._expire(stale)
        upload = UploadRecord(
            id=new_id("upload"),
            created_at=now(),
            bytes=size,
            filename=filename,
            mime_type=mime_type,
            expires_at=now() + LIFETIME_S,
        )
        (self._folder / upload.id).mkdir(mode=0o700)
        flush(self._folder)
        self._table.put(upload)
        return upload

    async def add_part(self, upload_id: str, source: IO[bytes]) -> PartRecord:
        """Store a part.

        Raises:
            ApiError: 404 if the upload does not exist; 400 if it is not pending, or the part is
                empty or too large.
        """
        self._pending(upload_id)
        part = PartRecord(id=new_id("part"), created_at=now(), upload_id=upload_id)
        folder = self._folder / upload_id
        fresh = folder / f"{part.id}.new"
        try:
            await asyncio.to_thread(copy_to, source, fresh)
            size = fresh.stat().st_size
            if not 0 < size <= MAX_PART_BYTES:
                raise ApiError(400, f"A part must have 1 to {MAX_PART_BYTES} bytes.", param="data")
            fresh.replace(folder / part.id)
            await asyncio.to_thread(flush, folder)
        except FileNotFoundError:
            # The upload was cancelled in the meantime.
            self._pending(upload_id)
            raise
        finally:
            fresh.unlink(missing_ok=True)
        return part

    async def complete(
        self, upload_id: str, part_ids: Sequence[str], md5: str | None
    ) -> UploadRecord:
        """Concatenate the parts in the given order.

        Raises:
            ApiError: 404 if the upload does not exist; 400 if it is not pending, a part is
                missing, the size or checksum does not match, or the file is an array of JSON.
        """
        upload = self._pending(upload_id)
        folder = self._folder / upload_id
        known = {path.name for path in folder.iterdir()}
        for part_id in part_ids:
            if part_id not in known:
                raise ApiError(400, f"No such part: {part_id}", param="part_ids")
        paths = [folder / part_id for part_id in part_ids]
        size = sum(path.stat().st_size for path in paths)
        if size != upload.bytes:
            raise ApiError(
                400,
                f"The parts have {size} bytes in total, but the upload has {upload.bytes}.",
                param="part_ids",
            )
        with paths[0].open("rb") as first:
            require_lines(first.read(4096))
        self._completing.add(upload_id)
        try:
            whole = folder / "whole.new"
            checksum = await asyncio.to_thread(_join, paths, whole)
            if md5 is not None and md5.lower() != checksum:
                raise ApiError(400, "The MD5 checksum does not match.", param="md5")
            # In one transaction, or a crash in between could leave a file that no upload refers to.
            with self._transaction():
                upload.file = self._files.adopt(whole, upload.filename)
                upload.status = "completed"
                self._table.put(upload)
        finally:
            self._completing.discard(upload_id)
        self._files.settle(upload.file)
        shutil.rmtree(folder, ignore_errors=True)
        return upload

    def cancel(self, upload_id: str) -> UploadRecord:
        """Cancel an upload and delete its parts.

        Raises:
            ApiError: 404 if the upload does not exist; 400 if it is not pending.
        """
        return self._end(self._pending(upload_id), "cancelled")

    def _pending(self, upload_id: str) -> UploadRecord:
        upload = self._table.get(upload_id)
        if upload is None:
            raise ApiError(404, f"No such Upload object: {upload_id}", param="upload_id")
        self._expire(upload)
        if upload.status != "pending" or upload_id in self._completing:
            state = upload.status if upload.status != "pending" else "being completed"
            raise ApiError(400, f"The upload is {state}.", param="upload_id")
        return upload

    def _expire(self, upload: UploadRecord) -> None:
        late = upload.status == "pending" and upload.expires_at <= now()
        if late and upload.id not in self._completing:
            self._end(upload, "expired")

    def _end(self, upload: UploadRecord, status: Literal["cancelled", "expired"]) -> UploadRecord:
        upload.status = status
        self._table.put(upload)
        shutil.rmtree(self._folder / upload.id, ignore_errors=True)
        return upload


def _join(paths: Sequence[Path], target: Path) -> str:
    """Concatenate files, and return the MD5 checksum of the result."""
    checksum = hashlib.md5(usedforsecurity=False)
    with target.open("wb") as out:
        for path in paths:
            with path.open("rb") as part:
                while chunk := part.read(2**20):
                    checksum.update(chunk)
                    out.write(chunk)
    flush(target)
    return checksum.hexdigest()
