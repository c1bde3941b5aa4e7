"""Connections to the PostgreSQL server of a run store, and what their failures mean.

What an address holds of secrets is nowhere shown, nor what the server says of a value.
"""

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg import errors
from psycopg.adapt import Buffer, Loader
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row

from langchain_finetune.errors import EngineError
from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.sqlite import DatabaseLockedError
from langchain_finetune.local.store.database import StoreRow
from langchain_finetune.local.store.postgres.schema import NAME

ServerConnection = psycopg.Connection[StoreRow]

SEARCH_S = 60
"""How long a statement of a connection that reads may take, unless told otherwise."""

_LOCK_MS = 10_000
"""How long a change waits for those of other engines."""

_DEFAULTS = {
    "application_name": "langchain-finetune",
    "client_encoding": "UTF8",
    "connect_timeout": "10",
    # A server that is gone without a word is noticed.
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}
_SCHEMES = ("postgresql://", "postgres://")

_MOST = 16
"""Connections of one engine that read at the same time: a server has about a hundred for all."""

_KEPT = 4


class Server:
    """The server of an address in libpq's form, such as `postgresql://user@host/database`.

    What the address leaves out comes from libpq's own variables and files, such as `PGPASSWORD`
    and `~/.pgpass`.

    Raises:
        EngineError: It is not such an address.
    """

    def __init__(self, address: str) -> None:
        if not address.startswith(_SCHEMES):
            raise _not_an_address()
        try:
            self._settings: dict[str, Any] = {**_DEFAULTS, **conninfo_to_dict(address)}
        except psycopg.ProgrammingError:
            # Its message would quote the password.
            raise _not_an_address() from None
        # A password that is not percent-encoded may have become a part of these, which are shown.
        shown = [str(self._settings.get(name) or "") for name in ("host", "dbname")]
        port = str(self._settings.get("port") or "")
        if "@" in "".join(shown) or not re.fullmatch(r"[\d,]*", port):
            raise _not_an_address()

    def __str__(self) -> str:
        """Return host and database; not the user, and no secret."""
        host = self._settings.get("host") or os.environ.get("PGHOST") or "localhost"
        port = self._settings.get("port") or os.environ.get("PGPORT") or "5432"
        name = self._settings.get("dbname") or os.environ.get("PGDATABASE") or "its default"
        return f"at {host}, port {port}, database {name}"

    def connect(self, *, reads_only: bool = False) -> ServerConnection:
        """Open a connection, in which each statement is a transaction of its own.

        Raises:
            psycopg.OperationalError: It can't be reached, or refuses the user.
        """
        found = psycopg.connect(
            **self._settings,
            autocommit=True,
            row_factory=dict_row,
        )
        found.adapters.register_loader("numeric", _NumberLoader)
        settings = {
            "search_path": NAME,
            "lock_timeout": str(_LOCK_MS),
            "statement_timeout": str(SEARCH_S * 1000 if reads_only else 0),
            "default_transaction_read_only": "on" if reads_only else "off",
            # Compiling costs more than it gains where pages of rows are read.
            "jit": "off",
        }
        asked = ", ".join("set_config(%s, %s, false)" for _ in settings)
        values = [text for pair in settings.items() for text in pair]
        try:
            found.execute(f"SELECT {asked}", values)
        except BaseException:
            found.close()
            raise
        return found


class _NumberLoader(Loader):
    """Sums of integers are integers, as in SQLite, and other figures floats."""

    def load(self, data: Buffer) -> int | float:
        text = bytes(data)
        return int(text) if text.lstrip(b"-").isdigit() else float(text)


class Reader:
    """A connection that reads, and how long its statements may take."""

    def __init__(self, connection: ServerConnection, *, is_new: bool) -> None:
        self.connection = connection
        self.is_new = is_new
        self.is_lost = False
        self._bound_s = SEARCH_S

    def bound(self, seconds: int) -> None:
        """End statements that take longer."""
        if seconds != self._bound_s:
            sql = "SELECT set_config('statement_timeout', %s, false)"
            self.connection.execute(sql, (str(seconds * 1000),))
            self._bound_s = seconds


class ReaderPool:
    """Connections that can't change the store; each is used by one thread at a time."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._turns = threading.BoundedSemaphore(_MOST)
        self._lock = threading.Lock()
        self._free: list[Reader] = []
        self._lent: set[Reader] = set()

    @contextmanager
    def one(self) -> Iterator[Reader]:
        """Lend a connection; what fails in it is not used again, nor are those that lay idle."""
        with self._turns:
            reader = self._taken()
            try:
                yield reader
            except BaseException:
                with self._lock:
                    self._lent.discard(reader)
                reader.is_lost = reader.connection.closed
                if reader.is_lost:
                    self.close()
                reader.connection.close()
                raise
            with self._lock:
                self._lent.discard(reader)
                keeps = len(self._free) < _KEPT
                if keeps:
                    reader.is_new = False
                    self._free.append(reader)
            if not keeps:
                reader.connection.close()

    def _taken(self) -> Reader:
        with self._lock:
            reader = self._free.pop() if self._free else None
        reader = reader or Reader(self._server.connect(reads_only=True), is_new=True)
        with self._lock:
            self._lent.add(reader)
        return reader

    def cancel(self) -> None:
        """End the statements that run."""
        with self._lock:
            used = list(self._lent)
        for reader in used:
            # One that has just ended needs no ending.
            with suppress(psycopg.Error):
                reader.connection.cancel_safe(timeout=1)

    def close(self) -> None:
        """Close the connections that nobody uses."""
        with self._lock:
            free, self._free = self._free, []
        for reader in free:
            reader.connection.close()


def reason(error: psycopg.Error) -> str:
    """Return what a failure to connect is, without what may be a secret."""
    first = next(iter(str(error).splitlines()), "")
    return first.strip() or type(error).__name__


def refusal(error: psycopg.Error) -> ApiError | None:
    """Return what a client is told of a failure of the server; None if it is a fault of ours."""
    match error:
        case errors.LockNotAvailable():
            return DatabaseLockedError("run store")
        case errors.DiskFull():
            return ApiError(
                507,
                "The disk of the run store's server is full, and nothing of this was kept: make"
                " room on it.",
                code="insufficient_disk_space",
            )
        case errors.ProgramLimitExceeded():
            return ApiError(
                400,
                "A name, key or text is longer than the run store's server can keep: names have at"
                " most about 2,600 bytes there.",
                code="too_long",
            )
        case errors.ReadOnlySqlTransaction():
            return ApiError(
                503,
                "The run store's server takes no changes, such as a standby: ask again later.",
                code="run_store_read_only",
            )
        case psycopg.OperationalError() | psycopg.InterfaceError():
            return ApiError(
                503,
                "The run store's server doesn't answer: ask again.",
                code="run_store_unreachable",
            )
    return None


def _not_an_address() -> EngineError:
    return EngineError(
        "The address of the run store's server must be like postgresql://user@host/database; a"
        " password with special characters must be percent-encoded, or come from PGPASSWORD."
    )
