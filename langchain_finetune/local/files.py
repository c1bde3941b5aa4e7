"""Training files and result files, stored in a folder by their ids.

A file is named `ID.new` until its record is written, and again before its record is deleted, so
that files without a record are recognized after a crash. It is on the disk before its record is.
"""

import asyncio
import shutil
from contextlib import suppress
from pathlib import Path
from typing import IO, Literal

from langchain_finetune.durable import flush
from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.documents import Page, Record, Table
from langchain_finetune.local.identifiers import new_id, now
from langchain_finetune.local.sqlite import Database, Where

MAX_FILE_BYTES = 512 * 1024 * 1024
"""Largest file (OpenAI's API reference, "Upload file")."""

_MAX_NAME = 255
_BEFORE = b"\xef\xbb\xbf \t\r\n"
_BEGINNING = 4096
"""Bytes in which JSON begins, unless somebody hides it."""


class FileRecord(Record):
    """A file, with the fields of OpenAI's `File` object."""

    object: Literal["file"] = "file"
    bytes: int
    filename: str
    purpose: Literal["fine-tune", "fine-tune-results"]
    status: Literal["processed", "error"] = "processed"


class Files:
    """The engine's files, in a folder that is created if missing."""

    def __init__(self, database: Database, folder: Path) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        self._folder = folder
        self._table = Table(database, "files", FileRecord)

    def sweep(self) -> None:
        """Complete what a killed engine has left, and find files whose content is damaged."""
        for fresh in self._folder.glob("file-*.new"):
            if self._table.has(fresh.stem):
                fresh.replace(self._folder / fresh.stem)
            else:
                fresh.unlink()
        sizes = {path.name: path.stat().st_size for path in self._folder.iterdir()}
        for record in self._table.all():
            is_whole = sizes.get(record.id) == record.bytes
            if is_whole != (record.status == "processed"):
                record.status = "processed" if is_whole else "error"
                self._table.put(record)

    async def upload(self, source: IO[bytes], filename: str) -> FileRecord:
        """Store a training file; the client's name of it is never used as a path.

        Raises:
            ApiError: 400 if it is empty, or an array of JSON.
        """
        require_lines(source.read(_BEGINNING))
        source.seek(0)
        file_id = new_id("file")
        fresh = self._fresh(file_id)
        try:
            await asyncio.to_thread(copy_to, source, fresh)
            if not fresh.stat().st_size:
                raise ApiError(400, "The file is empty.", param="file")
            record = self._record(file_id, filename, "fine-tune")
            self.settle(record)
            return record
        finally:
            fresh.unlink(missing_ok=True)

    def adopt(self, path: Path, filename: str) -> FileRecord:
        """Store a training file by moving it from the same disk; see `settle`."""
        file_id = new_id("file")
        path.replace(self._fresh(file_id))
        flush(self._folder)
        return self._record(file_id, filename, "fine-tune")

    def add_results(self, content: bytes, filename: str) -> FileRecord:
        """Store a result file of a job; see `settle`."""
        file_id = new_id("file")
        self._fresh(file_id).write_bytes(content)
        flush(self._fresh(file_id), self._folder)
        return self._record(file_id, filename, "fine-tune-results")

    def settle(self, record: FileRecord) -> None:
        """Rename a content to its final name, once its record is committed."""
        self._fresh(record.id).replace(self._folder / record.id)

    def _fresh(self, file_id: str) -> Path:
        return self._folder / f"{file_id}.new"

    def _record(
        self, file_id: str, filename: str, purpose: Literal["fine-tune", "fine-tune-results"]
    ) -> FileRecord:
        record = FileRecord(
            id=file_id,
            created_at=now(),
            bytes=self._fresh(file_id).stat().st_size,
            filename=filename[:_MAX_NAME],
            purpose=purpose,
        )
        self._table.put(record)
        return record

    def get(self, file_id: str) -> FileRecord:
        """Return a file's record.

        Raises:
            ApiError: 404 if it does not exist.
        """
        record = self._table.get(file_id)
        if record is None:
            raise ApiError(404, f"No such File object: {file_id}", param="id")
        return record

    def path(self, file_id: str) -> Path:
        """Return the path of a file's content.

        Raises:
            ApiError: 404 if the file does not exist, or its content is damaged.
        """
        record = self.get(file_id)
        if record.status == "error":
            raise ApiError(
                404,
                f"The content of {file_id} is damaged or gone, as after a loss of power: upload"
                " the file again.",
                code="file_damaged",
                param="id",
            )
        return self._folder / record.id

    def page(
        self, *, limit: int, after: str | None, purpose: str | None, ascending: bool
    ) -> Page[FileRecord]:
        """Return a page of the list of files."""
        where = [Where("json_extract(body, '$.purpose') = ?", (purpose,))] if purpose else []
        return self._table.page(limit=limit, after=after, where=where, ascending=ascending)

    def delete(self, file_id: str) -> None:
        """Delete a file.

        Raises:
            ApiError: 404 if it does not exist.
        """
        path, fresh = self._folder / self.get(file_id).id, self._fresh(file_id)
        with suppress(FileNotFoundError):
            path.replace(fresh)
            # Otherwise a loss of power could leave the content with its name and no record.
            flush(self._folder)
        self._table.remove(file_id)
        fresh.unlink(missing_ok=True)


def require_lines(beginning: bytes) -> None:
    """Refuse what begins like an array of JSON, before somebody has to read all of it.

    Raises:
        ApiError: 400.
    """
    if beginning.lstrip(_BEFORE).startswith(b"["):
        raise ApiError(
            400,
            "The file is an array of JSON. Training files are JSON lines: an example a line, with"
            " no brackets around and no commas between.",
            code="invalid_file_format",
            param="file",
        )


def copy_to(source: IO[bytes], target: Path) -> None:
    """Write what is left of a stream to a file, and that to the disk."""
    with target.open("wb") as out:
        shutil.copyfileobj(source, out)
    flush(target, target.parent)
