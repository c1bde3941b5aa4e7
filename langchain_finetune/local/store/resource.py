"""What the store's resources share: records of one table that clients know by their ids."""

from collections.abc import Iterable
from typing import Any, ClassVar

import orjson

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.sqlite import Database, Where


class Resource:
    """Records of one table.

    Args:
        database: Where they are kept.

    Attributes:
        table: The table.
        noun: What people call one record.
        key: The column of its id.
        columns: What is read of it.
        order: How it is listed.
    """

    table: ClassVar[str]
    noun: ClassVar[str]
    key: ClassVar[str] = "id"
    columns: ClassVar[str] = "*"
    order: ClassVar[str] = "created_at DESC, id"

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, record_id: str) -> dict[str, Any]:
        """Return one record as the API shows it.

        Raises:
            ApiError: 404 where there is none.
        """
        found = self._listed([Where(f"{self.key} = ?", (record_id,))], 1, 0)
        if not found:
            code = f"{self.noun.split()[-1]}_not_found"
            raise ApiError(404, f"There is no {self.noun} {record_id}.", code=code)
        return found[0]

    def delete(self, record_id: str) -> None:
        """Delete one record.

        Raises:
            ApiError: 404 where there is none.
        """
        with self._database.transaction():
            self.get(record_id)
            sql = f"DELETE FROM {self.table} WHERE {self.key} = ?"  # noqa: S608 constant names
            self._database.run(sql, (record_id,))

    def _require_new(self, column: str, value: str) -> None:
        sql = f"SELECT 1 FROM {self.table} WHERE {column} = ?"  # noqa: S608 constant names
        if self._database.row(sql, (value,)):
            message = f"There is a {self.noun} of this {column} already."
            raise ApiError(409, message, param=column)

    def _listed(self, conditions: Iterable[Where], limit: int, offset: int) -> list[dict[str, Any]]:
        source = f"{self.columns} FROM {self.table}"
        rows = self._database.listed(source, conditions, self.order, limit, offset)
        return [self._shown(row) for row in rows]

    def _shown(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return a row as the API shows it; most tables keep that as it is."""
        return dict(orjson.loads(row["body"]))
