"""The engine's memory: files, jobs, events and models as JSON documents in one SQLite file.

Every change happens on the event loop's thread and holds no `await`, so two changes never
interleave: what a handler reads and then writes is one step.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.sqlite import Database, Where, all_of

_INDEXES: dict[str, str | None] = {
    "files": None,
    "uploads": None,
    "models": None,
    "jobs": "$.status",
    "events": "$.job",
    "checkpoints": "$.fine_tuning_job_id",
}
"""The tables, and the field of a document that each is often asked for."""

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


class Table(Generic[R]):
    """Documents of one kind in a table of the migrations, in the order in which they were made."""

    def __init__(self, database: Database, name: str, model: type[R]) -> None:
        self._database = database
        self._name = name
        self._model = model

    def put(self, record: R) -> None:
        """Add a document, or replace the one with its id, which keeps its place."""
        self._database.run(
            f"INSERT INTO {self._name} (id, body) VALUES (?, ?) "  # noqa: S608 a constant name
            "ON CONFLICT (id) DO UPDATE SET body = excluded.body",
            (record.id, record.model_dump_json()),
        )

    def get(self, record_id: str) -> R | None:
        """Return the document with this id, or None."""
        sql = f"SELECT body FROM {self._name} WHERE id = ?"  # noqa: S608 a constant name
        row = self._database.row(sql, (record_id,))
        return self._model.model_validate_json(row["body"]) if row else None

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
                raise ApiError(400, "Nothing has the id given as after.", param="after")
            conditions.append(Where("seq > ?" if ascending else "seq < ?", (found["seq"],)))
        condition = all_of(conditions)
        rows = self._database.rows(
            f"SELECT body FROM {self._name} WHERE {condition.sql} "  # noqa: S608 constants and "?"
            f"ORDER BY seq {'ASC' if ascending else 'DESC'} LIMIT ?",
            (*condition.values, limit + 1),
        )
        records = [self._model.model_validate_json(row["body"]) for row in rows[:limit]]
        return Page(records, has_more=len(rows) > limit)

    def all(self, *where: Where) -> list[R]:
        """Return all documents that meet the conditions, oldest first."""
        return self.page(limit=2**31, where=where, ascending=True).records
