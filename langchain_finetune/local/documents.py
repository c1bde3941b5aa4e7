"""The engine's memory: files, jobs, events and models as JSON documents in one SQLite file.

Every change happens on the event loop's thread and holds no `await`, so two changes never
interleave: what a handler reads and then writes is one step.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from langchain_finetune.errors import EngineError
from langchain_finetune.local.api_error import ApiError


class Record(BaseModel):
    """A document with an id; `created_at` counts seconds since 1970."""

    id: str
    created_at: int


R = TypeVar("R", bound=Record)


@dataclass(frozen=True)
class Where:
    """A condition on documents: SQL over `body`, and the values of its question marks."""

    sql: str
    values: tuple[Any, ...] = ()


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


class Database:
    """The SQLite file that all tables share.

    Args:
        path: Where it lies; it is made where there is none.

    Raises:
        EngineError: The file is damaged, no database, or can't be written.
    """

    def __init__(self, path: Path) -> None:
        try:
            # The chat service asks for a model's folder from a thread; SQLite itself serialises.
            self.connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            try:
                self.connection.execute("PRAGMA journal_mode = WAL")
                self.connection.execute("PRAGMA synchronous = NORMAL")
            except sqlite3.Error:
                self.connection.close()
                raise
        except sqlite3.Error as error:
            raise EngineError(
                f"The engine's file {path} can't be opened ({error}): fix it, or choose another"
                " home."
            ) from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make the changes inside happen together or not at all; one inside another is one."""
        if self.connection.in_transaction:
            yield
            return
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.connection.execute("COMMIT")
        except BaseException:
            # After a failed commit, too: what follows would never be committed.
            self._roll_back()
            raise

    def _roll_back(self) -> None:
        # A full disk has SQLite roll back by itself.
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")

    def close(self) -> None:
        """Close the file."""
        self.connection.close()


class Table(Generic[R]):
    """Documents of one kind, in the order of their making.

    Args:
        database: Where they are kept.
        name: Name of the table, a constant of this package.
        model: What a document is.
        index: SQL expression over `body` that is often asked for.
    """

    def __init__(
        self, database: Database, name: str, model: type[R], *, index: str | None = None
    ) -> None:
        self._run = database.connection.execute
        self._name = name
        self._model = model
        self._run(
            f"CREATE TABLE IF NOT EXISTS {name} "
            "(seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, body TEXT NOT NULL)"
        )
        if index:
            self._run(f"CREATE INDEX IF NOT EXISTS {name}_index ON {name} ({index})")

    def put(self, record: R) -> None:
        """Add a document, or replace the one with its id."""
        self._run(
            f"INSERT INTO {self._name} (id, body) VALUES (?, ?) "  # noqa: S608 a constant name
            "ON CONFLICT (id) DO UPDATE SET body = excluded.body",
            (record.id, record.model_dump_json()),
        )

    def get(self, record_id: str) -> R | None:
        """Return the document with this id, or None."""
        row = self._run(
            f"SELECT body FROM {self._name} WHERE id = ?",  # noqa: S608 a constant name
            (record_id,),
        ).fetchone()
        return self._model.model_validate_json(row[0]) if row else None

    def remove(self, record_id: str) -> None:
        """Forget the document."""
        self._run(
            f"DELETE FROM {self._name} WHERE id = ?",  # noqa: S608 a constant name
            (record_id,),
        )

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
        clauses = list(where)
        if after is not None:
            seq = self._run(
                f"SELECT seq FROM {self._name} WHERE id = ?",  # noqa: S608 a constant name
                (after,),
            ).fetchone()
            if seq is None:
                raise ApiError(400, "Nothing has the id given as after.", param="after")
            clauses.append(Where("seq > ?" if ascending else "seq < ?", seq))
        condition = " AND ".join(f"({clause.sql})" for clause in clauses) or "1"
        rows = self._run(
            f"SELECT body FROM {self._name} WHERE {condition} "  # noqa: S608 constants and "?"
            f"ORDER BY seq {'ASC' if ascending else 'DESC'} LIMIT ?",
            (*(value for clause in clauses for value in clause.values), limit + 1),
        ).fetchall()
        records = [self._model.model_validate_json(row[0]) for row in rows[:limit]]
        return Page(records, has_more=len(rows) > limit)

    def all(self, *where: Where) -> list[R]:
        """Return all documents that meet the conditions, oldest first."""
        return self.page(limit=2**31, where=where, ascending=True).records
