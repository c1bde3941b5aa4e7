"""Examples with all their versions: a change ends a version and begins the next."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.store.database import Database
from langchain_finetune.local.store.datasets import Datasets, has_metadata
from langchain_finetune.local.store.example_changes import (
    SPLITS_KEY,
    ExampleChange,
    example_metadata,
)
from langchain_finetune.local.store.filter_fields import EXAMPLE_FILTERS
from langchain_finetune.local.store.filter_sql import filter_condition
from langchain_finetune.local.store.filters import parse_filter
from langchain_finetune.local.store.sql import Where, all_of, one_of
from langchain_finetune.local.store.timestamps import iso, micros, now
from langchain_finetune.local.store.wire import dumps


class Examples:
    """All examples of a store's datasets.

    Args:
        database: Where they are kept.
        datasets: The datasets that they belong to.
    """

    def __init__(self, database: Database, datasets: Datasets) -> None:
        self._database = database
        self._datasets = datasets

    def add(self, dataset_id: str, changes: Sequence[ExampleChange]) -> int:
        """Add examples, all or none; return the version (a time) in which they first are.

        An id that the dataset has already is a client's second attempt and replaces the first.

        Raises:
            ApiError: 404 for an unknown dataset, 400 where an example has no inputs, 409 where
                another dataset has an example of this id.
        """
        with self._database.transaction():
            self._datasets.get(dataset_id)
            time = self._next_time()
            for change in changes:
                if change.inputs is None:
                    raise ApiError(400, f"Example {change.id} needs inputs.", param="inputs")
                old = self._newest(change.id)
                if old and old["dataset_id"] != dataset_id:
                    raise ApiError(409, f"Another dataset has the example {change.id}.")
                self._write(dataset_id, change, time, old, {})
            self._touch(dataset_id, time)
        return time

    def change(self, changes: Iterable[ExampleChange], dataset_id: str | None = None) -> int:
        """Change examples, all or none; return the version that begins.

        Args:
            changes: What to overwrite.
            dataset_id: The dataset that they must be of.

        Raises:
            ApiError: 404 where one does not exist.
        """
        with self._database.transaction():
            time = self._next_time()
            for change in changes:
                old = self._newest(change.id)
                if old is None or old["valid_to"] or dataset_id not in (None, old["dataset_id"]):
                    raise _unknown(change.id)
                self._write(old["dataset_id"], change, time, old, old)
                self._touch(old["dataset_id"], time)
        return time

    def delete(self, example_ids: Iterable[str]) -> None:
        """End examples; versions before now still have them.

        Raises:
            ApiError: 404 where one does not exist.
        """
        with self._database.transaction():
            time = self._next_time()
            for example_id in example_ids:
                if not self._end(example_id, time):
                    raise _unknown(example_id)

    def get(self, example_id: str, as_of: str | None = None) -> dict[str, Any]:
        """Return one example, as it was in a version.

        Raises:
            ApiError: 404 where it did not exist.
        """
        found = self.all(ids=[example_id], as_of=as_of, limit=1)
        if not found:
            raise _unknown(example_id)
        return found[0]

    def all(
        self,
        *,
        dataset_id: str | None = None,
        ids: Sequence[str] = (),
        as_of: str | None = None,
        splits: Sequence[str] = (),
        metadata: Mapping[str, Any] | None = None,
        filter_text: str | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> list[dict[str, Any]]:
        """Return the examples of a version, in the order in which they came.

        Args:
            dataset_id: Only of this dataset.
            ids: Only these.
            as_of: A time; the newest version by default (`latest`).
            splits: Only of one of these splits.
            metadata: Only with these entries in the metadata.
            filter_text: Only those that match this filter.
            limit: At most so many.
            offset: Without the first so many.

        Raises:
            ApiError: 404 for an unknown version, 400 for a malformed filter.
        """
        conditions = [_in_version(as_of)]
        if metadata:
            conditions.append(has_metadata("e", metadata))
        if dataset_id is not None:
            conditions.append(Where("e.dataset_id = ?", (dataset_id,)))
        if ids:
            conditions.append(one_of("e.id", ids))
        if splits:
            asked = one_of("split.value", splits)
            source = f"json_each(e.metadata, '$.{SPLITS_KEY}') AS split"
            conditions.append(
                Where(f"EXISTS (SELECT 1 FROM {source} WHERE {asked.sql})", asked.values)  # noqa: S608
            )
        if filter_text:
            conditions.append(filter_condition(parse_filter(filter_text), EXAMPLE_FILTERS, "e"))
        where = all_of(conditions)
        # A client's own filter may take long; a whole dataset is read however long it takes.
        read = self._database.search if filter_text else self._database.rows
        rows = read(
            f"SELECT * FROM example_versions AS e WHERE {where.sql} "  # noqa: S608
            "ORDER BY e.place LIMIT ? OFFSET ?",
            (*where.values, limit, offset),
        )
        return [_answer(row) for row in rows]

    def splits(self, dataset_id: str, as_of: str | None = None) -> list[str]:
        """Return the names of a dataset's splits."""
        version = _in_version(as_of)
        rows = self._database.rows(
            f"SELECT DISTINCT split.value AS name FROM example_versions AS e, "  # noqa: S608
            f"json_each(e.metadata, '$.{SPLITS_KEY}') AS split "
            f"WHERE e.dataset_id = ? AND {version.sql} ORDER BY 1",
            (dataset_id, *version.values),
        )
        return [row["name"] for row in rows]

    def _write(
        self,
        dataset_id: str,
        change: ExampleChange,
        time: int,
        place_of: Mapping[str, Any] | None,
        old: Mapping[str, Any],
    ) -> None:
        self._end(change.id, time)
        kept = orjson.loads(old.get("metadata") or "{}")
        row = {
            "id": change.id,
            "dataset_id": dataset_id,
            "place": place_of["place"] if place_of else self._next_place(),
            "valid_from": time,
            "created_at": old.get("created_at") or change.created_at or time,
            "source_run_id": change.source_run_id or old.get("source_run_id"),
            "metadata": dumps(example_metadata(change, kept), "metadata"),
            "inputs": change.inputs or old["inputs"],
            "outputs": change.outputs or old.get("outputs"),
        }
        self._database.put("example_versions", row)

    def _end(self, example_id: str, time: int) -> int:
        return self._database.run(
            "UPDATE example_versions SET valid_to = ? WHERE id = ? AND valid_to IS NULL",
            (time, example_id),
        )

    def _newest(self, example_id: str) -> dict[str, Any] | None:
        return self._database.row(
            "SELECT * FROM example_versions WHERE id = ? ORDER BY version DESC LIMIT 1",
            (example_id,),
        )

    def _next_place(self) -> int:
        row = self._database.row(
            "SELECT coalesce(max(version), 0) + 1 AS place FROM example_versions"
        )
        return int(row["place"]) if row else 1

    def _next_time(self) -> int:
        """Return the present, but later than every version: clocks may step back."""
        row = self._database.row(
            "SELECT max(coalesce(max(valid_from), 0), coalesce(max(valid_to), 0)) AS last "
            "FROM example_versions"
        )
        return max(now(), row["last"] + 1 if row else 0)

    def _touch(self, dataset_id: str, time: int) -> None:
        self._database.run("UPDATE datasets SET modified_at = ? WHERE id = ?", (time, dataset_id))


def _in_version(as_of: str | None) -> Where:
    if as_of in (None, "", "latest"):
        return Where("e.valid_to IS NULL")
    time = micros(as_of)
    if time is None:
        raise ApiError(404, f"No version is tagged {as_of!r}.", code="version_not_found")
    return Where("e.valid_from <= ? AND (e.valid_to IS NULL OR e.valid_to > ?)", (time, time))


def _unknown(example_id: str) -> ApiError:
    return ApiError(404, f"There is no example {example_id}.", code="example_not_found")


def _answer(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": row["id"],
        "dataset_id": row["dataset_id"],
        "inputs": orjson.Fragment(row["inputs"]),
        "outputs": orjson.Fragment(row["outputs"] or "null"),
        "metadata": orjson.Fragment(row["metadata"]),
        "created_at": iso(row["created_at"]),
        "modified_at": iso(row["valid_from"]),
        "source_run_id": row["source_run_id"],
    }
