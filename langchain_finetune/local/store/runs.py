"""The runs of a store."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.store.database import Database
from langchain_finetune.local.store.feedback import Feedback
from langchain_finetune.local.store.projects import Projects
from langchain_finetune.local.store.run_answers import heavy_columns
from langchain_finetune.local.store.run_changes import DEFAULT_PROJECT, RunChange, merged
from langchain_finetune.local.store.run_queries import RunQuery

_LIGHT = (
    "id, project_id, trace_id, parent_run_id, dotted_order, name, run_type, start_time, end_time, "
    "error, tags, reference_example_id, status, metadata, thread_id, first_token_time, "
    "prompt_tokens, completion_tokens, total_tokens"
)


@dataclass(frozen=True)
class FoundRun:
    """A run's row with the summary of its feedback, where that was asked for."""

    row: Mapping[str, Any]
    stats: Mapping[str, Any] | None


@dataclass(frozen=True)
class RunPage:
    """A part of a query's runs, and whether more follows."""

    runs: list[FoundRun]
    has_more: bool


class Runs:
    """All runs of a store.

    A run of which only a patch has come so far is kept, and shown once its post has come too.

    Args:
        database: Where they are kept.
        projects: Where unknown projects are made.
        feedback: What users said of the runs.
    """

    def __init__(self, database: Database, projects: Projects, feedback: Feedback) -> None:
        self._database = database
        self._projects = projects
        self._feedback = feedback

    def apply(self, changes: Iterable[RunChange]) -> None:
        """Take in posts and patches, all or none.

        Raises:
            ApiError: 404 where one names a project by an id that there isn't.
        """
        with self._database.transaction():
            for change in changes:
                self._apply(change)

    def find(self, query: RunQuery) -> RunPage:
        """Return a page of the runs that a query asks for."""
        columns = ", ".join(f"r.{name}" for name in heavy_columns(query.fields))
        direction = "ASC" if query.ascending else "DESC"
        light = ", ".join(f"r.{name}" for name in _LIGHT.split(", "))
        rows = self._database.search(
            f"SELECT {light}{', ' if columns else ''}{columns} FROM runs AS r "  # noqa: S608
            f"WHERE r.posted AND ({query.where.sql}) "
            f"ORDER BY r.start_time {direction}, r.id {direction} LIMIT ?",
            (*query.where.values, query.limit + 1),
        )
        page = rows[: query.limit]
        told = query.fields is None or "feedback_stats" in query.fields
        stats = self._feedback.stats([row["id"] for row in page]) if told else {}
        return RunPage(
            [FoundRun(row, stats.get(row["id"])) for row in page], len(rows) > query.limit
        )

    def get(self, run_id: str, project_id: str | None = None) -> FoundRun:
        """Return one run.

        Args:
            run_id: Its id.
            project_id: Where it must lie; anywhere by default.

        Raises:
            ApiError: 404 where there is none.
        """
        row = self._row(run_id)
        if row is None or not row["posted"] or project_id not in (None, row["project_id"]):
            raise ApiError(404, f"There is no run {run_id}.", code="run_not_found")
        return FoundRun(row, self._feedback.stats([run_id]).get(run_id))

    def _apply(self, change: RunChange) -> None:
        old = self._row(change.run_id) or {}
        parent_id = old.get("parent_run_id") or change.values.get("parent_run_id")
        parent = self._row(parent_id) if parent_id else None
        row = merged(old, change, parent)
        row["project_id"] = old.get("project_id") or self._project_of(change)
        self._database.put("runs", row)

    def _project_of(self, change: RunChange) -> str | None:
        if change.project_id:
            return str(self._projects.get(change.project_id)["id"])
        if change.project_name:
            return self._projects.ensure(change.project_name)
        # A patch need not say where its run belongs: the post does.
        return self._projects.ensure(DEFAULT_PROJECT) if change.kind == "post" else None

    def _row(self, run_id: str) -> dict[str, Any] | None:
        return self._database.row("SELECT * FROM runs WHERE id = ?", (run_id,))
