"""The runs of a store."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.sqlite import Database, Where, one_of
from langchain_finetune.local.store.attachments import Attachment, Attachments, Links
from langchain_finetune.local.store.feedback import Feedback
from langchain_finetune.local.store.projects import ProjectStore
from langchain_finetune.local.store.run_changes import DEFAULT_PROJECT, RunChange, merged
from langchain_finetune.local.store.run_queries import RunSearch
from langchain_finetune.local.store.run_serialization import heavy_columns
from langchain_finetune.local.store.run_stats import run_stats

_LIGHT = (
    "id, project_id, trace_id, parent_run_id, dotted_order, name, run_type, start_time, end_time, "
    "error, tags, reference_example_id, status, metadata, thread_id, first_token_time, "
    "prompt_tokens, completion_tokens, total_tokens"
)


@dataclass(frozen=True)
class FoundRun:
    """A run's row; summary of its feedback and its attachments, where they were asked for."""

    row: Mapping[str, Any]
    stats: Mapping[str, Any] | None
    attachments: Links = field(default_factory=dict)


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
        attachments: Files that came with them.
        make_room: Called before runs are taken in; it may raise to refuse them.
    """

    def __init__(
        self,
        database: Database,
        projects: ProjectStore,
        feedback: Feedback,
        attachments: Attachments,
        make_room: Callable[[], None],
    ) -> None:
        self._database = database
        self._projects = projects
        self._feedback = feedback
        self._attachments = attachments
        self._make_room = make_room

    def apply(
        self,
        changes: Iterable[RunChange],
        attachments: Mapping[str, Iterable[Attachment]] | None = None,
        feedback: Iterable[Any] = (),
    ) -> None:
        """Take in posts and patches, and what came with them, all or none.

        Args:
            changes: What clients say of runs.
            attachments: Files by the runs that they belong to.
            feedback: Feedback as clients send it.

        Raises:
            ApiError: 404 where one names a project by an id that there isn't, 400 for malformed
                feedback, 507 where there is no room.
        """
        self._make_room()
        with self._database.transaction():
            for change in changes:
                self._apply(change)
            for run_id, files in (attachments or {}).items():
                self._attachments.add(str(UUID(run_id)), files)
            self._feedback.add(feedback)

    def find(self, query: RunSearch) -> RunPage:
        """Return a page of the runs that a query asks for."""
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
        stats = self._feedback.stats(ids) if _told(query, "feedback_stats") else {}
        has_files = _told(query, "s3_urls", "attachments")
        files = self._attachments.of(ids) if has_files else {}
        runs = [FoundRun(row, stats.get(row["id"]), files.get(row["id"], {})) for row in page]
        return RunPage(runs, has_more)

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
        stats = self._feedback.stats([run_id]).get(run_id)
        return FoundRun(row, stats, self._attachments.of([run_id]).get(run_id, {}))

    def tokens_of(self, trace_ids: Sequence[str]) -> dict[str, int]:
        """Return how many tokens all runs of some traces took, where they say so."""
        asked = one_of("trace_id", trace_ids)
        rows = self._database.rows(
            "SELECT trace_id, sum(total_tokens) AS tokens FROM runs "  # noqa: S608 constants and "?"
            f"WHERE posted AND {asked.sql} GROUP BY trace_id HAVING tokens IS NOT NULL",
            asked.values,
        )
        return {row["trace_id"]: row["tokens"] for row in rows}

    def stats(self, where: Where) -> dict[str, Any]:
        """Return the figures of all runs that meet a condition on `runs AS r`."""
        return run_stats(self._database, where)

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


def _told(query: RunSearch, *fields: str) -> bool:
    return query.fields is None or not query.fields.isdisjoint(fields)
