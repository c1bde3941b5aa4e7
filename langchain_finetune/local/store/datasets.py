"""Datasets: names and types; their examples lie in `examples`."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import orjson
from pydantic import Field

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.sqlite import Database, Where, one_of
from langchain_finetune.local.store.example_changes import require_schemas
from langchain_finetune.local.store.filter_parser import Comparison
from langchain_finetune.local.store.filter_schema import EXAMPLE_FILTERS
from langchain_finetune.local.store.filter_sql import filter_condition
from langchain_finetune.local.store.sql_functions import contains
from langchain_finetune.local.store.values import (
    ClientBody,
    Id,
    Name,
    dumps,
    iso,
    new_uuid,
    now,
    validated,
)


class _NewDataset(ClientBody):
    id: Id = Field(default_factory=new_uuid)
    name: Name
    data_type: Literal["kv", "llm", "chat"] = "kv"
    extra: Any = None


class _Described(ClientBody):
    """What a dataset says of itself beside its columns."""

    description: Any = None
    inputs_schema_definition: Any = None
    outputs_schema_definition: Any = None
    transformations: Any = None
    externally_managed: Any = None


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
        asked, described = validated(_NewDataset, body), validated(_Described, body).model_dump()
        require_schemas(described)
        metadata = asked.extra.get("metadata") if isinstance(asked.extra, dict) else None
        row = asked.model_dump(exclude={"extra"}) | {
            "created_at": now(),
            "modified_at": now(),
            "metadata": dumps(metadata if isinstance(metadata, dict) else {}, "metadata"),
            "body": dumps(described, "dataset"),
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
            conditions.append(contains("name", name_contains))
        if metadata:
            conditions.append(has_metadata("d", metadata))
        source = (
            "*, (SELECT count(*) FROM example_versions AS e WHERE e.dataset_id = d.id"
            " AND e.valid_to IS NULL) AS example_count FROM datasets AS d"
        )
        order = "created_at DESC, id"
        rows = self._database.listed(source, conditions, order, limit, offset)
        return [_answer(row) for row in rows]

    def delete(self, dataset_id: str) -> None:
        """Delete a dataset with all versions of its examples, and the comparisons on it.

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
