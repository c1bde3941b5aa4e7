"""What the store's resources share: records of one table that clients know by their ids."""

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import orjson

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.sqlite import Where, one_of
from langchain_finetune.local.store.database import StoreDatabase
from langchain_finetune.local.store.sql_functions import contains


class Resource:
    """Records of one table; `noun` is what people call one, and `key` the column of its id."""

    table: ClassVar[str]
    noun: ClassVar[str]
    key: ClassVar[str] = "id"
    columns: ClassVar[str] = "*"
    order: ClassVar[str] = "created_at DESC, id"

    def __init__(self, database: StoreDatabase) -> None:
        self._database = database

    def get(self, record_id: str) -> dict[str, Any]:
        """Return one record as the API shows it.

        Raises:
            ApiError: 404 if it does not exist.
        """
        found = self._listed([Where(f"{self.key} = ?", (record_id,))], 1, 0)
        if not found:
            code = f"{self.noun.split()[-1]}_not_found"
            raise ApiError(404, f"There is no {self.noun} {record_id}.", code=code)
        return found[0]

    def delete(self, record_id: str) -> None:
        """Delete one record."""
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
        """Return a row in the API's format, which most tables store unchanged."""
        return dict(orjson.loads(row["body"]))


class NamedResource(Resource):
    """Records of one table that clients find by id or name."""

    name: ClassVar[str] = "name"

    def all(
        self,
        *,
        ids: Sequence[str] = (),
        name: str | None = None,
        name_contains: str | None = None,
        where: Iterable[Where] = (),
        limit: int = 100,
        offset: int = 0,
    ) -> list[dict[str, Any]]:
        """Return the records that meet all conditions, in the table's order; newest first."""
        conditions = list(where)
        if ids:
            conditions.append(one_of(self.key, ids))
        if name is not None:
            conditions.append(Where(f"{self.name} = ?", (name,)))
        if name_contains:
            conditions.append(contains(self.name, name_contains))
        return self._listed(conditions, limit, offset)
