"""The runs of a store."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.sqlite import Where, one_of
from langchain_finetune.local.store.attachments import Attachment, Attachments
from langchain_finetune.local.store.database import StoreDatabase
from langchain_finetune.local.store.feedback import Feedback, summary
from langchain_finetune.local.store.projects import ProjectStore
from langchain_finetune.local.store.run_changes import DEFAULT_PROJECT, RunChange, merged
from langchain_finetune.local.store.run_queries import RunSearch
from langchain_finetune.local.store.run_serialization import FoundRun, heavy_columns
from langchain_finetune.local.store.values import iso

_TRACES_AT_ONCE = 100
_MODEL_CALLS = """
    SELECT id, trace_id, dotted_order, metadata, total_tokens, start_time FROM runs
    WHERE trace_id = ? AND posted AND run_type = 'llm' ORDER BY start_time DESC, id DESC LIMIT ?
"""
"""Of one trace: it reads only the end of the trace in an index."""

_PERCENTILES = {"p50": 0.5, "p99": 0.99}
_LIGHT = (
    "id, project_id, trace_id, parent_run_id, dotted_order, name, run_type, start_time, end_time, "
    "error, tags, reference_example_id, status, metadata, thread_id, first_token_time, "
    "prompt_tokens, completion_tokens, total_tokens"
)


@dataclass(frozen=True)
class FoundRuns:
    """A part of a query's runs, and whether more follows."""

    runs: list[FoundRun]
    has_more: bool


class Runs:
    """All runs of a store.

    A run of which only a patch has come so far is kept, and shown once its post has come too.
    `make_room` is called before runs are taken in; it may raise to refuse them. `note_changes` gets
    the ids of those that are, inside the transaction.
    """

    def __init__(
        self,
        database: StoreDatabase,
        projects: ProjectStore,
        feedback: Feedback,
        attachments: Attachments,
        make_room: Callable[[], None],
        *,
        note_changes: Callable[[Iterable[str]], None],
    ) -> None:
        self._database = database
        self._projects = projects
        self._feedback = feedback
        self._attachments = attachments
        self._make_room = make_room
        self._note_changes = note_changes

    def apply(
        self,
        changes: Iterable[RunChange],
        attachments: Mapping[str, Iterable[Attachment]] | None = None,
        feedback: Sequence[Any] = (),
    ) -> None:
        """Take in posts and patches, and the files and feedback that came with them, all or none.

        Raises:
            ApiError: 404 where one names a project by an id that there isn't, 400 for malformed
                feedback, 507 if the disk is full.
        """
        self._make_room()
        with self._database.transaction():
            self._apply(list(changes))
            for run_id, files in (attachments or {}).items():
                self._attachments.add(str(UUID(run_id)), files)
            if feedback:
                self._feedback.add(feedback)

    def find(self, query: RunSearch) -> FoundRuns:
        """Return a page of the runs that match a query."""
        columns = ", ".join(f"r.{name}" for name in heavy_columns(query.fields))
        direction = "ASC" if query.ascending else "DESC"
        light = ", ".join(f"r.{name}" for name in _LIGHT.split(", "))
        page, has_more = self._database.page(
            f"SELECT {light}{', ' if columns else ''}{columns} FROM runs AS r "  # noqa: S608
            f"WHERE r.posted AND ({query.where.sql}) "
            f"ORDER BY r.start_time {direction}, r.id {direction} LIMIT ?",
            query.where.values,
            query.limit,
        )
        ids = [row["id"] for row in page]
        stats = self._feedback.stats(ids) if _wants(query, "feedback_stats") else {}
        has_files = _wants(query, "s3_urls", "attachments")
        files = self._attachments.of(ids) if has_files else {}
        runs = [FoundRun(row, stats.get(row["id"]), files.get(row["id"], {})) for row in page]
        return FoundRuns(runs, has_more)

    def count(self, where: Where, most: int) -> int:
        """Return how many runs meet a condition on `runs AS r`; counting ends at `most`."""
        [found] = self._database.search(
            "SELECT count(*) AS n FROM (SELECT 1 FROM runs AS r "  # noqa: S608 constants and "?"
            f"WHERE r.posted AND ({where.sql}) LIMIT ?) AS found",
            (*where.values, most),
        )
        return int(found["n"])

    def get(self, run_id: str, project_id: str | None = None) -> FoundRun:
        """Return one run, if it is in that project; anywhere by default."""
        row = self._row(run_id)
        if row is None or not row["posted"] or project_id not in (None, row["project_id"]):
            raise ApiError(404, f"There is no run {run_id}.", code="run_not_found")
        stats = self._feedback.stats([run_id]).get(run_id)
        return FoundRun(row, stats, self._attachments.of([run_id]).get(run_id, {}))

    def tokens_of(self, trace_ids: Sequence[str]) -> dict[str, int]:
        """Return the total tokens of traces, if known."""
        asked = one_of("trace_id", trace_ids)
        rows = self._database.rows(
            "SELECT trace_id, sum(total_tokens) AS tokens FROM runs "  # noqa: S608 constants and "?"
            f"WHERE posted AND {asked.sql} GROUP BY trace_id HAVING sum(total_tokens) IS NOT NULL",
            asked.values,
        )
        return {row["trace_id"]: row["tokens"] for row in rows}

    def model_calls(self, trace_ids: Iterable[str], most: int) -> dict[str, list[dict[str, Any]]]:
        """Return the newest model calls of traces, by trace, newest first; of each at most so many.

        Their fields are `id`, `trace_id`, `dotted_order`, `metadata` and `total_tokens`.
        """
        ids = list(dict.fromkeys(trace_ids))
        found: dict[str, list[dict[str, Any]]] = {each: [] for each in ids}
        for first in range(0, len(ids), _TRACES_AT_ONCE):
            asked = ids[first : first + _TRACES_AT_ONCE]
            parts = " UNION ALL ".join(
                f"SELECT * FROM ({_MODEL_CALLS}) AS t{number}"  # noqa: S608 - constants
                for number in range(len(asked))
            )
            rows = self._database.search(
                f"SELECT * FROM ({parts}) AS calls ORDER BY start_time DESC, id DESC",  # noqa: S608
                [value for each in asked for value in (each, most)],
            )
            for row in rows:
                del row["start_time"]
                found[row["trace_id"]].append(row)
        return found

    def stats(self, where: Where) -> dict[str, Any]:
        """Return the figures of the runs that meet a condition on `runs AS r`.

        As `client.get_run_stats` has them: latencies in seconds; costs are not known, and absent.
        """
        # One reading gives all: times come as one text, since a row for each would take long.
        [found] = self._database.search(
            "SELECT count(*) AS run_count, "  # noqa: S608 constants and "?"
            "avg(CASE r.status WHEN 'error' THEN 1.0 ELSE 0.0 END) AS error_rate, "
            "sum(r.prompt_tokens) AS prompt_tokens, sum(r.completion_tokens) AS completion_tokens, "
            "sum(r.total_tokens) AS total_tokens, max(r.start_time) AS last, "
            "group_concat(r.end_time - r.start_time) AS latencies, "
            "group_concat(r.first_token_time - r.start_time) AS first_tokens "
            f"FROM runs AS r WHERE r.posted AND ({where.sql})",
            where.values,
        )
        last, latencies = found.pop("last"), found.pop("latencies")
        first_tokens = found.pop("first_tokens")
        return {
            **found,
            "last_run_start_time": None if last is None else iso(last),
            **_percentiles("latency", latencies),
            **_percentiles("first_token", first_tokens),
            "feedback_stats": self._feedback_stats(where),
        }

    def _feedback_stats(self, where: Where) -> dict[str, Any]:
        rows = self._database.search(
            "SELECT f.key, f.score, f.value, f.comment FROM feedback AS f "  # noqa: S608
            f"CROSS JOIN runs AS r ON r.id = f.run_id WHERE r.posted AND ({where.sql})",
            where.values,
        )
        by_key: dict[str, list[Any]] = {}
        for row in rows:
            by_key.setdefault(row["key"], []).append(row)
        return {key: summary(points) for key, points in by_key.items()}

    def _apply(self, changes: Sequence[RunChange]) -> None:
        """Merge changes into the rows before them; all are read, and written, in one go."""
        rows = self._by_id("*", {change.run_id for change in changes})
        above = {_parent_id(rows.get(change.run_id, {}), change) for change in changes}
        parents = self._by_id("id, trace_id, dotted_order", above - {None} - rows.keys())
        projects: dict[tuple[str | None, str | None, bool], str | None] = {}
        changed: dict[str, dict[str, Any]] = {}
        for change in changes:
            old = rows.get(change.run_id, {})
            parent_id = _parent_id(old, change)
            row = merged(old, change, rows.get(parent_id) or parents.get(parent_id))
            row["project_id"] = old.get("project_id")
            if not row["project_id"]:
                named = (change.project_id, change.project_name, change.kind == "patch")
                if named not in projects:
                    projects[named] = self._project_of(change)
                row["project_id"] = projects[named]
            rows[change.run_id] = changed[change.run_id] = row
        self._database.put_all("runs", changed.values())
        self._note_changes(changed)

    def _project_of(self, change: RunChange) -> str | None:
        if change.project_id:
            return str(self._projects.get(change.project_id)["id"])
        if change.project_name:
            return self._projects.ensure(change.project_name)
        # A patch need not say where its run belongs: the post does.
        return self._projects.ensure(DEFAULT_PROJECT) if change.kind != "patch" else None

    def _by_id(self, columns: str, ids: Collection[Any]) -> dict[Any, dict[str, Any]]:
        if not ids:
            return {}
        asked = one_of("id", ids)
        sql = f"SELECT {columns} FROM runs WHERE {asked.sql}"  # noqa: S608 constants and "?"
        return {row["id"]: row for row in self._database.rows(sql, asked.values)}

    def _row(self, run_id: str) -> dict[str, Any] | None:
        return self._database.row("SELECT * FROM runs WHERE id = ?", (run_id,))


def _percentiles(name: str, times: str | None) -> dict[str, float | None]:
    """Return the percentiles, in seconds, of times in microseconds that commas separate."""
    if not times:
        return dict.fromkeys((f"{name}_{label}" for label in _PERCENTILES), None)
    values = np.fromstring(times, dtype=np.int64, sep=",")
    found: dict[str, float | None] = {}
    for label, share in _PERCENTILES.items():
        place = int(share * (len(values) - 1))
        found[f"{name}_{label}"] = int(np.partition(values, place)[place]) / 1e6
    return found


def _parent_id(old: Mapping[str, Any], change: RunChange) -> str | None:
    return old.get("parent_run_id") or change.values.get("parent_run_id")


def _wants(query: RunSearch, *fields: str) -> bool:
    return query.fields is None or not query.fields.isdisjoint(fields)
