"""SQLite files: opening, numbered migrations, transactions, searches that end, room on the disk.

The engine's records (`documents.py`) and the run store (`store/schema.py`) are each one file, with
one list of migrations in one module.
"""

import logging
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import orjson

from langchain_finetune.errors import EngineError
from langchain_finetune.home import HOME_VARIABLE
from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.sqlite_readers import Readers, SearchClock

logger = logging.getLogger(__name__)

Migration: TypeAlias = Callable[[sqlite3.Connection], object]
"""Brings a file from one version to the next, inside a transaction that the caller holds."""

MAX_PAGE_BYTES = 64 * 2**20
"""What the rows of a page hold, but for the last one: they are in memory several times."""

KEPT_FREE_BYTES = 100 * 2**20
"""What new runs leave free on the disk: jobs and the engine's own files need room too."""

_HURRY_MS = 200

_INCREMENTAL = 2
_PAGES_AT_ONCE = 5000
"""Pages that go back to the disk in one go: others wait for it."""

_JOURNAL_BYTES = 64 * 2**20
_SIZES = ("page_count", "freelist_count", "page_size")


@dataclass(frozen=True)
class Where:
    """A condition: constant SQL, and the values of its question marks."""

    sql: str
    values: tuple[Any, ...] = ()


def all_of(conditions: Iterable[Where]) -> Where:
    """Return the condition that all hold; of none, one that always holds."""
    return _joined(list(conditions), " AND ", "TRUE")


def any_of(conditions: Iterable[Where]) -> Where:
    """Return the condition that one holds; of none, one that never holds."""
    return _joined(list(conditions), " OR ", "FALSE")


def negated(condition: Where) -> Where:
    """Return the opposite; what can't be decided (NULL) counts as false before."""
    return Where(f"NOT coalesce(({condition.sql}), FALSE)", condition.values)


def one_of(column: str, values: Iterable[Any]) -> Where:
    """Return the condition that a column has one of some values."""
    listed = list(values)
    if len(listed) == 1:
        # An equation lets SQLite read an index in order.
        return Where(f"{column} = ?", (listed[0],))
    return Where(
        f"{column} IN (SELECT value FROM json_each(?))",  # noqa: S608 constants and "?"
        (orjson.dumps(listed).decode(),),
    )


def _joined(conditions: list[Where], joint: str, empty: str) -> Where:
    return Where(
        joint.join(f"({condition.sql})" for condition in conditions) or empty,
        tuple(value for condition in conditions for value in condition.values),
    )


class DatabaseLockedError(ApiError):
    """Another program holds the file's lock; clients ask again."""

    def __init__(self, name: str) -> None:
        message = f"Another program has locked the {name}: ask again."
        super().__init__(503, message, code="database_locked")


class Database:
    """A file, and the connection that writes to it, at which threads take turns.

    With `readers`, what only reads has connections of its own and waits for nobody; it sees all
    that was committed before. Inside a transaction it sees the changes of that.

    `PRAGMA user_version` counts the migrations that are done: each makes the file of one version
    one of the next, and a new file has version 0. `give_back` works on a file that `shrinks`.
    `prepare` makes a connection ready, such as by adding functions.

    Raises:
        EngineError: The file is damaged, not a database, can't be written, or was written by a
            newer version of the package.
    """

    def __init__(
        self,
        path: Path,
        migrations: Sequence[Migration] = (),
        *,
        name: str = "database",
        shrinks: bool = False,
        readers: bool = False,
        prepare: Callable[[sqlite3.Connection], object] = lambda _: None,
    ) -> None:
        self._name = name
        self._path = path
        self._prepare = prepare
        self._ended = threading.Event()
        self._lock = threading.RLock()
        self._writing: int | None = None
        try:
            self.connection = self._connect()
            try:
                self._require_known(path, len(migrations))
                if shrinks:
                    self._make_shrinkable()
                self.connection.execute("PRAGMA journal_mode = WAL")
                # A commit is on the disk when it returns: what it holds is acknowledged then.
                self.connection.execute("PRAGMA synchronous = FULL")
                self.connection.execute(f"PRAGMA journal_size_limit = {_JOURNAL_BYTES}")
                self._migrate(migrations)
            except BaseException:
                self.connection.close()
                raise
        except sqlite3.Error as error:
            raise EngineError(
                f"The {name} {path} can't be opened ({error}): fix it, move it away to begin with"
                f" an empty one, or set {HOME_VARIABLE} to another folder."
            ) from error
        self._writer = SearchClock(self.connection, self._ended)
        self._readers = Readers(self._reader, self._ended) if readers else None

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        connection.row_factory = _as_dict
        self._prepare(connection)
        return connection

    def _reader(self) -> sqlite3.Connection:
        connection = self._connect()
        connection.execute("PRAGMA query_only = ON")
        return connection

    def _require_known(self, path: Path, version: int) -> None:
        found = self._pragma("user_version")
        if found > version:
            raise EngineError(
                f"The {self._name} {path} has version {found}, and this version of"
                f" langchain-finetune reads up to version {version}: upgrade langchain-finetune,"
                f" or set {HOME_VARIABLE} to another folder."
            )

    def _migrate(self, migrations: Sequence[Migration]) -> None:
        if self._pragma("user_version") == len(migrations):
            return
        # One transaction: if it is killed, the file stays as it was.
        with self.transaction():
            for migration in migrations[self._pragma("user_version") :]:
                migration(self.connection)
            self.connection.execute(f"PRAGMA user_version = {len(migrations)}")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make the changes inside happen together or not at all, with no other thread between.

        A transaction inside another is part of it.

        Raises:
            ApiError: 507 where the disk is full.
            DatabaseLockedError: Another program writes to the file for too long.
        """
        with self._lock:
            if self.connection.in_transaction:
                yield
                return
            try:
                self.connection.execute("BEGIN IMMEDIATE")
                self._writing = threading.get_ident()
                yield
                self.connection.execute("COMMIT")
            except BaseException as error:
                # After a failed commit, too: what follows would never be committed.
                self._roll_back()
                if _is_full(error):
                    raise self._disk_full() from error
                if _is_locked(error):
                    raise DatabaseLockedError(self._name) from error
                raise
            finally:
                self._writing = None

    def _roll_back(self) -> None:
        # A full disk has SQLite roll back by itself.
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")

    @contextmanager
    def _reading(self) -> Iterator[SearchClock]:
        """Lend a connection to read from."""
        if self._readers is None or self._writing == threading.get_ident():
            with self._lock:
                yield self._writer
        else:
            with self._readers.one() as reader:
                yield reader

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """Return all rows of a query, by column."""
        with self._reading() as reader:
            return reader.connection.execute(sql, values).fetchall()

    def row(self, sql: str, values: Sequence[Any] = ()) -> dict[str, Any] | None:
        """Return the first row of a query, or None."""
        return next(iter(self.rows(sql, values)), None)

    def search(self, sql: str, values: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """Return all rows of a query with a client's conditions, as `rows`.

        Raises:
            ApiError: As `SearchClock.running`.
        """
        with self._reading() as reader, reader.running():
            return reader.connection.execute(sql, values).fetchall()

    def page(
        self, sql: str, values: Sequence[Any], limit: int
    ) -> tuple[list[dict[str, Any]], bool]:
        """Return the first rows of a search, and whether more follow.

        There are fewer than `limit` where they hold `MAX_PAGE_BYTES`. The last question mark of
        the query is that of `LIMIT`.
        """
        found: list[dict[str, Any]] = []
        size = 0
        with (
            self._reading() as reader,
            reader.running(),
            closing(reader.connection.cursor()) as cursor,
        ):
            for row in cursor.execute(sql, (*values, limit + 1)):
                if len(found) == limit or size > MAX_PAGE_BYTES:
                    return found, True
                found.append(row)
                size += sum(len(value) for value in row.values() if isinstance(value, str))
        return found, False

    def listed(
        self, source: str, conditions: Iterable[Where], order: str, limit: int, offset: int
    ) -> list[dict[str, Any]]:
        """Return a part of what `SELECT {source} WHERE ... ORDER BY {order}` gives, as `search`.

        `source` and `order` are constants of this package.
        """
        where = all_of(conditions)
        return self.search(
            f"SELECT {source} WHERE {where.sql} ORDER BY {order} LIMIT ? OFFSET ?",
            (*where.values, limit, offset),
        )

    def end_searches(self) -> None:
        """End the searches that run, and those that follow, so that the file can be closed."""
        self._ended.set()

    def run(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Change something; return how many rows it touched."""
        with self.transaction():
            return self.connection.execute(sql, values).rowcount

    def put(self, table: str, row: dict[str, Any]) -> None:
        """Add a row, or replace the one with its id; names of tables and columns are constants."""
        columns = ", ".join(row)
        marks = ", ".join("?" * len(row))
        sql = f"INSERT OR REPLACE INTO {table} ({columns}) VALUES ({marks})"  # noqa: S608
        self.run(sql, tuple(row.values()))

    def put_all(self, table: str, rows: Iterable[dict[str, Any]]) -> None:
        """Add rows, or replace those with their ids, all or none, as `put`."""
        with self.transaction():
            for row in rows:
                self.put(table, row)

    def require_room(self) -> None:
        """Refuse what would grow the file where the disk is nearly full.

        Raises:
            ApiError: 507, so that clients report it instead of asking again.
        """
        if shutil.disk_usage(self._path.parent).free < KEPT_FREE_BYTES:
            raise self._disk_full()

    def used_bytes(self) -> int:
        """Return how much of the file is in use; the rest waits for new data."""
        with self._lock:
            pages, free, size = (self._pragma(name) for name in _SIZES)
        return (pages - free) * size

    def give_back(self) -> None:
        """Return unused space to the disk, so that the file gets smaller.

        Inside a transaction nothing happens: what is deleted there may yet come back.
        """
        with self._lock:
            free = self._pragma("freelist_count")
        for _ in range(0, free, _PAGES_AT_ONCE):
            with self._lock:
                if self.connection.in_transaction:
                    return
                # Each step gives one page back, and `execute` would make only one.
                self.connection.executescript(f"PRAGMA incremental_vacuum({_PAGES_AT_ONCE})")
                # Where somebody reads, the rest goes back once the journal is next written.
                waits = self._pragma("busy_timeout")
                self.connection.execute("PRAGMA busy_timeout = 0")
                self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
                self.connection.execute(f"PRAGMA busy_timeout = {waits}")

    def hurry(self) -> None:
        """Wait no longer for other programs than the event loop may, which waits along."""
        self.connection.execute(f"PRAGMA busy_timeout = {_HURRY_MS}")

    def close(self) -> None:
        """Close the file."""
        if self._readers:
            self._readers.close()
        with self._lock:
            self.connection.close()

    def _make_shrinkable(self) -> None:
        if self._pragma("auto_vacuum") == _INCREMENTAL:
            return
        self.connection.execute(f"PRAGMA auto_vacuum = {_INCREMENTAL}")
        try:
            # A file that holds tables already takes it on only when it is rewritten.
            self.connection.execute("VACUUM")
        except sqlite3.OperationalError as error:
            if not _is_full(error):
                raise
            logger.warning(
                "The disk has no room for a second %s: it won't get smaller until there is, at a"
                " start of the engine.",
                self._name,
            )

    def _pragma(self, name: str) -> int:
        [value] = self.connection.execute(f"PRAGMA {name}").fetchone().values()
        return int(value)

    def _disk_full(self) -> ApiError:
        return ApiError(
            507,
            f"The disk of the {self._name} is full, and nothing of this was kept: make room on it.",
            code="insufficient_disk_space",
        )


def run_script(connection: sqlite3.Connection, script: str) -> None:
    """Run statements, each on lines of its own, inside the transaction that is open.

    `executescript` would commit it first.
    """
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            connection.execute(statement)
            statement = ""


def _as_dict(cursor: sqlite3.Cursor, row: tuple[Any, ...]) -> dict[str, Any]:
    return {column[0]: value for column, value in zip(cursor.description, row, strict=True)}


def _is_full(error: BaseException) -> bool:
    return isinstance(error, sqlite3.Error) and error.sqlite_errorcode == sqlite3.SQLITE_FULL


def _is_locked(error: BaseException) -> bool:
    # The lower byte is the kind; the upper ones say more.
    return isinstance(error, sqlite3.Error) and error.sqlite_errorcode & 0xFF in {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
    }
