"""Examples with all their versions: a change ends a version and begins the next."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.sqlite import Where, one_of
from langchain_finetune.local.store.attachments import Attachments, Links, attachment_urls
from langchain_finetune.local.store.database import StoreDatabase
from langchain_finetune.local.store.dataset_versions import Versions
from langchain_finetune.local.store.datasets import Datasets, has_metadata
from langchain_finetune.local.store.example_changes import (
    DEFAULT_SPLIT,
    SPLITS_KEY,
    ExampleChange,
    example_metadata,
    require_fit,
)
from langchain_finetune.local.store.filter_parser import parse_filter
from langchain_finetune.local.store.filter_schema import EXAMPLE_FILTERS
from langchain_finetune.local.store.filter_sql import filter_condition
from langchain_finetune.local.store.values import dumps, iso, now

_PAGE = 200


class ExampleStore:
    """All examples of a store's datasets."""

    def __init__(
        self,
        database: StoreDatabase,
        datasets: Datasets,
        attachments: Attachments,
        versions: Versions,
    ) -> None:
        self._database = database
        self._datasets = datasets
        self._attachments = attachments
        self._versions = versions

    def get(self, example_id: str, as_of: str | None = None) -> dict[str, Any]:
        """Return one example, as it was in a version."""
        found = self.all(ids=[example_id], as_of=as_of, limit=1, attachments=True)
        if not found:
            raise _unknown_example(example_id)
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

        Only those of the dataset and with one of the ids, one of the splits and all entries of the
        metadata; `as_of` is a time or a tag, the newest version by default.
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
        rows = self._database.listed(
            "* FROM example_versions AS e", conditions, "e.place", limit, offset
        )
        files = self._attachments.of([str(row["version"]) for row in rows]) if attachments else {}
        return [_answer(row, files.get(str(row["version"])), attachments) for row in rows]

    def each(self, dataset_id: str, as_of: str | None = None) -> Iterator[dict[str, Any]]:
        """Yield the examples of a version in their order, with little in memory."""
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

    def add(self, dataset_id: str, changes: Sequence[ExampleChange]) -> int:
        """Add examples, all or none; return the version (a time) in which they first are.

        An id that the dataset has already is a client's second attempt and replaces the first.

        Raises:
            ApiError: 404 for an unknown dataset or run, 400 where an example has no inputs or
                does not fit the dataset's schema, 409 where another dataset has an example of
                this id, 507 where the disk is full.
        """
        self._database.require_room()
        with self._database.transaction():
            dataset = self._datasets.get(dataset_id)
            time = self._next_time()
            for given in changes:
                change = self._from_run(given)
                if change.inputs is None:
                    raise ApiError(400, f"Example {change.id} needs inputs.", param="inputs")
                old = self._newest(change.id)
                if old and old["dataset_id"] != dataset_id:
                    raise ApiError(409, f"Another dataset has the example {change.id}.")
                self._write(dataset, change, time, old, {})
            self._touch(dataset_id, time)
        return time

    def change(self, changes: Iterable[ExampleChange], dataset_id: str | None = None) -> int:
        """Change examples, all or none, of one dataset if named; return the version that begins."""
        self._database.require_room()
        datasets: dict[str, dict[str, Any]] = {}
        with self._database.transaction():
            time = self._next_time()
            for change in changes:
                old = self._newest(change.id)
                if old is None or old["valid_to"] or dataset_id not in (None, old["dataset_id"]):
                    raise _unknown_example(change.id)
                known = old["dataset_id"]
                if known not in datasets:
                    datasets[known] = self._datasets.get(known)
                self._write(datasets[known], change, time, old, old)
                self._touch(known, time)
        return time

    def delete(self, example_ids: Iterable[str]) -> None:
        """End examples; versions before now still have them."""
        with self._database.transaction():
            time = self._next_time()
            for example_id in example_ids:
                old = self._newest(example_id)
                if old is None or not self._end(example_id, time):
                    raise _unknown_example(example_id)
                self._touch(old["dataset_id"], time)

    def erase(self, example_ids: Iterable[str]) -> None:
        """Take examples out of all versions; their files go too."""
        with self._database.transaction():
            for example_id in example_ids:
                sql = "DELETE FROM example_versions WHERE id = ?"
                if not self._database.run(sql, (example_id,)):
                    raise _unknown_example(example_id)
        self._database.give_back()

    def move(
        self, dataset_id: str, split: str, example_ids: Iterable[str], *, remove: bool = False
    ) -> None:
        """Put examples into a split, or take them out; one in no split is in the default one."""
        changes = []
        with self._database.transaction():
            for example_id in example_ids:
                old = self._newest(example_id)
                metadata = orjson.loads(old["metadata"]) if old else {}
                others = [each for each in metadata.get(SPLITS_KEY, []) if each != split]
                splits = tuple(others if remove else [*others, split])
                changes.append(ExampleChange(example_id, splits=splits or (DEFAULT_SPLIT,)))
            self.change(changes, dataset_id)

    def _write(
        self,
        dataset: Mapping[str, Any],
        change: ExampleChange,
        time: int,
        place_of: Mapping[str, Any] | None,
        old: Mapping[str, Any],
    ) -> None:
        self._end(change.id, time)
        kept = orjson.loads(old.get("metadata") or "{}")
        row = {
            "id": change.id,
            "dataset_id": dataset["id"],
            "place": place_of["place"] if place_of else self._next_place(),
            "valid_from": time,
            "created_at": old.get("created_at") or change.created_at or time,
            "source_run_id": change.source_run_id or old.get("source_run_id"),
            "metadata": dumps(example_metadata(change, kept), "metadata"),
            "inputs": change.inputs or old["inputs"],
            "outputs": change.outputs or old.get("outputs"),
        }
        require_fit(dataset, row)
        self._database.put("example_versions", row)
        if version := self._newest(change.id):
            self._write_files(str(version["version"]), change, old)

    def _write_files(self, owner: str, change: ExampleChange, old: Mapping[str, Any]) -> None:
        before = self._files(str(old["version"])) if old else {}
        kept = change.kept_attachments
        if kept is not None:
            before = {kept[name]: blob for name, blob in before.items() if name in kept}
        if change.files_from_run:
            of_run = self._files(str(change.source_run_id))
            before |= {name: of_run[name] for name in change.files_from_run if name in of_run}
        self._attachments.share(owner, before)
        self._attachments.add(owner, change.attachments)

    def _files(self, owner: str) -> dict[str, str]:
        links = self._attachments.of([owner]).get(owner, {})
        return {name: link.blob_id for name, link in links.items()}

    def _from_run(self, change: ExampleChange) -> ExampleChange:
        if not change.from_run:
            return change
        sql = "SELECT inputs, outputs FROM runs WHERE id = ? AND posted"
        run = self._database.row(sql, (change.source_run_id,))
        if run is None:
            message = f"There is no run {change.source_run_id}."
            raise ApiError(404, message, code="run_not_found")
        inputs = change.inputs or run["inputs"] or "{}"
        return replace(change, inputs=inputs, outputs=change.outputs or run["outputs"])

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
        # A dataset was changed last when its newest version began; examples are many more.
        row = self._database.row("SELECT coalesce(max(modified_at), 0) AS last FROM datasets")
        return max(now(), row["last"] + 1 if row else 0)

    def _touch(self, dataset_id: str, time: int) -> None:
        self._database.run("UPDATE datasets SET modified_at = ? WHERE id = ?", (time, dataset_id))


def _unknown_example(example_id: str) -> ApiError:
    return ApiError(404, f"There is no example {example_id}.", code="example_not_found")


def _answer(
    row: Mapping[str, Any],
    files: Links | None,
    attachments: bool,  # noqa: FBT001 whether files are returned
) -> dict[str, Any]:
    # LangSmith's client fetches each file that is returned.
    urls = {"attachment_urls": attachment_urls(files or {})} if attachments else {}
    return urls | {
        "id": row["id"],
        "dataset_id": row["dataset_id"],
        "inputs": orjson.Fragment(row["inputs"]),
        "outputs": orjson.Fragment(row["outputs"] or "null"),
        "metadata": orjson.Fragment(row["metadata"]),
        "created_at": iso(row["created_at"]),
        "modified_at": iso(row["valid_from"]),
        "source_run_id": row["source_run_id"],
    }
