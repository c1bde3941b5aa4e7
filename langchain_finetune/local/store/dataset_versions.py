"""Versions of datasets: each change begins one; it is named by its time, and may have tags."""

from collections.abc import Mapping
from typing import Any

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.sqlite import Where
from langchain_finetune.local.store.database import StoreDatabase
from langchain_finetune.local.store.values import iso, micros, now

LATEST = "latest"
"""The tag that moves by itself."""

_TIMES = """
SELECT valid_from AS time FROM example_versions WHERE dataset_id = ?
UNION SELECT valid_to FROM example_versions WHERE dataset_id = ? AND valid_to IS NOT NULL
"""


class Versions:
    """The versions of all datasets of a store."""

    def __init__(self, database: StoreDatabase) -> None:
        self._database = database

    def condition(self, as_of: str | None, dataset_id: str | None = None) -> Where:
        """Return the condition that a row of `example_versions AS e` is in a version.

        `as_of` is a time or a tag, of the dataset if that is given; the newest version by default.
        """
        if as_of in (None, "", LATEST):
            return Where("e.valid_to IS NULL")
        time = micros(as_of)
        if time is not None:
            return Where(
                "e.valid_from <= ? AND (e.valid_to IS NULL OR e.valid_to > ?)", (time, time)
            )
        sql = "SELECT 1 FROM dataset_tags WHERE tag = ? AND dataset_id = coalesce(?, dataset_id)"
        if not self._database.row(sql, (as_of, dataset_id)):
            raise _no_tag(as_of)
        tagged = (
            "(SELECT t.version FROM dataset_tags AS t"
            " WHERE t.dataset_id = e.dataset_id AND t.tag = ?)"
        )
        return Where(
            f"e.valid_from <= {tagged} AND (e.valid_to IS NULL OR e.valid_to > {tagged})",
            (as_of, as_of),
        )

    def all(
        self, dataset_id: str, *, search: str | None = None, limit: int = 100, offset: int = 0
    ) -> list[dict[str, Any]]:
        """Return the versions of a dataset, newest first: `{as_of, tags}`; `search` is in a tag."""
        found = [
            {"as_of": iso(time), "tags": tags}
            for time, tags in self._tagged(dataset_id).items()
            if not search or any(search in tag for tag in tags)
        ]
        return found[offset : offset + limit]

    def get(self, dataset_id: str, as_of: str | None, tag: str | None) -> dict[str, Any]:
        """Return the version of a tag, or the newest at a time."""
        if (as_of is None) == (tag is None):
            raise ApiError(400, "Exactly one of 'as_of' and 'tag' must be given.")
        limit = None if as_of is None else _time(as_of)
        for time, tags in self._tagged(dataset_id).items():
            if tag in tags or (limit is not None and time <= limit):
                return {"as_of": iso(time), "tags": tags}
        if tag is not None:
            raise _no_tag(tag)
        raise ApiError(404, "The dataset had no version yet.", code="version_not_found")

    def fixed(self, dataset_id: str, as_of: str | None) -> str:
        """Return the time of a version: what it holds stays, while tags and the newest move."""
        newest = next(iter(self._tagged(dataset_id)), now())
        time = micros(as_of) if as_of not in (None, "", LATEST) else newest
        if time is None:
            sql = "SELECT version FROM dataset_tags WHERE dataset_id = ? AND tag = ?"
            row = self._database.row(sql, (dataset_id, as_of))
            if row is None:
                raise _no_tag(as_of)
            time = int(row["version"])
        return iso(min(time, newest))

    def tag(self, dataset_id: str, as_of: Any, tag: Any) -> dict[str, Any]:
        """Name a version; a name that another one has moves."""
        if not isinstance(tag, str) or not tag or tag == LATEST or micros(tag) is not None:
            raise ApiError(400, "A tag must be a text, and neither 'latest' nor a time.")
        time = _time(as_of)
        if time not in self._tagged(dataset_id):
            raise ApiError(404, "No version of the dataset began then.", code="version_not_found")
        row = {"dataset_id": dataset_id, "tag": tag, "version": time}
        self._database.put("dataset_tags", row)
        return {"as_of": iso(time), "tags": self._tagged(dataset_id)[time]}

    def difference(self, dataset_id: str, before: str, after: str) -> dict[str, list[str]]:
        """Return which examples differ between two versions, by their times or tags."""
        old, new = (self._examples(dataset_id, as_of) for as_of in (before, after))
        both = old.keys() & new.keys()
        return {
            "examples_modified": sorted(each for each in both if old[each] != new[each]),
            "examples_added": sorted(new.keys() - old.keys()),
            "examples_removed": sorted(old.keys() - new.keys()),
        }

    def _examples(self, dataset_id: str, as_of: str) -> Mapping[str, int]:
        where = self.condition(as_of, dataset_id)
        rows = self._database.rows(
            "SELECT e.id, e.version FROM example_versions AS e "  # noqa: S608 constants and "?"
            f"WHERE e.dataset_id = ? AND {where.sql}",
            (dataset_id, *where.values),
        )
        return {row["id"]: row["version"] for row in rows}

    def _tagged(self, dataset_id: str) -> dict[int, list[str]]:
        """Return the times of all versions with their tags, newest first."""
        times = {row["time"] for row in self._database.rows(_TIMES, (dataset_id, dataset_id))}
        found: dict[int, list[str]] = {time: [] for time in sorted(times, reverse=True)}
        if found:
            found[max(times)].append(LATEST)
        sql = "SELECT tag, version FROM dataset_tags WHERE dataset_id = ? ORDER BY tag"
        for row in self._database.rows(sql, (dataset_id,)):
            # A version may be gone with the last example that changed in it.
            if row["version"] in found:
                found[row["version"]].append(row["tag"])
        return found


def _time(text: Any) -> int:
    time = micros(text)
    if time is None:
        raise ApiError(400, "as_of must be a time in ISO 8601.", param="as_of")
    return time


def _no_tag(tag: Any) -> ApiError:
    return ApiError(404, f"No version is tagged {tag!r}.", code="version_not_found")
