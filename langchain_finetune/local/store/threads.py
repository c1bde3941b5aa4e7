"""Threads: root runs whose metadata names the same conversation."""

import base64
import binascii
import datetime as dt
from typing import Any
from uuid import UUID

import orjson
from pydantic import BaseModel, ConfigDict, Field

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.sqlite import Database, Where, all_of
from langchain_finetune.local.store.filter_parser import parse_filter
from langchain_finetune.local.store.filter_schema import RUN_FILTERS
from langchain_finetune.local.store.filter_sql import filter_condition
from langchain_finetune.local.store.run_queries import (
    DAY,
    ClientTime,
    after_run,
    cursor_after,
    micros_of,
    time_of_cursor,
    validated,
)
from langchain_finetune.local.store.values import iso


class _ThreadsQuery(BaseModel):
    """An unknown condition is refused: dropped, it would match too much."""

    model_config = ConfigDict(extra="forbid")

    project_id: UUID
    min_start_time: ClientTime | None = None
    max_start_time: ClientTime | None = None
    filter: str | None = None
    trace_filter: str | None = None
    cursor: str | None = None
    page_size: int = Field(default=20, ge=1, le=100)


class ThreadTraces(BaseModel):
    """What is asked of the traces of a thread."""

    model_config = ConfigDict(extra="forbid")

    project_id: UUID
    filter: str | None = None
    trace_filter: str | None = None
    cursor: str | None = None
    page_size: int = Field(default=20, ge=1, le=100)


class TracesQuery(BaseModel):
    """What is asked of traces."""

    model_config = ConfigDict(extra="forbid")

    project_id: UUID
    trace_ids: list[UUID] | None = None
    min_start_time: str | None = None
    max_start_time: str | None = None
    trace_filter: str | None = None
    tree_filter: str | None = None
    cursor: str | None = None
    page_size: int = Field(default=20, ge=1, le=100)
    selects: list[str] | None = None

    def as_runs(self) -> dict[str, Any]:
        """Return the same as a query of root runs."""
        told = self.model_dump(mode="json", exclude={"project_id", "trace_ids"})
        return told | {
            "project_ids": [str(self.project_id)],
            "ids": [str(each) for each in self.trace_ids or []] or None,
            "selects": self.selects or [],
            "is_root": True,
        }


class Threads:
    """All threads of a store.

    Args:
        database: Where the runs are kept.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, body: Any, now: dt.datetime) -> dict[str, Any]:
        """Answer `POST /v2/threads/query`: the threads with a root run that fits, newest first.

        Args:
            body: `{"project_id", "min_start_time", "max_start_time", "filter", "cursor", ...}`;
                the window begins a day ago where it does not say when.
            now: The present time.

        Raises:
            ApiError: 400 where it is malformed.
        """
        asked = validated(_ThreadsQuery, body)
        conditions = [
            Where("r.project_id = ?", (str(asked.project_id),)),
            Where("r.start_time >= ?", (micros_of(asked.min_start_time or now - DAY),)),
        ]
        if asked.max_start_time:
            conditions.append(Where("r.start_time < ?", (micros_of(asked.max_start_time),)))
        conditions += [
            filter_condition(parse_filter(text), RUN_FILTERS, "r")
            for text in (asked.filter, asked.trace_filter)
            if text
        ]
        where, after = all_of(conditions), _after(asked.cursor)
        rows = self._database.search(
            "SELECT r.thread_id, count(*) AS count, min(r.start_time) AS first, "  # noqa: S608
            "max(r.start_time) AS last FROM runs AS r "
            "WHERE r.posted AND r.parent_run_id IS NULL AND r.thread_id IS NOT NULL "
            f"AND ({where.sql}) GROUP BY r.thread_id HAVING {after.sql} "
            "ORDER BY last DESC, r.thread_id DESC LIMIT ?",
            (*where.values, *after.values, asked.page_size + 1),
        )
        page = rows[: asked.page_size]
        return {
            "items": [_answer(row) for row in page],
            "next_cursor": _cursor(page[-1]) if len(rows) > asked.page_size else None,
        }

    def traces(
        self, thread_id: str, asked: ThreadTraces
    ) -> tuple[list[dict[str, Any]], str | None]:
        """Return root runs of a thread, newest first, and the cursor of those that follow.

        Raises:
            ApiError: 400 where a filter or the cursor is malformed.
        """
        conditions = [
            Where("r.project_id = ?", (str(asked.project_id),)),
            Where("r.thread_id = ?", (thread_id,)),
            Where("r.posted AND r.parent_run_id IS NULL"),
            *after_run(asked.cursor, ascending=False),
        ]
        conditions += [
            filter_condition(parse_filter(text), RUN_FILTERS, "r")
            for text in (asked.filter, asked.trace_filter)
            if text
        ]
        where = all_of(conditions)
        page, has_more = self._database.page(
            f"SELECT r.* FROM runs AS r WHERE {where.sql} "  # noqa: S608 constants and "?"
            "ORDER BY r.start_time DESC, r.id DESC LIMIT ?",
            where.values,
            asked.page_size,
        )
        return page, cursor_after(page[-1]) if has_more else None


def _answer(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "thread_id": row["thread_id"],
        "count": row["count"],
        "min_start_time": iso(row["first"]),
        "max_start_time": iso(row["last"]),
    }


def _cursor(row: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(orjson.dumps([row["last"], row["thread_id"]])).decode()


def _after(cursor: str | None) -> Where:
    if not cursor:
        return Where("1")
    try:
        last, thread_id = orjson.loads(base64.urlsafe_b64decode(cursor))
        return Where(
            "(max(r.start_time), r.thread_id) < (?, ?)", (time_of_cursor(last), str(thread_id))
        )
    except (binascii.Error, TypeError, ValueError, RecursionError):
        raise ApiError(400, "The cursor is not one of this server.", param="cursor") from None
