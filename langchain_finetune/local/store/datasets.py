"""Datasets: names and types; their examples lie in `examples`."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

import orjson

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.sqlite import Database, Where, all_of, one_of
from langchain_finetune.local.store.example_changes import require_schemas
from langchain_finetune.local.store.filter_parser import Comparison
from langchain_finetune.local.store.filter_schema import EXAMPLE_FILTERS
from langchain_finetune.local.store.filter_sql import filter_condition
from langchain_finetune.local.store.values import dumps, iso, now, uuid_text

DATA_TYPES = ("kv", "llm", "chat")
_KEPT = (
    "description",
    "inputs_schema_definition",
    "outputs_schema_definition",
    "transformations",
    "externally_managed",
)


class Datasets:
    """All datasets of a store.

    Args:
        database: Where they are kept.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, body: Any) -> dict[str, Any]:
        """Make a dataset: `{name, data_type?, description?, extra?: {metadata?}}`.

        Raises:
            ApiError: 409 where one of that name exists, 400 where the body is malformed.
        """
        if not isinstance(body, dict) or not isinstance(body.get("name"), str) or not body["name"]:
            raise ApiError(400, "A dataset needs a name.", param="name")
        data_type = body.get("data_type") or "kv"
        if data_type not in DATA_TYPES:
            raise ApiError(400, "data_type must be kv, llm or chat.", param="data_type")
        require_schemas(body)
        extra = body.get("extra")
        metadata = extra.get("metadata") if isinstance(extra, dict) else None
        row = {
            "id": uuid_text(body.get("id"), "id") or str(uuid4()),
            "name": body["name"],
            "data_type": data_type,
            "created_at": now(),
            "modified_at": now(),
            "metadata": dumps(metadata if isinstance(metadata, dict) else {}, "metadata"),
            "body": dumps({name: body.get(name) for name in _KEPT}, "dataset"),
        }
        with self._database.transaction():
            if self._database.row(
                "SELECT 1 FROM datasets WHERE name = ? OR id = ?", (row["name"], row["id"])
            ):
                raise ApiError(409, "There is a dataset of this name already.", param="name")
            self._database.put("datasets", row)
        return self.get(row["id"])

    def get(self, dataset_id: str) -> dict[str, Any]:
        """Return the dataset of this id.

        Raises:
            ApiError: 404 where there is none.
        """
        found = self.all(ids=[dataset_id], limit=1)
        if not found:
            raise ApiError(404, f"There is no dataset {dataset_id}.", code="dataset_not_found")
        return found[0]

    def all(
        self,
        *,
        ids: Sequence[str] = (),
        name: str | None = None,
        name_contains: str | None = None,
        data_types: Sequence[str] = (),
        metadata: Mapping[str, Any] | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> list[dict[str, Any]]:
        """Return datasets, newest first."""
        conditions = [one_of("id", ids)] if ids else []
        if data_types:
            conditions.append(one_of("data_type", data_types))
        if name is not None:
            conditions.append(Where("name = ?", (name,)))
        if name_contains is not None:
            conditions.append(Where("instr(casefold(name), ?) > 0", (name_contains.casefold(),)))
        if metadata:
            conditions.append(has_metadata("d", metadata))
        where = all_of(conditions)
        rows = self._database.search(
            "SELECT *, (SELECT count(*) FROM example_versions AS e "  # noqa: S608 constants and "?"
            "WHERE e.dataset_id = d.id AND e.valid_to IS NULL) AS example_count "
            f"FROM datasets AS d WHERE {where.sql} ORDER BY created_at DESC, id LIMIT ? OFFSET ?",
            (*where.values, limit, offset),
        )
        return [_answer(row) for row in rows]

    def delete(self, dataset_id: str) -> None:
        """Forget a dataset with all versions of its examples, and the comparisons on it.

        Raises:
            ApiError: 404 where there is none.
        """
        with self._database.transaction():
            self.get(dataset_id)
            # A trigger takes away what belongs to it.
            self._database.run("DELETE FROM datasets WHERE id = ?", (dataset_id,))
        self._database.give_back()


def has_metadata(alias: str, wanted: Mapping[str, Any]) -> Where:
    """Return the condition that the metadata of a row has these entries."""
    asked = Comparison("has", "metadata", orjson.dumps(wanted).decode())
    return filter_condition(asked, EXAMPLE_FILTERS, alias)


def _answer(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": row["id"],
        "name": row["name"],
        "data_type": row["data_type"],
        "created_at": iso(row["created_at"]),
        "modified_at": iso(row["modified_at"]),
        "metadata": orjson.loads(row["metadata"]),
        "example_count": row["example_count"],
        **orjson.loads(row["body"]),
    }
