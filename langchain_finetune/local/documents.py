"""The engine's memory: files, jobs, events and models as JSON documents in one SQLite file.

Every change happens on the event loop's thread and holds no `await`, so two changes never
interleave: what a handler reads and then writes is one step.
"""

import logging
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.sqlite import Database, Where, all_of

logger = logging.getLogger(__name__)

_INDEXES: dict[str, str | None] = {
    "files": None,
    "uploads": None,
    "models": None,
    "jobs": "$.status",
    "events": "$.job",
    "checkpoints": "$.fine_tuning_job_id",
}
"""The tables, and the field of a document that each is often asked for."""

_MOST_FAULTS = 3
"""Faults of a record that the log tells."""

_ALIAS_INDEXES = {"aliases": None, "alias_changes": "$.alias"}


def _make_first_tables(connection: sqlite3.Connection) -> None:
    # Files of version 0.1.0 have them already, and no number of their version.
    _make_tables(connection, _INDEXES)


def _make_alias_tables(connection: sqlite3.Connection) -> None:
    _make_tables(connection, _ALIAS_INDEXES)


def _make_tables(connection: sqlite3.Connection, indexes: Mapping[str, str | None]) -> None:
    for name, field in indexes.items():
        connection.execute(
            f"CREATE TABLE IF NOT EXISTS {name} "
            "(seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, body TEXT NOT NULL)"
        )
        if field:
            connection.execute(
                f"CREATE INDEX IF NOT EXISTS {name}_index ON {name} (json_extract(body, '{field}'))"
            )


MIGRATIONS = (_make_first_tables, _make_alias_tables)
"""How `engine.sqlite` of each version becomes one of the next; only ever appended to."""


class Record(BaseModel):
    """A document with an id; `created_at` counts seconds since 1970."""

    id: str
    created_at: int


R = TypeVar("R", bound=Record)


@dataclass(frozen=True)
class Page(Generic[R]):
    """A part of a list, and whether more follows."""

    records: list[R]
    has_more: bool

    def body(self) -> dict[str, Any]:
        """Return the page in OpenAI's shape: `{object, data, has_more, first_id, last_id}`."""
        return {
            "object": "list",
            "data": [answer(record) for record in self.records],
            "has_more": self.has_more,
            "first_id": self.records[0].id if self.records else None,
            "last_id": self.records[-1].id if self.records else None,
        }


def answer(record: Record) -> dict[str, Any]:
    """Return the document as the API shows it: without the fields marked `private`."""
    hidden = {
        name
        for name, field in type(record).model_fields.items()
        if isinstance(field.json_schema_extra, dict) and field.json_schema_extra.get("private")
    }
    return record.model_dump(mode="json", exclude=hidden)


def open_records(path: Path) -> Database:
    """Open the file of the engine's records; created if missing.

    Raises:
        EngineError: As `Database`.
    """
    return Database(path, MIGRATIONS, name="engine's file")


class UnreadableRecordError(ApiError):
    """A document is damaged, or holds what this version does not know."""

    def __init__(self, record_id: str) -> None:
        message = f"The engine's record of {record_id} can't be read; its log says why."
        super().__init__(500, message, code="record_unreadable")


class Table(Generic[R]):
    """Documents of one kind in a table of the migrations, in the order in which they were made.

    Lists leave out documents that can't be read, and the log names them.

    Attributes:
        unreadable: The ids of those that were met so far.
    """

    def __init__(self, database: Database, name: str, model: type[R]) -> None:
        self._database = database
        self._name = name
        self._model = model
        self.unreadable: set[str] = set()

    def _read(self, record_id: str, body: str) -> R | None:
        try:
            return self._model.model_validate_json(body)
        except ValidationError as error:
            if record_id not in self.unreadable:
                self.unreadable.add(record_id)
                # Fields and rules alone: values, and keys in a field, may be users' data.
                faults = error.errors(include_input=False, include_url=False, include_context=False)
                places = ", ".join(
                    f"{each['loc'][0] if each['loc'] else 'all of it'} ({each['type']})"
                    for each in faults[:_MOST_FAULTS]
                )
                logger.warning(
                    "The record %s in the table %s of engine.sqlite can't be read, and is left"
                    " out: %s. Was it written by a newer version?",
                    record_id,
                    self._name,
                    places,
                )
            return None

    def put(self, record: R) -> None:
        """Add a document, or replace the one with its id, which keeps its place."""
        self._database.run(
            f"INSERT INTO {self._name} (id, body) VALUES (?, ?) "  # noqa: S608 a constant name
            "ON CONFLICT (id) DO UPDATE SET body = excluded.body",
            (record.id, record.model_dump_json()),
        )

    def get(self, record_id: str) -> R | None:
        """Return the document with this id, or None.

        Raises:
            UnreadableRecordError: It is there, but can't be read.
        """
        sql = f"SELECT body FROM {self._name} WHERE id = ?"  # noqa: S608 a constant name
        row = self._database.row(sql, (record_id,))
        if row is None:
            return None
        record = self._read(record_id, row["body"])
        if record is None:
            raise UnreadableRecordError(record_id)
        return record

    def has(self, record_id: str) -> bool:
        """Return whether there is a document with this id, readable or not."""
        sql = f"SELECT 1 FROM {self._name} WHERE id = ?"  # noqa: S608 a constant name
        return self._database.row(sql, (record_id,)) is not None

    def remove(self, record_id: str) -> None:
        """Delete the document."""
        sql = f"DELETE FROM {self._name} WHERE id = ?"  # noqa: S608 a constant name
        self._database.run(sql, (record_id,))

    def page(
        self,
        *,
        limit: int,
        after: str | None = None,
        where: Sequence[Where] = (),
        ascending: bool = False,
    ) -> Page[R]:
        """Return at most `limit` documents, newest first, that follow the one called `after`.

        Raises:
            ApiError: 400 where no document is called `after`.
        """
        conditions = list(where)
        if after is not None:
            sql = f"SELECT seq FROM {self._name} WHERE id = ?"  # noqa: S608 a constant name
            found = self._database.row(sql, (after,))
            if found is None:
                raise ApiError(400, "There is no record with the id `after`.", param="after")
            conditions.append(_beyond(found["seq"], ascending=ascending))
        records: list[R] = []
        while len(records) <= limit:
            condition = all_of(conditions)
            wanted = limit + 1 - len(records)
            rows = self._database.rows(
                f"SELECT seq, id, body FROM {self._name} WHERE {condition.sql} "  # noqa: S608 constants and "?"
                f"ORDER BY seq {'ASC' if ascending else 'DESC'} LIMIT ?",
                (*condition.values, wanted),
            )
            read = [self._read(row["id"], row["body"]) for row in rows]
            records += [record for record in read if record is not None]
            if len(rows) < wanted:
                break
            # More, in place of those that can't be read.
            conditions.append(_beyond(rows[-1]["seq"], ascending=ascending))
        return Page(records[:limit], has_more=len(records) > limit)

    def all(self, *where: Where) -> list[R]:
        """Return all documents that meet the conditions, oldest first."""
        return self.page(limit=2**31, where=where, ascending=True).records


def _beyond(seq: int, *, ascending: bool) -> Where:
    return Where("seq > ?" if ascending else "seq < ?", (seq,))
