"""Exports of runs to files in the engine's home, as LangSmith's bulk export lays them out."""

import datetime as dt
import logging
import shutil
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4, uuid5

import orjson
from pydantic import BaseModel, ConfigDict

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.safe_logging import log_broken
from langchain_finetune.local.sqlite import Database, EngineStopsError, Where, all_of
from langchain_finetune.local.store.export_rows import COLUMNS, Compression, Format, writer_of
from langchain_finetune.local.store.filter_parser import parse_filter
from langchain_finetune.local.store.filter_schema import RUN_FILTERS
from langchain_finetune.local.store.filter_sql import filter_condition
from langchain_finetune.local.store.projects import TENANT_ID, ProjectStore
from langchain_finetune.local.store.run_queries import (
    ClientTime,
    RunSearch,
    after_run,
    cursor_after,
    micros_of,
    validated,
)
from langchain_finetune.local.store.runs import FoundRun, Runs
from langchain_finetune.local.store.values import EPOCH, dumps, iso, micros, moment, now

DESTINATION_ID = str(uuid5(UUID(TENANT_ID), "exports"))
"""The one place where a local store exports to: a folder of its own."""


class _ExportRequest(BaseModel):
    """An unknown field is refused: dropped, something else would be exported."""

    model_config = ConfigDict(extra="forbid")

    session_id: UUID
    bulk_export_destination_id: UUID = UUID(DESTINATION_ID)
    start_time: ClientTime = EPOCH
    end_time: ClientTime | None = None
    filter: str | None = None
    format: Format = "Parquet"
    format_version: str | None = None
    compression: Compression = "gzip"
    export_fields: list[str] | None = None
    # What recurs is for a scheduler of the user's own.
    interval_hours: None = None


def export_record(body: Any) -> dict[str, Any]:
    """Read the body of `POST /bulk-exports`; return the export as the API tells it.

    Raises:
        ApiError: 400 where it is malformed, 404 for another destination.
    """
    asked = validated(_ExportRequest, body)
    if str(asked.bulk_export_destination_id) != DESTINATION_ID:
        raise ApiError(404, f"This server exports to the destination {DESTINATION_ID} only.")
    if asked.format == "JSONL" and asked.compression == "snappy":
        raise ApiError(400, "JSON lines can't be packed with snappy.", param="compression")
    unknown = set(asked.export_fields or ()).difference(COLUMNS)
    if unknown:
        raise ApiError(
            400, f"Unknown export_fields: {', '.join(sorted(unknown))}.", param="export_fields"
        )
    if asked.filter:
        filter_condition(parse_filter(asked.filter), RUN_FILTERS, "r")
    time = iso(now())
    return {
        "id": str(uuid4()),
        "tenant_id": TENANT_ID,
        "bulk_export_destination_id": DESTINATION_ID,
        "session_id": str(asked.session_id),
        "status": "Created",
        "created_at": time,
        "updated_at": time,
        "finished_at": None,
        # So that an export that is begun anew gives the same runs.
        "start_time": iso(micros_of(asked.start_time)),
        "end_time": iso(micros_of(asked.end_time) if asked.end_time else now()),
        "filter": asked.filter,
        "format": asked.format,
        "format_version": asked.format_version,
        "compression": asked.compression,
        "interval_hours": None,
        "export_fields": asked.export_fields,
        "source_bulk_export_id": None,
        # These are this server's own.
        "folder": None,
        "exported_runs": 0,
        "error": None,
    }


def export_condition(record: Mapping[str, Any]) -> Where:
    """Return the condition on `runs AS r` of what an export holds."""
    times = [
        micros_of(dt.datetime.fromisoformat(record[name])) for name in ("start_time", "end_time")
    ]
    conditions = [
        Where("r.project_id = ?", (record["session_id"],)),
        Where("r.start_time >= ? AND r.start_time < ?", tuple(times)),
    ]
    if record["filter"]:
        conditions.append(filter_condition(parse_filter(record["filter"]), RUN_FILTERS, "r"))
    return all_of(conditions)


logger = logging.getLogger(__name__)

_PAGE = 32
"""Runs in memory at once: one can hold megabytes."""

_UNFINISHED = ("Created", "Running")


class _EndedError(Exception):
    """The export was cancelled, or the store closes."""


class Exports:
    """All exports of a store. One is written at a time, in a thread of its own.

    A folder has its name once it is whole; what an engine left unfinished is begun anew.

    Args:
        database: Where they are noted.
        projects: Whose runs are exported.
        runs: The runs.
        folder: Where the files go; it is made with the first export.
    """

    def __init__(
        self, database: Database, projects: ProjectStore, runs: Runs, folder: Path
    ) -> None:
        self._database = database
        self._projects = projects
        self._runs = runs
        self.folder = folder
        self._ended = threading.Event()
        self._turn = threading.Lock()
        self._threads: list[threading.Thread] = []
        for record in self._unfinished():
            self._start(record["id"])

    def create(self, body: Any) -> dict[str, Any]:
        """Begin an export: `{session_id, start_time?, end_time?, filter?, format?, ...}`.

        Raises:
            ApiError: 400 where it is malformed, 404 for an unknown project, 507 where the disk
                is full.
        """
        record = export_record(body)
        self._projects.get(record["session_id"])
        self._database.require_room()
        self._write(record)
        self._start(record["id"])
        return record

    def get(self, export_id: str) -> dict[str, Any]:
        """Return one export.

        Raises:
            ApiError: 404 where there is none.
        """
        row = self._database.row("SELECT body FROM exports WHERE id = ?", (export_id,))
        if row is None:
            raise ApiError(404, f"There is no export {export_id}.", code="export_not_found")
        return dict(orjson.loads(row["body"]))

    def all(self, *, limit: int = 100, offset: int = 0) -> list[dict[str, Any]]:
        """Return exports, newest first."""
        sql = "SELECT body FROM exports ORDER BY created_at DESC, id LIMIT ? OFFSET ?"
        return [orjson.loads(row["body"]) for row in self._database.rows(sql, (limit, offset))]

    def cancel(self, export_id: str) -> dict[str, Any]:
        """End an export; one that has ended stays as it is.

        Raises:
            ApiError: 404 where there is none.
        """
        with self._database.transaction():
            record = self.get(export_id)
            if record["status"] in _UNFINISHED:
                record = self._changed(export_id, status="Cancelled", finished_at=iso(now()))
        return record

    def stop(self) -> None:
        """End the threads; what is unfinished is begun anew by the next store."""
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _unfinished(self) -> list[dict[str, Any]]:
        sql = "SELECT body FROM exports ORDER BY created_at"
        found = [orjson.loads(row["body"]) for row in self._database.rows(sql)]
        return [record for record in found if record["status"] in _UNFINISHED]

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
                # Together, so that none is called cancelled whose files are there.
                with self._database.transaction():
                    self._require_going(export_id)
                    part.rename(whole)
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
            log_broken(logger, "An export", error)
            # Who sees that it failed finds no files any more.
            shutil.rmtree(part, ignore_errors=True)
            self._fail(export_id, error)

    def _write_files(self, record: dict[str, Any], part: Path) -> int:
        root = part / f"tenant_id={TENANT_ID}" / f"session_id={record['session_id']}" / "runs"
        columns = record["export_fields"] or COLUMNS
        count = 0
        for day, runs in groupby(self._runs_of(record), key=_day):
            folder = root / day
            folder.mkdir(parents=True)
            with writer_of(folder, record["format"], record["compression"], columns) as writer:
                for found in runs:
                    writer.write(found)
                    count += 1
        return count

    def _runs_of(self, record: dict[str, Any]) -> Iterator[FoundRun]:
        """Yield the runs of an export, oldest first, a page in memory at a time."""
        cursor = None
        while True:
            self._require_going(record["id"])
            self._database.require_room()
            where = all_of([export_condition(record), *after_run(cursor, ascending=True)])
            page = self._runs.find(RunSearch(where, None, _PAGE, ascending=True))
            yield from page.runs
            if not page.has_more:
                return
            cursor = cursor_after(page.runs[-1].row)

    def _require_going(self, export_id: str) -> None:
        if self._ended.is_set() or self.get(export_id)["status"] == "Cancelled":
            raise _EndedError

    def _fail(self, export_id: str, error: BaseException) -> None:
        # Only what is meant for people may be told: other messages can quote what was traced.
        why = error.message if isinstance(error, ApiError) else type(error).__name__
        if isinstance(error, OSError) and error.strerror:
            why = error.strerror
        self._changed(export_id, status="Failed", finished_at=iso(now()), error=why)

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
