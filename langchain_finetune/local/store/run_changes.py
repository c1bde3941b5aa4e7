"""Changes of runs as clients send them, merged into one row. Pure functions; no I/O.

A run comes as a post (when it begins) and patches (as it goes on and ends), in any order and any
number. Null values count as absent. A patch overwrites; a post only fills what is still
empty, because it is older than every patch, and a repeated one is a client's second attempt. A
whole run, such as a span that has ended, is both.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.store.values import (
    ClientBody,
    ClientTime,
    Id,
    dumps,
    iso,
    json_text,
    loads,
    micros,
    now,
    parsed,
    validated,
)

JSON_COLUMNS = ("inputs", "outputs", "events", "extra", "serialized")
"""Columns that hold JSON as it was sent."""

_OBJECTS = frozenset({"inputs", "outputs", "extra", "serialized"})
_ORDER = re.compile(r"[^.Z]*Z[0-9a-fA-F-]{36}(\.[^.Z]*Z[0-9a-fA-F-]{36})*")
_THREAD_KEYS = ("session_id", "thread_id", "conversation_id")
DEFAULT_PROJECT = "default"
_MAX_DEPTH = 200
"""Levels of a trace that the order of a run spells out; a deeper run begins an order of its own."""

RunChangeKind = Literal["post", "patch", "whole"]


class _RunBody(ClientBody):
    """What a client sends, but for columns of JSON."""

    id: Id
    trace_id: Id | None = None
    parent_run_id: Id | None = None
    reference_example_id: Id | None = None
    dotted_order: str | None = None
    name: str | None = None
    run_type: str | None = None
    start_time: ClientTime | None = None
    end_time: ClientTime | None = None
    tags: list[str] | None = None
    error: Any = None
    session_name: str | None = None
    session_id: Id | None = None


_COLUMNS = _RunBody.model_fields.keys() - {"id", "error", "tags", "session_name", "session_id"}


@dataclass(frozen=True)
class RunChange:
    """One post or patch, or a whole run; its `values` by column are never None."""

    kind: RunChangeKind
    run_id: str
    values: Mapping[str, Any]
    project_name: str | None = None
    project_id: str | None = None


def run_change(
    kind: RunChangeKind, body: Any, large: Mapping[str, bytes] | None = None
) -> RunChange:
    """Read a change as a client sends it; of a patch only `id` is required.

    `large` fields came beside the body, as JSON: those of `JSON_COLUMNS`, and `error`.
    """
    asked = validated(_RunBody, body)
    values = {name: value for name, value in vars(asked).items() if name in _COLUMNS}
    if not _ORDER.fullmatch(asked.dotted_order or f"Z{asked.id}"):
        raise ApiError(400, "dotted_order must be times and ids.", param="dotted_order")
    values["tags"] = None if asked.tags is None else dumps(asked.tags, "tags")
    error = loads(large["error"], "error") if large and "error" in large else asked.error
    values["error"] = error if error is None or isinstance(error, str) else dumps(error, "error")
    for name in JSON_COLUMNS:
        if large and name in large:
            values[name] = _checked(name, *parsed(large[name], name))
        elif body.get(name) is not None:
            values[name] = _checked(name, body[name], dumps(body[name], name).encode())
    # An empty string counts as absent; an empty error is not a failure.
    values = {name: value for name, value in values.items() if value not in {None, ""}}
    if kind != "patch":
        for name in ("name", "run_type"):
            if name not in values:
                raise ApiError(400, f"Run {asked.id} needs a {name}.", param=name)
        values.setdefault("start_time", now())
    return RunChange(kind, asked.id, values, asked.session_name or None, asked.session_id)


def merged(
    old: Mapping[str, Any], change: RunChange, parent: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return the row after a change; the old one is `{}` for a new run.

    The parent's row, where it is known, gives trace and order if the run has none.
    """
    known = {name: value for name, value in old.items() if value is not None}
    row = {**change.values, **known} if change.kind == "post" else {**known, **change.values}
    row["id"] = change.run_id
    row["posted"] = change.kind != "patch" or bool(old.get("posted"))
    if row["posted"]:
        row |= _place(row, parent or {})
    return row | _derived(row)


def _place(row: Mapping[str, Any], parent: Mapping[str, Any]) -> dict[str, Any]:
    """Return trace and dotted order, which clients without batches may leave out."""
    stamp = iso(row["start_time"])[:26].translate(str.maketrans("", "", "-:."))
    above = parent.get("dotted_order") or ""
    above = "" if is_deepest(above) else above
    order = row.get("dotted_order") or f"{above + '.' if above else ''}{stamp}Z{row['id']}"
    trace = (
        row.get("trace_id") or parent.get("trace_id") or order.partition(".")[0].partition("Z")[2]
    )
    return {"dotted_order": order, "trace_id": trace}


def is_deepest(order: str) -> bool:
    """Return whether the runs below the one with this order begin orders of their own.

    Example:
        >>> is_deepest("20261101T120000000000Z6f8c0a52-8d5b-4d3c-9d56-0d3c2c7d9a11")
        False
    """
    return order.count(".") >= _MAX_DEPTH


def _derived(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns that follow from others."""
    extra = orjson.loads(row.get("extra") or "{}")
    found = extra.get("metadata")
    metadata: dict[str, Any] = found if isinstance(found, dict) else {}
    thread = next((metadata[key] for key in _THREAD_KEYS if metadata.get(key)), None)
    prompt = completion = total = model = None
    if row.get("run_type") == "llm":
        outputs = orjson.loads(row.get("outputs") or "{}")
        prompt, completion, total = _token_counts(metadata, outputs)
        model = _answering_model(outputs)
    status = "error" if row.get("error") else "success" if row.get("end_time") else "pending"
    return {
        "status": status,
        "metadata": dumps(metadata, "metadata"),
        "thread_id": None if thread is None else json_text(thread),
        "first_token_time": first_token_time(orjson.loads(row.get("events") or "[]")),
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": total,
        "model": model,
    }


def _checked(name: str, value: Any, data: bytes) -> str | None:
    """Return JSON for its column, once it is sure to have the shape that readers expect."""
    if value is None:
        return None
    members = [value] if name in _OBJECTS else value
    if not isinstance(members, list) or not all(isinstance(each, dict) for each in members):
        kind = "an object" if name in _OBJECTS else "a list of objects"
        raise ApiError(400, f"{name} must be {kind}.", param=name)
    return data.decode()


def _token_counts(
    metadata: Mapping[str, Any], outputs: Mapping[str, Any]
) -> tuple[int | None, int | None, int | None]:
    """Return the token counts of an llm run: prompt, completion, total; None if unknown.

    LangChain's tracer leaves `usage_metadata` in the metadata. In the outputs `@traceable`
    functions leave it, OpenAI `usage`, and LangChain before 2024 `llm_output.token_usage`.
    """
    for usage in _usages(metadata, outputs):
        prompt = _count(usage, "input_tokens", "prompt_tokens")
        completion = _count(usage, "output_tokens", "completion_tokens")
        total = _count(usage, "total_tokens", "total_tokens")
        if total is None and prompt is not None and completion is not None:
            total = prompt + completion
        if total is not None or prompt is not None or completion is not None:
            return prompt, completion, total
    return None, None, None


def first_token_time(events: list[Any]) -> int | None:
    """Return the time of the first `new_token` event."""
    for event in events:
        if isinstance(event, dict) and event.get("name") == "new_token":
            return micros(event.get("time"))
    return None


def _answering_model(outputs: Mapping[str, Any]) -> str | None:
    """Return the name of the model that an answer gives; None if it gives none.

    LangChain's tracer leaves it in the message's `response_metadata`, `wrap_openai` in the body.
    """
    match outputs:
        case {"model": str(model)}:
            return model
        case {"generations": [[{"message": {"kwargs": {"response_metadata": {**told}}}}, *_], *_]}:
            name = told.get("model_name")
            return name if isinstance(name, str) else None
    return None


def _usages(metadata: Mapping[str, Any], outputs: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    llm_output = outputs.get("llm_output")
    nested = llm_output.get("token_usage") if isinstance(llm_output, dict) else None
    found = (
        metadata.get("usage_metadata"),
        outputs.get("usage_metadata"),
        outputs.get("usage"),
        nested,
    )
    return (usage for usage in found if isinstance(usage, dict))


def _count(usage: Mapping[str, Any], name: str, other: str) -> int | None:
    value = usage.get(name, usage.get(other))
    fits = isinstance(value, int) and 0 <= value < 2**53
    return value if fits and not isinstance(value, bool) else None
