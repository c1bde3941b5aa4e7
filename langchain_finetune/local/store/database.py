"""The SQLite file behind the run store, and its tables."""

import math
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.store.sql_functions import add_functions

MAX_SEARCH_S = 60
"""How long a query may take; all others wait meanwhile."""

_STEPS = 10_000
"""Steps of SQLite's machine between two looks at the clock."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS projects (
    id TEXT PRIMARY KEY, name TEXT UNIQUE NOT NULL, start_time INTEGER NOT NULL,
    description TEXT, extra TEXT, reference_dataset_id TEXT
);
CREATE TABLE IF NOT EXISTS runs (
    id TEXT PRIMARY KEY, project_id TEXT, trace_id TEXT, parent_run_id TEXT, dotted_order TEXT,
    name TEXT, run_type TEXT, start_time INTEGER, end_time INTEGER, error TEXT,
    tags TEXT, reference_example_id TEXT, posted INTEGER NOT NULL,
    status TEXT, metadata TEXT, thread_id TEXT, first_token_time INTEGER,
    prompt_tokens INTEGER, completion_tokens INTEGER, total_tokens INTEGER,
    extra TEXT, events TEXT, serialized TEXT, inputs TEXT, outputs TEXT
);
CREATE INDEX IF NOT EXISTS runs_by_project ON runs (project_id, start_time, id);
CREATE INDEX IF NOT EXISTS runs_by_trace ON runs (trace_id, start_time, id);
CREATE INDEX IF NOT EXISTS runs_by_parent ON runs (parent_run_id);
CREATE TABLE IF NOT EXISTS feedback (
    id TEXT PRIMARY KEY, run_id TEXT, trace_id TEXT, key TEXT NOT NULL, score REAL, value TEXT,
    comment TEXT, source TEXT, created_at INTEGER NOT NULL, modified_at INTEGER NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS feedback_by_run ON feedback (run_id);
CREATE TABLE IF NOT EXISTS queues (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, description TEXT, created_at INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS queued_runs (
    queue_id TEXT NOT NULL, run_id TEXT NOT NULL, added_at INTEGER NOT NULL,
    PRIMARY KEY (queue_id, run_id)
);
CREATE TABLE IF NOT EXISTS datasets (
    id TEXT PRIMARY KEY, name TEXT UNIQUE NOT NULL, data_type TEXT NOT NULL,
    created_at INTEGER NOT NULL, modified_at INTEGER NOT NULL, metadata TEXT NOT NULL,
    body TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS comparisons (
    id TEXT PRIMARY KEY, dataset_id TEXT NOT NULL, created_at INTEGER NOT NULL, body TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS example_versions (
    version INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, dataset_id TEXT NOT NULL,
    place INTEGER NOT NULL, valid_from INTEGER NOT NULL, valid_to INTEGER,
    created_at INTEGER NOT NULL, source_run_id TEXT, metadata TEXT NOT NULL,
    inputs TEXT NOT NULL, outputs TEXT
);
CREATE INDEX IF NOT EXISTS examples_by_dataset ON example_versions (dataset_id, place, valid_from);
CREATE INDEX IF NOT EXISTS examples_by_id ON example_versions (id, valid_from);
"""
"""All times are microseconds since 1970; columns of JSON hold it as it was sent."""


class Database:
    """One connection that threads take turns at.

    Args:
        path: Where the file lies; it is made where there is none.
    """

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.row_factory = _as_dict
        add_functions(self._connection)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.executescript(SCHEMA)
        self._deadline = math.inf
        self._connection.set_progress_handler(self._is_late, _STEPS)
        self._lock = threading.RLock()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make the changes inside happen together or not at all, with no other thread between."""
        with self._lock:
            if self._connection.in_transaction:
                yield
                return
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """Return all rows of a query, by column."""
        with self._lock:
            return self._connection.execute(sql, values).fetchall()

    def search(self, sql: str, values: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """Return all rows of a query that a client made up, as `rows`.

        Raises:
            ApiError: 400 where it takes so long that others would wait for it.
        """
        with self._lock:
            self._deadline = time.monotonic() + MAX_SEARCH_S
            try:
                return self.rows(sql, values)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
                    raise
                raise ApiError(
                    400,
                    f"The query takes longer than {MAX_SEARCH_S} s: narrow it, such as by time.",
                    code="query_too_slow",
                ) from None
            finally:
                self._deadline = math.inf

    def _is_late(self) -> bool:
        return time.monotonic() > self._deadline

    def row(self, sql: str, values: Sequence[Any] = ()) -> dict[str, Any] | None:
        """Return the first row of a query, or None."""
        return next(iter(self.rows(sql, values)), None)

    def run(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Change something; return how many rows it touched."""
        with self._lock:
            return self._connection.execute(sql, values).rowcount

    def put(self, table: str, row: dict[str, Any]) -> None:
        """Add a row, or replace the one with its id.

        Args:
            table: Name of a table, a constant of this package.
            row: Values by column; the columns are constants of this package too.
        """
        columns = ", ".join(row)
        marks = ", ".join("?" * len(row))
        sql = f"INSERT OR REPLACE INTO {table} ({columns}) VALUES ({marks})"  # noqa: S608
        self.run(sql, tuple(row.values()))

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()


def _as_dict(cursor: sqlite3.Cursor, row: tuple[Any, ...]) -> dict[str, Any]:
    return {column[0]: value for column, value in zip(cursor.description, row, strict=True)}
