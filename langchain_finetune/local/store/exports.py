"""Exports of runs to files in the engine's home, as LangSmith's bulk export lays them out."""

import logging
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

from pydantic import field_validator
from pydantic_core import PydanticCustomError

from langchain_finetune.durable import flush, flush_tree
from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.safe_logging import log_failure
from langchain_finetune.local.sqlite import Where, all_of
from langchain_finetune.local.sqlite_readers import EngineStopsError
from langchain_finetune.local.store.database import StoreDatabase
from langchain_finetune.local.store.export_rows import COLUMNS, Compression, Format, writer_of
from langchain_finetune.local.store.projects import ProjectStore
from langchain_finetune.local.store.resource import Resource
from langchain_finetune.local.store.run_queries import (
    RunSearch,
    after_run,
    cursor_after,
    run_filter,
)
from langchain_finetune.local.store.run_serialization import FoundRun
from langchain_finetune.local.store.runs import Runs
from langchain_finetune.local.store.values import (
    TENANT_ID,
    ClientQuery,
    ClientTime,
    Id,
    dumps,
    iso,
    micros,
    moment,
    new_uuid,
    now,
    validated,
)

logger = logging.getLogger(__name__)

DESTINATION_ID = str(uuid5(UUID(TENANT_ID), "exports"))
"""The one place where a local store exports to: a folder of its own."""


class _ExportRequest(ClientQuery):
    session_id: Id
    bulk_export_destination_id: Id = DESTINATION_ID
    start_time: ClientTime = 0
    # So that an export that is started again gives the same runs.
    end_time: ClientTime | None = None
    filter: str | None = None
    format: Format = "Parquet"
    format_version: str | None = None
    compression: Compression = "gzip"
    # What recurs is for a scheduler of the user's own.
    interval_hours: None = None
    export_fields: list[str] | None = None

    @field_validator("export_fields")
    @classmethod
    def _known(cls, fields: list[str] | None) -> list[str] | None:
        unknown = sorted(set(fields or ()).difference(COLUMNS))
        if unknown:
            names = {"names": ", ".join(unknown)}
            raise PydanticCustomError("fields", "unknown fields: {names}", names)
        return fields


def _export_record(body: Any) -> dict[str, Any]:
    """Read the body of `POST /bulk-exports`; return the export in the API's format."""
    asked = validated(_ExportRequest, body)
    if asked.bulk_export_destination_id != DESTINATION_ID:
        raise ApiError(404, f"This server exports to the destination {DESTINATION_ID} only.")
    if asked.format == "JSONL" and asked.compression == "snappy":
        raise ApiError(400, "JSON lines can't be compressed with snappy.", param="compression")
    if asked.filter:
        run_filter(asked.filter)
    time = now()
    return {
        "id": new_uuid(),
        "tenant_id": TENANT_ID,
        "status": "Created",
        "created_at": iso(time),
        "updated_at": iso(time),
        "finished_at": None,
        **asked.model_dump(),
        "start_time": iso(asked.start_time),
        "end_time": iso(time if asked.end_time is None else asked.end_time),
        "source_bulk_export_id": None,
        # These are this server's own.
        "folder": None,
        "exported_runs": 0,
        "error": None,
    }


def _condition(record: dict[str, Any]) -> Where:
    """Return the condition on `runs AS r` of what an export holds."""
    times = (micros(record["start_time"]), micros(record["end_time"]))
    conditions = [
        Where("r.project_id = ?", (record["session_id"],)),
        Where("r.start_time >= ? AND r.start_time < ?", times),
    ]
    if record["filter"]:
        conditions.append(run_filter(record["filter"]))
    return all_of(conditions)


_PAGE = 32
"""Runs in memory at once: one can hold megabytes."""

_UNFINISHED = ("Created", "Running")


class _EndedError(Exception):
    """The export was cancelled, or the store closes."""


class Exports(Resource):
    """All exports of a store. One is written at a time, in a thread of its own.

    A folder has its name once it is whole; what an engine left unfinished is started again.
    """

    table, noun, columns = "exports", "export", "body"

    def __init__(
        self, database: StoreDatabase, projects: ProjectStore, runs: Runs, folder: Path
    ) -> None:
        super().__init__(database)
        self._projects = projects
        self._runs = runs
        self.folder = folder
        self._ended = threading.Event()
        self._turn = threading.Lock()
        self._threads: list[threading.Thread] = []
        for record in reversed(self.all(limit=-1)):
            if record["status"] in _UNFINISHED:
                self._start(record["id"])

    def create(self, body: Any) -> dict[str, Any]:
        """Begin an export: `{session_id, start_time?, end_time?, filter?, format?, ...}`.

        Raises:
            ApiError: 400 where it is malformed, 404 for an unknown project, 507 where the disk
                is full.
        """
        record = _export_record(body)
        self._projects.get(record["session_id"])
        self._database.require_room()
        self._write(record)
        self._start(record["id"])
        return record

    def all(self, *, limit: int = 100, offset: int = 0) -> list[dict[str, Any]]:
        """Return exports, newest first."""
        return self._listed((), limit, offset)

    def cancel(self, export_id: str) -> dict[str, Any]:
        """End an export; one that has ended stays as it is."""
        with self._database.transaction():
            record = self.get(export_id)
            if record["status"] in _UNFINISHED:
                record = self._changed(export_id, status="Cancelled", finished_at=iso(now()))
        return record

    def stop(self) -> None:
        """Stop the threads; the next store restarts unfinished exports."""
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _start(self, export_id: str) -> None:
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        thread = threading.Thread(target=self._run, args=(export_id,), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _run(self, export_id: str) -> None:
        # Names that begin with a dot are passed over by those who read folders of data.
        part, whole = self.folder / f".{export_id}", self.folder / f"export_id={export_id}"
        try:
            with self._turn:
                self._require_going(export_id)
                self._changed(export_id, status="Running")
                for left in (part, whole):
                    shutil.rmtree(left, ignore_errors=True)
                part.mkdir(mode=0o700, parents=True)
                count = self._write_files(self.get(export_id), part)
                flush_tree(part)
                # Together, so that none is called cancelled whose files are there.
                with self._database.transaction():
                    self._require_going(export_id)
                    part.rename(whole)
                    flush(self.folder)
                    self._changed(
                        export_id,
                        status="Completed",
                        finished_at=iso(now()),
                        folder=str(whole),
                        exported_runs=count,
                    )
        except (_EndedError, EngineStopsError):
            shutil.rmtree(part, ignore_errors=True)
        except (ApiError, OSError, ValueError, sqlite3.Error) as error:
            log_failure(logger, "An export", error)
            # Files are gone before the failure shows.
            shutil.rmtree(part, ignore_errors=True)
            # Other messages can quote what was traced.
            why = error.message if isinstance(error, ApiError) else type(error).__name__
            if isinstance(error, OSError) and error.strerror:
                why = error.strerror
            self._changed(export_id, status="Failed", finished_at=iso(now()), error=why)

    def _write_files(self, record: dict[str, Any], part: Path) -> int:
        root = part / f"tenant_id={TENANT_ID}" / f"session_id={record['session_id']}" / "runs"
        columns = record["export_fields"] or COLUMNS
        count = 0
        for day, runs in groupby(self._runs_of(record), key=_day):
            folder = root / day
            folder.mkdir(parents=True)
            with writer_of(folder, record["format"], record["compression"], columns) as write:
                for found in runs:
                    write(found)
                    count += 1
        return count

    def _runs_of(self, record: dict[str, Any]) -> Iterator[FoundRun]:
        """Yield the runs of an export, oldest first, a page in memory at a time."""
        cursor = None
        while True:
            self._require_going(record["id"])
            self._database.require_room()
            where = all_of([_condition(record), *after_run(cursor, ascending=True)])
            page = self._runs.find(RunSearch(where, None, _PAGE, ascending=True))
            yield from page.runs
            if not page.has_more:
                return
            cursor = cursor_after(page.runs[-1].row)

    def _require_going(self, export_id: str) -> None:
        if self._ended.is_set() or self.get(export_id)["status"] == "Cancelled":
            raise _EndedError

    def _changed(self, export_id: str, **changes: Any) -> dict[str, Any]:
        with self._database.transaction():
            record = self.get(export_id) | changes | {"updated_at": iso(now())}
            self._write(record)
        return record

    def _write(self, record: dict[str, Any]) -> None:
        created = micros(record["created_at"])
        row = {"id": record["id"], "created_at": created, "body": dumps(record, "export")}
        self._database.put("exports", row)


def _day(found: FoundRun) -> str:
    time = moment(found.row["start_time"])
    return f"year={time.year:04}/month={time.month:02}/day={time.day:02}"
