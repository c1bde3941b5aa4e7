"""A span of Phoenix, as its REST API and `get_spans` of its client return it.

Format (Phoenix 20): `{"context": {"trace_id", "span_id"}, "span_kind": "LLM", "status_code",
"attributes": {"input.value": "{...}", "llm.input_messages.0.message.role": "user", ...}, ...}`:
OpenInference's attributes, with the keys of `metadata` spelled out. Feedback is in annotations:
`{"name", "span_id" or "trace_id", "result": {"score", "label"}}`.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from langchain_finetune.content import entries, mapping
from langchain_finetune.dialects.otel_spans import as_kept_run
from langchain_finetune.dialects.stored_trace import StoredTrace, feedback

_METADATA = "metadata."


def is_span(row: Mapping[str, Any]) -> bool:
    """Return whether a row is a span of Phoenix."""
    return "span_kind" in row and "attributes" in row and "context" in row


def read_span(span: Mapping[str, Any], annotations: Iterable[Any] = ()) -> StoredTrace:
    """Return the run of a span, if it calls a model, and the annotations on it and its trace.

    Others among the annotations are ignored. One with a `trace_id` only is on the trace.
    """
    attributes = mapping(span.get("attributes"))
    metadata = {
        str(key).removeprefix(_METADATA): value
        for key, value in attributes.items()
        if str(key).startswith(_METADATA)
    }
    given = {key: value for key, value in attributes.items() if not key.startswith(_METADATA)}
    code, told = span.get("status_code"), span.get("status_message")
    run = as_kept_run(
        {
            **span,
            "id": None,
            "attributes": {**given, **({"metadata": metadata} if metadata else {})},
            "status": {"code": code, "message": told},
            "events": entries(span.get("events")),
        }
    )
    if run["run_type"] != "llm":
        return StoredTrace([], [])
    run_id, trace_id = str(run["id"]), str(run["trace_id"])
    found: list[dict[str, Any]] = []
    is_root = not span.get("parent_id")
    for each in map(mapping, annotations):
        on = each.get("span_id") or each.get("trace_id")
        if on not in (run_id, trace_id):
            continue
        result = mapping(each.get("result"))
        found += feedback(
            each.get("name"),
            result.get("score"),
            [run_id, trace_id] if is_root else [on],
            label=result.get("label"),
            at=each.get("updated_at"),
        )
    return StoredTrace([{**run, "tags": run["tags"] or []}], found)
