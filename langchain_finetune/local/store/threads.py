"""Threads: root runs with the same conversation id in their metadata."""

from collections.abc import Iterator
from typing import Any

from pydantic import Field

from langchain_finetune.local.sqlite import Where, all_of
from langchain_finetune.local.store.database import StoreDatabase
from langchain_finetune.local.store.run_queries import (
    DAY,
    RunSearch,
    after_run,
    cursor_of,
    read_cursor,
    run_filter,
    v2_fields,
)
from langchain_finetune.local.store.values import ClientQuery, ClientTime, Id, iso, now, validated


class ThreadTraces(ClientQuery):
    """A query for the traces of a thread."""

    project_id: Id
    filter: str | None = None
    trace_filter: str | None = None
    cursor: str | None = None
    page_size: int = Field(default=20, ge=1, le=100)
    selects: list[str] = Field(default=[])

    def conditions(self) -> Iterator[Where]:
        """Yield the conditions on root runs, but for the cursor."""
        yield Where("r.posted AND r.parent_run_id IS NULL")
        yield Where("r.project_id = ?", (self.project_id,))
        for text in (self.filter, self.trace_filter):
            if text:
                yield run_filter(text)

    def search(self, thread_id: str) -> RunSearch:
        """Return the query of a thread's root runs."""
        where = all_of(
            [
                *self.conditions(),
                Where("r.thread_id = ?", (thread_id,)),
                *after_run(self.cursor, ascending=False),
            ]
        )
        return RunSearch(where, v2_fields(self.selects), self.page_size)


class _ThreadsQuery(ThreadTraces):
    min_start_time: ClientTime | None = None
    max_start_time: ClientTime | None = None


class TracesQuery(ClientQuery):
    """A query for traces."""

    project_id: Id
    trace_ids: list[Id] | None = None
    min_start_time: str | None = None
    max_start_time: str | None = None
    trace_filter: str | None = None
    tree_filter: str | None = None
    cursor: str | None = None
    page_size: int = Field(default=20, ge=1, le=100)
    selects: list[str] | None = None

    def as_runs(self) -> dict[str, Any]:
        """Return the same as a query of root runs."""
        query = self.model_dump(exclude={"project_id", "trace_ids"})
        return query | {
            "project_ids": [self.project_id],
            "ids": self.trace_ids or None,
            "selects": self.selects or [],
            "is_root": True,
        }


class Threads:
    """All threads of a store."""

    def __init__(self, database: StoreDatabase) -> None:
        self._database = database

    def find(self, body: Any) -> dict[str, Any]:
        """Answer `POST /v2/threads/query`: the threads with a root run that fits, newest first.

        The window begins a day ago where the body does not say when.
        """
        asked = validated(_ThreadsQuery, body)
        since = now() - DAY if asked.min_start_time is None else asked.min_start_time
        # With the plus, SQLite reads an index of threads instead of all runs since then.
        conditions = [*asked.conditions(), Where("+r.start_time >= ?", (since,))]
        if asked.max_start_time is not None:
            conditions.append(Where("+r.start_time < ?", (asked.max_start_time,)))
        where, after = all_of(conditions), Where("TRUE")
        if asked.cursor:
            behind = "(max(r.start_time), r.thread_id) < (?, ?)"
            after = Where(behind, read_cursor(asked.cursor))
        rows = self._database.search(
            "SELECT r.thread_id, count(*) AS count, min(r.start_time) AS first, "  # noqa: S608
            "max(r.start_time) AS last FROM runs AS r WHERE r.thread_id IS NOT NULL "
            f"AND ({where.sql}) GROUP BY r.thread_id HAVING {after.sql} "
            "ORDER BY last DESC, r.thread_id DESC LIMIT ?",
            (*where.values, *after.values, asked.page_size + 1),
        )
        page = rows[: asked.page_size]
        more = len(rows) > asked.page_size
        return {
            "items": [
                {
                    "thread_id": row["thread_id"],
                    "count": row["count"],
                    "min_start_time": iso(row["first"]),
                    "max_start_time": iso(row["last"]),
                }
                for row in page
            ],
            "next_cursor": cursor_of(page[-1]["last"], page[-1]["thread_id"]) if more else None,
        }
