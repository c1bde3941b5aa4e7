"""Reads examples, as they are in any version."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.sqlite import Database, Where, all_of, one_of
from langchain_finetune.local.store.attachments import Attachments, Links, attachment_urls
from langchain_finetune.local.store.dataset_versions import Versions
from langchain_finetune.local.store.datasets import has_metadata
from langchain_finetune.local.store.example_changes import SPLITS_KEY
from langchain_finetune.local.store.filter_parser import parse_filter
from langchain_finetune.local.store.filter_schema import EXAMPLE_FILTERS
from langchain_finetune.local.store.filter_sql import filter_condition
from langchain_finetune.local.store.values import iso

_PAGE = 200


class ExampleReader:
    """Reads the examples of a store.

    Args:
        database: Where they are kept.
        attachments: Files that belong to them.
        versions: The versions of the datasets.
    """

    def __init__(self, database: Database, attachments: Attachments, versions: Versions) -> None:
        self._database = database
        self._attachments = attachments
        self._versions = versions

    def get(self, example_id: str, as_of: str | None = None) -> dict[str, Any]:
        """Return one example, as it was in a version.

        Raises:
            ApiError: 404 where it did not exist.
        """
        found = self.all(ids=[example_id], as_of=as_of, limit=1, attachments=True)
        if not found:
            raise unknown_example(example_id)
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
        attachments: bool = False,
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
            attachments: Tell their files, too.

        Raises:
            ApiError: 404 for an unknown version, 400 for a malformed filter.
        """
        conditions = [self._versions.condition(as_of, dataset_id)]
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
        rows = self._database.search(
            f"SELECT * FROM example_versions AS e WHERE {where.sql} "  # noqa: S608
            "ORDER BY e.place LIMIT ? OFFSET ?",
            (*where.values, limit, offset),
        )
        files = self._attachments.of([str(row["version"]) for row in rows]) if attachments else {}
        return [_answer(row, files.get(str(row["version"])), attachments) for row in rows]

    def each(self, dataset_id: str, as_of: str | None = None) -> Iterator[dict[str, Any]]:
        """Yield the examples of a version in their order, with little in memory.

        Raises:
            ApiError: 404 for an unknown version.
        """
        version = self._versions.condition(as_of, dataset_id)
        place = -1
        while True:
            rows, has_more = self._database.page(
                f"SELECT * FROM example_versions AS e WHERE e.dataset_id = ? AND {version.sql} "  # noqa: S608
                "AND e.place > ? ORDER BY e.place LIMIT ?",
                (dataset_id, *version.values, place),
                _PAGE,
            )
            yield from rows
            if not has_more:
                return
            place = rows[-1]["place"]

    def splits(self, dataset_id: str, as_of: str | None = None) -> list[str]:
        """Return the names of a dataset's splits."""
        version = self._versions.condition(as_of, dataset_id)
        rows = self._database.rows(
            f"SELECT DISTINCT split.value AS name FROM example_versions AS e, "  # noqa: S608
            f"json_each(e.metadata, '$.{SPLITS_KEY}') AS split "
            f"WHERE e.dataset_id = ? AND {version.sql} ORDER BY 1",
            (dataset_id, *version.values),
        )
        return [row["name"] for row in rows]


def unknown_example(example_id: str) -> ApiError:
    """Return the error for an example that there isn't."""
    return ApiError(404, f"There is no example {example_id}.", code="example_not_found")


def _answer(
    row: Mapping[str, Any],
    files: Links | None,
    attachments: bool,  # noqa: FBT001 whether files are told
) -> dict[str, Any]:
    # LangSmith's client fetches each file that it is told of.
    told = {"attachment_urls": attachment_urls(files or {})} if attachments else {}
    return told | {
        "id": row["id"],
        "dataset_id": row["dataset_id"],
        "inputs": orjson.Fragment(row["inputs"]),
        "outputs": orjson.Fragment(row["outputs"] or "null"),
        "metadata": orjson.Fragment(row["metadata"]),
        "created_at": iso(row["created_at"]),
        "modified_at": iso(row["valid_from"]),
        "source_run_id": row["source_run_id"],
    }
