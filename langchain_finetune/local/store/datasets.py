"""Datasets: names and types; see `examples` for their examples."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import orjson
from pydantic import Field

from langchain_finetune.local.sqlite import Where, one_of
from langchain_finetune.local.store.example_changes import require_schemas
from langchain_finetune.local.store.filter_parser import Comparison
from langchain_finetune.local.store.filter_schema import EXAMPLE_FILTERS
from langchain_finetune.local.store.filter_sql import filter_condition
from langchain_finetune.local.store.resource import NamedResource
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
    """Fields of a dataset that are stored unchanged."""

    description: Any = None
    inputs_schema_definition: Any = None
    outputs_schema_definition: Any = None
    transformations: Any = None
    externally_managed: Any = None


class Datasets(NamedResource):
    """All datasets of a store."""

    table, noun = "datasets", "dataset"
    columns = (
        "*, (SELECT count(*) FROM example_versions AS e WHERE e.dataset_id = datasets.id"
        " AND e.valid_to IS NULL) AS example_count"
    )

    def create(self, body: Any) -> dict[str, Any]:
        """Make a dataset: `{name, data_type?, description?, extra?: {metadata?}}`.

        Raises:
            ApiError: 409 where one of that name exists, 400 if the body is malformed.
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
            self._require_new("name", asked.name)
            self._require_new("id", asked.id)
            self._database.put("datasets", row)
        return self.get(row["id"])

    def all(
        self,
        *,
        data_types: Sequence[str] = (),
        metadata: Mapping[str, Any] | None = None,
        where: Iterable[Where] = (),
        **conditions: Any,
    ) -> list[dict[str, Any]]:
        """Return datasets, newest first, by the conditions of `NamedResource.all` and some more."""
        more = list(where)
        if data_types:
            more.append(one_of("data_type", data_types))
        if metadata:
            more.append(has_metadata("datasets", metadata))
        return super().all(where=more, **conditions)

    def delete(self, dataset_id: str) -> None:
        """Delete a dataset with all versions of its examples, and the comparisons on it."""
        # A trigger takes away what belongs to it.
        super().delete(dataset_id)
        self._database.give_back()

    def _shown(self, row: dict[str, Any]) -> dict[str, Any]:
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


def has_metadata(alias: str, wanted: Mapping[str, Any]) -> Where:
    """Return the condition that the metadata of a row has these entries."""
    asked = Comparison("has", "metadata", orjson.dumps(wanted).decode())
    return filter_condition(asked, EXAMPLE_FILTERS, alias)
