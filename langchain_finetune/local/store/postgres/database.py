"""The run store's database in a PostgreSQL server, which several engines may share."""

import logging
import math
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Any, NoReturn, TypeVar, cast

import psycopg
from psycopg import errors

from langchain_finetune.local import sqlite, sqlite_readers
from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.sqlite import Where, all_of
from langchain_finetune.local.sqlite_readers import ASKED_AT, EngineStopsError, SearchesBusyError
from langchain_finetune.local.store.database import StoreRow
from langchain_finetune.local.store.postgres.connections import (
    SEARCH_S,
    Reader,
    ReaderPool,
    Server,
    ServerConnection,
    refusal,
)
from langchain_finetune.local.store.postgres.dialect import text_value, translated, upsert
from langchain_finetune.local.store.postgres.opening import migrate, opening
from langchain_finetune.local.store.postgres.schema import KEYS, NAME

logger = logging.getLogger(__name__)

T = TypeVar("T")

_TURN = 0x6C63_6674_7275_6E73
"""The advisory lock that a change holds: "lcftruns" as a number."""

_BEGIN = f"BEGIN; SELECT pg_advisory_xact_lock({_TURN})"

_STEP_S = 5
"""Bounds of searches are multiples of this, so that most need no request to set them."""


class PostgresDatabase:
    """A store's tables in a server; the same operations as those of `local.sqlite.Database`.

    Changes of all engines take turns, as those of all threads do at a file: each holds an advisory
    lock of the database from before its first look to its end, so none is made on a state that
    another one has left. What only reads waits for nobody, and sees all that was committed before.

    Raises:
        EngineError: The server can't be reached or used, or a newer version of the package has made
            the tables.
    """

    def __init__(self, address: str) -> None:
        self._server = Server(address)
        self._ended = threading.Event()
        self._lock = threading.RLock()
        self._writing: int | None = None
        self._writer: ServerConnection | None = None
        self._readers = ReaderPool(self._server)
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        with opening(self._server), self._lock:
            writer = self._begun()
            try:
                migrate(self._server, writer)
                writer.execute("COMMIT")
            except BaseException:
                self._roll_back()
                raise

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make the changes inside happen together or not at all, with no other writer between.

        A transaction inside another is part of it.

        Raises:
            ApiError: 507 where the server's disk is full, 503 where it can't be reached: nothing
                was kept, but for what was lost while it was being committed, which nobody knows.
            DatabaseLockedError: Another engine changes something for too long.
        """
        with self._lock:
            if self._writing is not None:
                yield
                return
            try:
                writer = self._begun()
                self._writing = threading.get_ident()
                yield
                writer.execute("COMMIT")
            except psycopg.Error as error:
                self._roll_back()
                _refuse(error)
            except BaseException:
                self._roll_back()
                raise
            finally:
                self._writing = None

    def _begun(self) -> ServerConnection:
        """Return the connection that writes, in a transaction that has its turn."""
        if self._writer is not None and not self._writer.closed:
            try:
                self._writer.execute(_BEGIN)
            except psycopg.Error:
                self._roll_back()
                # It may have been lost long ago, such as by a restart of the server.
                if self._writer is not None:
                    raise
            else:
                return self._writer
        self._writer = self._server.connect()
        try:
            self._writer.execute(_BEGIN)
        except psycopg.Error:
            self._roll_back()
            raise
        return self._writer

    def _roll_back(self) -> None:
        """Take back what has begun; a connection that is lost is not used again."""
        writer = self._writer
        if writer is None:
            return
        with suppress(psycopg.Error):
            writer.execute("ROLLBACK")
            return
        self._writer = None
        writer.close()

    def _read(self, ask: Callable[[ServerConnection], T], bound_s: int = SEARCH_S) -> T:
        """Return what a question gives; it may be asked twice where a connection was lost."""
        if self._writing == threading.get_ident() and self._writer is not None:
            return ask(self._writer)
        while True:
            reader: Reader | None = None
            try:
                with self._readers.one() as reader:
                    reader.bound(bound_s)
                    return ask(reader.connection)
            except errors.QueryCanceled:
                raise
            except psycopg.Error as error:
                # One that lay idle may have been lost long ago, such as by a restart.
                if reader is None or reader.is_new or not reader.is_lost:
                    _refuse(error)

    def _search(self, ask: Callable[[ServerConnection], T]) -> T:
        began = time.monotonic()
        waited = began - ASKED_AT.get(began)
        left = math.ceil((sqlite_readers.MAX_SEARCH_S - waited) / _STEP_S) * _STEP_S
        if self._ended.is_set() or left <= 0:
            raise self._ending(waited)
        try:
            return self._read(ask, left)
        except errors.QueryCanceled:
            raise self._ending(waited) from None

    def _ending(self, waited: float) -> ApiError:
        """Return why a search ends early that came so many seconds ago."""
        most = sqlite_readers.MAX_SEARCH_S
        if self._ended.is_set():
            return EngineStopsError()
        if waited > max(most / 2, sqlite_readers.SLOW_S):
            return SearchesBusyError()
        return ApiError(
            400,
            f"The query takes longer than {most} s: narrow it, such as by time.",
            code="query_too_slow",
        )

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[StoreRow]:
        """Return all rows of a query, by column."""
        statement = translated(sql)
        given = statement.values(values)
        return self._read(lambda each: each.execute(statement.sql, given).fetchall())

    def row(self, sql: str, values: Sequence[Any] = ()) -> StoreRow | None:
        """Return the first row of a query, or None."""
        return next(iter(self.rows(sql, values)), None)

    def search(self, sql: str, values: Sequence[Any] = ()) -> list[StoreRow]:
        """Return all rows of a query with a client's conditions, as `rows`.

        Raises:
            ApiError: 400 where it takes too long.
            EngineStopsError: The engine stops.
        """
        statement = translated(sql)
        given = statement.values(values)
        return self._search(lambda each: each.execute(statement.sql, given).fetchall())

    def page(self, sql: str, values: Sequence[Any], limit: int) -> tuple[list[StoreRow], bool]:
        """Return the first rows of a search, and whether more follow, as `Database.page`."""
        statement = translated(sql)
        given = statement.values((*values, limit + 1))

        def ask(connection: ServerConnection) -> tuple[list[StoreRow], bool]:
            found: list[StoreRow] = []
            size = 0
            stream = connection.cursor().stream(statement.sql, given)
            # It is a generator, which ends the statement as it is closed.
            with closing(cast("Generator[StoreRow]", stream)) as rows:
                for row in rows:
                    if len(found) == limit or size > sqlite.MAX_PAGE_BYTES:
                        return found, True
                    found.append(row)
                    size += sum(len(value) for value in row.values() if isinstance(value, str))
            return found, False

        return self._search(ask)

    def listed(
        self, source: str, conditions: Iterable[Where], order: str, limit: int, offset: int
    ) -> list[StoreRow]:
        """Return a part of what `SELECT {source} WHERE ... ORDER BY {order}` gives, as `search`.

        `source` and `order` are constants of this package; a negative limit is none.
        """
        where = all_of(conditions)
        return self.search(
            f"SELECT {source} WHERE {where.sql} ORDER BY {order} LIMIT ? OFFSET ?",
            (*where.values, None if limit < 0 else limit, offset),
        )

    def run(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Change something; return how many rows it touched."""
        statement = translated(sql)
        return self._changed(statement.sql, statement.values(values))

    def put(self, table: str, row: StoreRow) -> None:
        """Add a row, or replace the one with its id; names of tables and columns are constants."""
        sql = upsert(table, tuple(row), KEYS.get(table, ("id",)))
        self._changed(sql, [text_value(value) for value in row.values()])

    def put_all(self, table: str, rows: Iterable[StoreRow]) -> None:
        """Add rows, or replace those with their ids, all or none; it waits once for them all."""
        alike: dict[tuple[str, ...], list[list[Any]]] = {}
        for row in rows:
            alike.setdefault(tuple(row), []).append([text_value(value) for value in row.values()])
        with self.transaction():
            assert self._writer is not None
            for columns, values in alike.items():
                with self._writer.cursor() as cursor:
                    cursor.executemany(upsert(table, columns, KEYS.get(table, ("id",))), values)

    def _changed(self, sql: str, values: Sequence[Any] | Mapping[str, Any]) -> int:
        with self.transaction():
            # `transaction` has connected.
            assert self._writer is not None
            return self._writer.execute(sql, values).rowcount

    def require_room(self) -> None:
        """Leave it to the server to say that its disk is full."""

    def used_bytes(self) -> int:
        """Return the size of the tables, with room that waits for new data."""
        [found] = self.rows(
            "SELECT coalesce(sum(pg_total_relation_size(oid)), 0) AS size FROM pg_class"
            " WHERE relnamespace = to_regnamespace(?) AND relkind = 'r'",
            (NAME,),
        )
        return int(found["size"])

    def give_back(self) -> None:
        """Leave it to the server, which uses the space of deleted rows again."""

    def end_searches(self) -> None:
        """End the searches that run, and those that follow."""
        self._ended.set()
        self._readers.cancel()

    def close(self) -> None:
        """Close all connections."""
        self._readers.close()
        with self._lock:
            if self._writer is not None:
                self._writer.close()


def _refuse(error: psycopg.Error) -> NoReturn:
    """Raise what a client is told of a failure; a fault of this package stays what it is."""
    told = refusal(error)
    if told is None:
        raise error
    logger.warning("The run store's server: %s (%s).", type(error).__name__, error.sqlstate)
    raise told from error
