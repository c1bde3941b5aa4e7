"""Runs as both of LangSmith's APIs show them. Pure functions; JSON goes out as it came in."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from langchain_finetune.local.store.attachments import Links, attachment_urls
from langchain_finetune.local.store.values import iso

StoredRun = Mapping[str, Any]
Stats = Mapping[str, Any] | None


@dataclass(frozen=True)
class FoundRun:
    """A run's row, with a summary of its feedback and its attachments if requested."""

    row: StoredRun
    stats: Stats
    attachments: Links = field(default_factory=dict)


V1_ALWAYS = frozenset(
    {"id", "name", "run_type", "start_time", "trace_id", "session_id", "status", "dotted_order"}
)
"""Fields that come whatever is selected: without them LangSmith's client can't make a `Run`."""

_HEAVY = {name: name for name in ("inputs", "outputs", "events", "extra", "serialized")}
_HEAVY["manifest"] = "serialized"


def heavy_columns(fields: frozenset[str] | None) -> list[str]:
    """Return the large columns that these fields need; of None, all of them."""
    wanted = {column for name, column in _HEAVY.items() if fields is None or name in fields}
    return sorted(wanted)


def v1_run(found: FoundRun, fields: frozenset[str] | None = None) -> dict[str, Any]:
    """Return a run as LangSmith's first API has it (`langsmith.schemas.Run`)."""
    shown = {
        name: show(found.row, found.stats)
        for name, show in _V1.items()
        if fields is None or name in fields or name in V1_ALWAYS
    }
    if fields is None or "s3_urls" in fields:
        shown["s3_urls"] = attachment_urls(found.attachments)
    return shown


def v2_run(found: FoundRun, fields: frozenset[str], root: str) -> dict[str, Any]:
    """Return a run as `POST /v2/runs/query` returns it (`langsmith.types.Run`).

    What a local store does not know, such as costs, is absent. Files' addresses begin with `root`.
    """
    shown = {name: show(found.row, found.stats) for name, show in _V2.items() if name in fields}
    if "attachments" in fields:
        shown["attachments"] = {name: root + link.path for name, link in found.attachments.items()}
    return shown


def _column(name: str) -> Callable[[StoredRun, Stats], Any]:
    return lambda row, _: row[name]


def _time(name: str) -> Callable[[StoredRun, Stats], Any]:
    return lambda row, _: None if row[name] is None else iso(row[name])


def _json(name: str, empty: str = "null") -> Callable[[StoredRun, Stats], Any]:
    # It was parsed when it came in, so it may go out unread.
    return lambda row, _: orjson.Fragment(row[name] or empty)


def _upper(name: str) -> Callable[[StoredRun, Stats], Any]:
    return lambda row, _: row[name].upper()


def _above(row: StoredRun, _: Stats) -> list[str]:
    """Return the runs above one, root first: `20261120T113714209962Z<id>.<...>Z<id>`."""
    return [part.partition("Z")[2] for part in row["dotted_order"].split(".")[:-1]]


def _latency(row: StoredRun, _: Stats) -> float | None:
    return None if row["end_time"] is None else (row["end_time"] - row["start_time"]) / 1e6


_SHARED: dict[str, Callable[[StoredRun, Stats], Any]] = {
    "id": _column("id"),
    "trace_id": _column("trace_id"),
    "parent_run_ids": _above,
    "dotted_order": _column("dotted_order"),
    "name": _column("name"),
    "start_time": _time("start_time"),
    "end_time": _time("end_time"),
    "first_token_time": _time("first_token_time"),
    "error": _column("error"),
    "tags": _json("tags", "[]"),
    "inputs": _json("inputs", "{}"),
    "outputs": _json("outputs"),
    "events": _json("events", "[]"),
    "extra": _json("extra", "{}"),
    "reference_example_id": _column("reference_example_id"),
    "thread_id": _column("thread_id"),
    "prompt_tokens": _column("prompt_tokens"),
    "completion_tokens": _column("completion_tokens"),
    "total_tokens": _column("total_tokens"),
    "feedback_stats": lambda _, stats: stats,
}
_V1 = _SHARED | {
    "run_type": _column("run_type"),
    "status": _column("status"),
    "session_id": _column("project_id"),
    "parent_run_id": _column("parent_run_id"),
    "serialized": _json("serialized"),
}
_V2 = _SHARED | {
    "run_type": _upper("run_type"),
    "status": _upper("status"),
    "project_id": _column("project_id"),
    "is_root": lambda row, _: row["parent_run_id"] is None,
    "latency_seconds": _latency,
    "metadata": _json("metadata", "{}"),
    "manifest": _json("serialized"),
}
