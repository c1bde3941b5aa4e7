"""What the store asks of its database, a SQLite file or a PostgreSQL server.

Statements are written for SQLite; `postgres/dialect.py` turns them into PostgreSQL's.
"""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from langchain_finetune.local.sqlite import Where

StoreRow = dict[str, Any]


class StoreDatabase(Protocol):
    """A database of the run store, which threads may share; see `local.sqlite.Database`."""

    def transaction(self) -> AbstractContextManager[None]:
        """Make the changes inside happen together or not at all, with no other writer between."""

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[StoreRow]:
        """Return all rows of a query, by column."""

    def row(self, sql: str, values: Sequence[Any] = ()) -> StoreRow | None:
        """Return the first row of a query, or None."""

    def search(self, sql: str, values: Sequence[Any] = ()) -> list[StoreRow]:
        """Return all rows of a query with a client's conditions, which may take too long."""

    def page(self, sql: str, values: Sequence[Any], limit: int) -> tuple[list[StoreRow], bool]:
        """Return the first rows of a search, and whether more follow."""

    def listed(
        self, source: str, conditions: Iterable[Where], order: str, limit: int, offset: int
    ) -> list[StoreRow]:
        """Return a part of what `SELECT {source} WHERE ... ORDER BY {order}` gives."""

    def run(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Change something; return how many rows it touched."""

    def put(self, table: str, row: StoreRow) -> None:
        """Add a row, or replace the one with its id."""

    def put_all(self, table: str, rows: Iterable[StoreRow]) -> None:
        """Add rows, or replace those with their ids, all or none."""

    def require_room(self) -> None:
        """Refuse what would grow a file whose disk is nearly full."""

    def used_bytes(self) -> int:
        """Return how much room the store takes."""

    def give_back(self) -> None:
        """Return unused space to the disk."""

    def end_searches(self) -> None:
        """End the searches that run, and those that follow."""

    def close(self) -> None:
        """Close all connections."""
