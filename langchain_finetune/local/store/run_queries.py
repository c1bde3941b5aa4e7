"""Queries for runs as both of LangSmith's APIs send them, made into one kind. No I/O here."""

import base64
import binascii
import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar
from uuid import UUID

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.sqlite import Where, all_of, one_of
from langchain_finetune.local.store.filter_parser import parse_filter
from langchain_finetune.local.store.filter_schema import RUN_FILTERS
from langchain_finetune.local.store.filter_sql import filter_condition
from langchain_finetune.local.store.values import EPOCH, micros

MAX_INTEGER = 2**63
"""SQLite's integers have 64 bits."""

DAY = dt.timedelta(days=1)
V1_PAGE = 100
V2_PAGE = 1000


@dataclass(frozen=True)
class RunSearch:
    """Which runs to give.

    Attributes:
        where: Condition on `runs AS r`.
        fields: What to tell of each run, by the names of the API that asks; None for all.
        limit: At most so many.
        ascending: Oldest first.
    """

    where: Where
    fields: frozenset[str] | None
    limit: int
    ascending: bool = False


def _aware(value: Any) -> Any:
    time = micros(value)
    return value if time is None else EPOCH + dt.timedelta(microseconds=time)


ClientTime = Annotated[dt.datetime, BeforeValidator(_aware)]
"""A time as clients write it; without an offset it is UTC."""


class _Query(BaseModel):
    """What both APIs have. An unknown condition is refused: dropped, it would match too much."""

    model_config = ConfigDict(extra="forbid")

    filter: str | None = None
    trace_filter: str | None = None
    tree_filter: str | None = None
    is_root: bool | None = None
    cursor: str | None = None
    run_type: str | None = None

    def shared(self) -> Iterator[Where]:
        if self.run_type:
            yield Where("r.run_type = ?", (self.run_type.lower(),))
        if self.is_root is not None:
            yield _is_root(self.is_root)
        if self.filter:
            yield filter_condition(parse_filter(self.filter), RUN_FILTERS, "r")
        if self.trace_filter:
            yield _some_run("root", "root.id = r.trace_id", self.trace_filter)
        if self.tree_filter:
            yield _some_run("other", "other.trace_id = r.trace_id", self.tree_filter)


class _V1Query(_Query):
    session: list[UUID] | None = None
    id: list[UUID] | None = None
    trace: UUID | None = None
    parent_run: UUID | None = None
    reference_example: list[UUID] | None = None
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
    session_id: UUID | None = None
    skip_pagination: bool | None = None
    skip_prev_cursor: bool | None = None

    def conditions(self) -> Iterator[Where]:
        yield from self.shared()
        for column, ids in {
            "r.project_id": self.session,
            "r.id": self.id,
            "r.reference_example_id": self.reference_example,
        }.items():
            if ids:
                yield one_of(column, map(str, ids))
        if self.session_id:
            yield Where("r.project_id = ?", (str(self.session_id),))
        if self.trace:
            yield Where("r.trace_id = ?", (str(self.trace),))
        if self.parent_run:
            yield Where("r.parent_run_id = ?", (str(self.parent_run),))
        if self.execution_order:
            yield _is_root(wanted=True)
        if self.error is not None:
            yield _has_error(self.error)
        if self.start_time:
            yield Where("r.start_time >= ?", (micros_of(self.start_time),))
        if self.end_time:
            yield Where("r.start_time <= ?", (micros_of(self.end_time),))
        if self.query:
            text = orjson.dumps(self.query).decode()
            yield filter_condition(parse_filter(f"search({text})"), RUN_FILTERS, "r")


class _V2Query(_Query):
    project_ids: list[UUID] = Field(min_length=1)
    ids: list[UUID] | None = None
    trace_id: UUID | None = None
    reference_examples: list[UUID] | None = None
    has_error: bool | None = None
    min_start_time: ClientTime | None = None
    max_start_time: ClientTime | None = None
    selects: list[str] = ["ID"]
    page_size: int = Field(default=100, ge=1, le=V2_PAGE)

    def conditions(self, now: dt.datetime) -> Iterator[Where]:
        yield from self.shared()
        yield one_of("r.project_id", map(str, self.project_ids))
        if self.ids:
            yield one_of("r.id", map(str, self.ids))
        if self.reference_examples:
            yield one_of("r.reference_example_id", map(str, self.reference_examples))
        if self.trace_id:
            yield Where("r.trace_id = ?", (str(self.trace_id),))
        if self.has_error is not None:
            yield _has_error(self.has_error)
        yield Where("r.start_time >= ?", (micros_of(self.min_start_time or now - DAY),))
        if self.max_start_time:
            yield Where("r.start_time <= ?", (micros_of(self.max_start_time),))


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


def v2_query(body: Any, now: dt.datetime) -> RunSearch:
    """Read the body of `POST /v2/runs/query`; its window begins a day ago, as LangSmith's does.

    Raises:
        ApiError: 400 where it is malformed.
    """
    asked = validated(_V2Query, body)
    return RunSearch(
        where=all_of([*asked.conditions(now), *after_run(asked.cursor, ascending=False)]),
        fields=v2_fields(asked.selects),
        limit=asked.page_size,
    )


def v2_fields(selects: list[str]) -> frozenset[str]:
    """Return the fields of `["ID", "INPUTS", ...]`; the id always comes."""
    return frozenset({"id", *(name.lower() for name in selects)})


def cursor_after(run: Any) -> str:
    """Return the cursor of the page that follows a run."""
    return base64.urlsafe_b64encode(orjson.dumps([run["start_time"], run["id"]])).decode()


def after_run(cursor: str | None, *, ascending: bool) -> list[Where]:
    """Return the condition that runs come behind a cursor, if there is one.

    Raises:
        ApiError: 400 where the cursor is not one of this server.
    """
    if not cursor:
        return []
    try:
        start_time, run_id = orjson.loads(base64.urlsafe_b64decode(cursor))
        place = (time_of_cursor(start_time), str(run_id))
    except (binascii.Error, TypeError, ValueError, RecursionError):
        raise ApiError(400, "The cursor is not one of this server.", param="cursor") from None
    return [Where(f"(r.start_time, r.id) {'>' if ascending else '<'} (?, ?)", place)]


def time_of_cursor(value: Any) -> int:
    """Return the time in a cursor.

    Raises:
        ValueError: It is none that the store keeps.
    """
    if not isinstance(value, int) or abs(value) >= MAX_INTEGER:
        raise ValueError("no time")
    return value


_Q = TypeVar("_Q", bound=BaseModel)


def validated(model: type[_Q], body: Any) -> _Q:
    """Read a body.

    Raises:
        ApiError: 400 with the place of the fault.
    """
    try:
        return model.model_validate(body)
    except ValidationError as error:
        fault = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in fault["loc"])
        raise ApiError(400, f"{place or 'The body'}: {fault['msg']}.", param=place) from None


def _some_run(alias: str, link: str, text: str) -> Where:
    """Return the condition that a run linked to `r` matches a filter."""
    found = filter_condition(parse_filter(text), RUN_FILTERS, alias)
    # A run of which only patches came is not there yet.
    condition = f"{link} AND {alias}.posted AND ({found.sql})"
    return Where(f"EXISTS (SELECT 1 FROM runs AS {alias} WHERE {condition})", found.values)  # noqa: S608 constants


def _is_root(wanted: bool) -> Where:  # noqa: FBT001 the value itself
    return Where(f"r.parent_run_id IS {'' if wanted else 'NOT '}NULL")


def _has_error(wanted: bool) -> Where:  # noqa: FBT001 the value itself
    return Where(f"r.error IS {'NOT ' if wanted else ''}NULL")


def micros_of(time: dt.datetime) -> int:
    """Return a time as the store keeps it."""
    return (time - EPOCH) // dt.timedelta(microseconds=1)
