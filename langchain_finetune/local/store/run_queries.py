"""Queries for runs, of both versions of LangSmith's API, as one type. No I/O."""

import base64
import binascii
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import orjson
from pydantic import Field

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.sqlite import Where, all_of, one_of
from langchain_finetune.local.store.filter_parser import parse_filter
from langchain_finetune.local.store.filter_schema import RUN_FILTERS
from langchain_finetune.local.store.filter_sql import filter_condition
from langchain_finetune.local.store.values import ClientQuery, ClientTime, Id, now, validated

MAX_INTEGER = 2**63
"""SQLite's integers have 64 bits."""

DAY = 24 * 3600 * 10**6
V1_PAGE = 100
V2_PAGE = 1000


@dataclass(frozen=True)
class RunSearch:
    """A search for runs: a condition on `runs AS r`, and the fields to return (None for all)."""

    where: Where
    fields: frozenset[str] | None
    limit: int
    ascending: bool = False


class _RunsQuery(ClientQuery):
    """What both APIs have."""

    filter: str | None = None
    trace_filter: str | None = None
    tree_filter: str | None = None
    is_root: bool | None = None
    cursor: str | None = None
    run_type: str | None = None

    def shared(
        self,
        wanted: Mapping[str, str | list[str] | None],
        *,
        begin: int | None,
        end: int | None,
        error: bool | None,
    ) -> Iterator[Where]:
        """Yield conditions: values wanted of columns, bounds of the start time, and the rest."""
        for column, values in wanted.items():
            if values:
                listed = [values] if isinstance(values, str) else values
                # The plus keeps SQLite from reading several projects one after the other, and
                # sorting all of their runs: it reads by time.
                several = column == "r.project_id" and len(listed) > 1
                yield one_of(f"+{column}" if several else column, listed)
        if begin is not None:
            yield Where("r.start_time >= ?", (begin,))
        if end is not None:
            yield Where("r.start_time <= ?", (end,))
        if error is not None:
            yield Where(f"r.error IS {'NOT ' if error else ''}NULL")
        if self.run_type:
            yield Where("r.run_type = ?", (self.run_type.lower(),))
        if self.is_root is not None:
            # With the plus, runs are not looked up by it: half of all may have none.
            yield Where(f"+r.parent_run_id IS {'' if self.is_root else 'NOT '}NULL")
        if self.filter:
            yield run_filter(self.filter)
        if self.trace_filter:
            yield _some_run("root", "root.id = r.trace_id", self.trace_filter)
        if self.tree_filter:
            yield _some_run("other", "other.trace_id = r.trace_id", self.tree_filter)


class _V1Query(_RunsQuery):
    session: list[Id] | None = None
    id: list[Id] | None = None
    trace: Id | None = None
    parent_run: Id | None = None
    reference_example: list[Id] | None = None
    start_time: ClientTime | None = None
    end_time: ClientTime | None = None
    error: bool | None = None
    query: str | None = None
    select: list[str] | None = None
    limit: int = Field(default=V1_PAGE, ge=1, le=V1_PAGE)
    order: Literal["asc", "desc"] = "desc"
    # What walkthroughs of 2023 send for "root runs".
    execution_order: Literal[1] | None = None
    # What `client.read_run(..., load_child_runs=True)` sends beside `trace`.
    session_id: Id | None = None
    skip_pagination: bool | None = None
    skip_prev_cursor: bool | None = None

    def conditions(self) -> Iterator[Where]:
        wanted = {
            "r.project_id": self.session,
            "r.id": self.id,
            "r.reference_example_id": self.reference_example,
            "r.trace_id": self.trace,
            "r.parent_run_id": self.parent_run,
        }
        times = {"begin": self.start_time, "end": self.end_time}
        yield from self.shared(wanted, error=self.error, **times)
        if self.session_id:
            yield Where("r.project_id = ?", (self.session_id,))
        if self.execution_order:
            yield Where("r.parent_run_id IS NULL")
        if self.query:
            yield run_filter(f"search({orjson.dumps(self.query).decode()})")


class _V2Query(_RunsQuery):
    project_ids: list[Id] = Field(min_length=1)
    ids: list[Id] | None = None
    trace_id: Id | None = None
    reference_examples: list[Id] | None = None
    has_error: bool | None = None
    min_start_time: ClientTime | None = None
    max_start_time: ClientTime | None = None
    selects: list[str] = Field(default=["ID"])
    page_size: int = Field(default=100, ge=1, le=V2_PAGE)

    def conditions(self) -> Iterator[Where]:
        wanted = {
            "r.project_id": self.project_ids,
            "r.id": self.ids,
            "r.reference_example_id": self.reference_examples,
            "r.trace_id": self.trace_id,
        }
        begin = now() - DAY if self.min_start_time is None else self.min_start_time
        return self.shared(wanted, begin=begin, end=self.max_start_time, error=self.has_error)


def v1_query(body: Any) -> RunSearch:
    """Read the body of `POST /runs/query`.

    Raises:
        ApiError: 400 where it is malformed, asks for more than 100 runs, or names no place to
            look, as LangSmith answers.
    """
    asked = validated(_V1Query, body)
    if not any((asked.session, asked.id, asked.trace, asked.parent_run, asked.reference_example)):
        raise ApiError(
            400,
            "At least one of 'session', 'id', 'parent_run', 'trace' or 'reference_example' "
            "must be given.",
        )
    ascending = asked.order == "asc"
    return RunSearch(
        where=all_of([*asked.conditions(), *after_run(asked.cursor, ascending=ascending)]),
        fields=None if asked.select is None else frozenset(asked.select),
        limit=asked.limit,
        ascending=ascending,
    )


def v2_query(body: Any) -> RunSearch:
    """Read the body of `POST /v2/runs/query`; its window begins a day ago, as LangSmith's does."""
    asked = validated(_V2Query, body)
    return RunSearch(
        where=all_of([*asked.conditions(), *after_run(asked.cursor, ascending=False)]),
        fields=v2_fields(asked.selects),
        limit=asked.page_size,
    )


def v2_fields(selects: list[str]) -> frozenset[str]:
    """Return the fields of `["ID", "INPUTS", ...]`; the id always comes."""
    return frozenset({"id", *(name.lower() for name in selects)})


def cursor_after(run: Any) -> str:
    """Return the cursor of the page that follows a run."""
    return cursor_of(run["start_time"], run["id"])


def after_run(cursor: str | None, *, ascending: bool) -> list[Where]:
    """Return the condition that runs come behind a cursor, if there is one."""
    sign = ">" if ascending else "<"
    return [Where(f"(r.start_time, r.id) {sign} (?, ?)", read_cursor(cursor))] if cursor else []


def cursor_of(time: int, name: str) -> str:
    """Return the cursor after a time and an id."""
    return base64.urlsafe_b64encode(orjson.dumps([time, name])).decode()


def read_cursor(cursor: str) -> tuple[int, str]:
    """Return the time and the id of a cursor."""
    try:
        time, name = orjson.loads(base64.urlsafe_b64decode(cursor))
    except (binascii.Error, TypeError, ValueError, RecursionError):
        time, name = None, None
    if not isinstance(time, int) or abs(time) >= MAX_INTEGER:
        raise ApiError(400, "The cursor is not one of this server.", param="cursor")
    return time, str(name)


def run_filter(text: str, alias: str = "r") -> Where:
    """Return the condition of a filter in LangSmith's language on `runs`."""
    return filter_condition(parse_filter(text), RUN_FILTERS, alias)


def _some_run(alias: str, link: str, text: str) -> Where:
    """Return the condition that a run linked to `r` matches a filter."""
    found = run_filter(text, alias)
    # A run of which only patches came is not there yet.
    condition = f"{link} AND {alias}.posted AND ({found.sql})"
    return Where(f"EXISTS (SELECT 1 FROM runs AS {alias} WHERE {condition})", found.values)  # noqa: S608 constants
