"""The SQLite file behind the run store, and its tables."""

import logging
import math
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from langchain_finetune.errors import EngineError
from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.store.schema import LATER_COLUMNS, SCHEMA
from langchain_finetune.local.store.sql import add_functions

logger = logging.getLogger(__name__)

MAX_SEARCH_S = 60
"""How long a query may take; all others wait meanwhile."""

MAX_PAGE_BYTES = 64 * 2**20
"""What the rows of a page hold, but for the last one: they are in memory several times."""

KEPT_FREE_BYTES = 100 * 2**20
"""What new runs leave free on the disk: jobs and the engine's own files need room too."""

_STEPS = 10_000
"""Steps of SQLite's machine between two looks at the clock."""

_INCREMENTAL = 2
_PAGES_AT_ONCE = 5000
"""Pages that go back to the disk in one go: others wait for it."""

_JOURNAL_BYTES = 64 * 2**20
_SIZES = ("page_count", "freelist_count", "page_size")


class EngineStopsError(ApiError):
    """A search was ended because the engine stops; LangSmith's client asks again."""

    def __init__(self) -> None:
        super().__init__(503, "The engine stops: ask again later.", code="engine_stops")


class Database:
    """One connection that threads take turns at.

    Args:
        path: Where the file lies; it is made where there is none.

    Raises:
        EngineError: The file is damaged, no database, or can't be written.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            try:
                self._connection.row_factory = _as_dict
                add_functions(self._connection)
                self._prepare()
            except sqlite3.Error:
                self._connection.close()
                raise
        except sqlite3.Error as error:
            raise EngineError(
                f"The run store {path} can't be opened ({error}): fix it, or move it away to"
                " begin with an empty one."
            ) from error
        self._deadline = math.inf
        self._ending = False
        self._connection.set_progress_handler(self._is_late, _STEPS)
        self._lock = threading.RLock()
        self._folder = path.parent

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make the changes inside happen together or not at all, with no other thread between."""
        with self._lock:
            if self._connection.in_transaction:
                yield
                return
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                yield
                self._connection.execute("COMMIT")
            except BaseException as error:
                self._roll_back()
                if _is_full(error):
                    raise _disk_full() from error
                raise

    def _roll_back(self) -> None:
        # A full disk has SQLite roll back by itself.
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """Return all rows of a query, by column."""
        with self._lock:
            return self._connection.execute(sql, values).fetchall()

    def search(self, sql: str, values: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """Return all rows of a query that a client made up, as `rows`.

        Raises:
            ApiError: 400 where it takes so long that others would wait for it.
            EngineStopsError: Nobody will wait for it.
        """
        with self._in_time():
            return self.rows(sql, values)

    def page(
        self, sql: str, values: Sequence[Any], limit: int
    ) -> tuple[list[dict[str, Any]], bool]:
        """Return the first rows of a search, and whether more follow.

        Args:
            sql: The query; its last question mark is that of `LIMIT`.
            values: Values of the other question marks.
            limit: At most so many rows. There are fewer where they hold `MAX_PAGE_BYTES`.

        Raises:
            ApiError: As `search`.
        """
        found: list[dict[str, Any]] = []
        size = 0
        with self._in_time(), closing(self._connection.cursor()) as cursor:
            for row in cursor.execute(sql, (*values, limit + 1)):
                if len(found) == limit or size > MAX_PAGE_BYTES:
                    return found, True
                found.append(row)
                size += sum(len(value) for value in row.values() if isinstance(value, str))
        return found, False

    @contextmanager
    def _in_time(self) -> Iterator[None]:
        with self._lock:
            self._deadline = time.monotonic() + MAX_SEARCH_S
            try:
                yield
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
                    raise
                if self._ending:
                    raise EngineStopsError from None
                raise ApiError(
                    400,
                    f"The query takes longer than {MAX_SEARCH_S} s: narrow it, such as by time.",
                    code="query_too_slow",
                ) from None
            finally:
                self._deadline = math.inf

    def _is_late(self) -> bool:
        if self._deadline == math.inf:
            return False
        return self._ending or time.monotonic() > self._deadline

    def end_searches(self) -> None:
        """End the search that runs, and those that follow, so that the file can be closed."""
        self._ending = True

    def row(self, sql: str, values: Sequence[Any] = ()) -> dict[str, Any] | None:
        """Return the first row of a query, or None."""
        return next(iter(self.rows(sql, values)), None)

    def run(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Change something; return how many rows it touched."""
        with self.transaction():
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

    def require_room(self) -> None:
        """Refuse what would grow the file where the disk is nearly full.

        Raises:
            ApiError: 507, so that clients report it instead of asking again.
        """
        if shutil.disk_usage(self._folder).free < KEPT_FREE_BYTES:
            raise _disk_full()

    def used_bytes(self) -> int:
        """Return how much of the file is in use; the rest waits for new data."""
        with self._lock:
            pages, free, size = (self._pragma(name) for name in _SIZES)
        return (pages - free) * size

    def give_back(self) -> None:
        """Give the disk what is no longer in use, so that the file gets smaller.

        Inside a transaction nothing happens: what is deleted there may yet come back.
        """
        with self._lock:
            free = self._pragma("freelist_count")
        for _ in range(0, free, _PAGES_AT_ONCE):
            with self._lock:
                if self._connection.in_transaction:
                    return
                # Each step gives one page back, and `execute` would make only one.
                self._connection.executescript(f"PRAGMA incremental_vacuum({_PAGES_AT_ONCE})")
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def _prepare(self) -> None:
        execute = self._connection.execute
        if self._pragma("auto_vacuum") != _INCREMENTAL:
            execute(f"PRAGMA auto_vacuum = {_INCREMENTAL}")
            self._write_anew()
        execute("PRAGMA journal_mode = WAL")
        execute("PRAGMA synchronous = NORMAL")
        execute(f"PRAGMA journal_size_limit = {_JOURNAL_BYTES}")
        self._connection.executescript(SCHEMA)
        for table, column, kind in LATER_COLUMNS:
            known = {row["name"] for row in execute(f"PRAGMA table_info({table})")}
            if column not in known:
                execute(f"ALTER TABLE {table} ADD COLUMN {column} {kind}")

    def _write_anew(self) -> None:
        """Make a file that holds tables already take on `auto_vacuum`."""
        try:
            self._connection.execute("VACUUM")
        except sqlite3.OperationalError as error:
            if not _is_full(error):
                raise
            logger.warning(
                "The disk has no room for a second run store: it won't get smaller until there"
                " is, at a start of the engine."
            )

    def _pragma(self, name: str) -> int:
        [value] = self._connection.execute(f"PRAGMA {name}").fetchone().values()
        return int(value)


def _as_dict(cursor: sqlite3.Cursor, row: tuple[Any, ...]) -> dict[str, Any]:
    return {column[0]: value for column, value in zip(cursor.description, row, strict=True)}


def _is_full(error: BaseException) -> bool:
    return isinstance(error, sqlite3.Error) and error.sqlite_errorcode == sqlite3.SQLITE_FULL


def _disk_full() -> ApiError:
    return ApiError(
        507,
        "The disk of the run store is full, and nothing of this was kept: make room on it.",
        code="insufficient_disk_space",
    )
