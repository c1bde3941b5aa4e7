"""A span of Opik, or a trace with its spans, as its API and `opik export` write them.

Format (Opik 2.2): `{"id", "trace_id", "type": "llm", "input", "output", "metadata", "tags",
"feedback_scores", "error_info", ...}`; an exported file is `{"trace": {...}, "spans": [...]}`.

Opik's tracer of LangChain keeps the inputs and outputs of LangChain's own tracer, but none of the
request's settings: a chat that calls tools is not readable, since nobody knows which there were.
Its wrapper of OpenAI's SDK has the settings in `metadata`.
"""

from collections.abc import Mapping
from typing import Any

from langchain_finetune.content import entries, mapping
from langchain_finetune.dialects.stored_trace import TRACER_TYPES, StoredTrace, feedback, parsed


def is_trace(row: Mapping[str, Any]) -> bool:
    """Return whether a row is a trace of Opik with its spans, or one of its spans."""
    if isinstance(row.get("trace"), Mapping) and isinstance(row.get("spans"), list):
        return True
    return row.get("type") in _TYPES and "trace_id" in row and "input" in row


_TYPES = ("llm", "general", "tool", "guardrail")


def read_trace(row: Mapping[str, Any]) -> StoredTrace:
    """Return the calls of models in a trace, or that of a span, and the feedback on them."""
    trace = mapping(row.get("trace"))
    spans = [mapping(span) for span in entries(row.get("spans"))] if trace else [row]
    trace_id = str(trace.get("id") or row.get("trace_id"))
    roots = [str(span.get("id")) for span in spans if not span.get("parent_span_id")]
    found = _scores(trace, [trace_id, *roots])
    for span in spans:
        span_id = str(span.get("id"))
        found += _scores(span, [trace_id, span_id] if span_id in roots else [span_id])
    runs = [_run(span, trace) for span in spans if span.get("type") == "llm"]
    return StoredTrace(sorted(runs, key=lambda run: str(run["start_time"]), reverse=True), found)


def _scores(row: Mapping[str, Any], run_ids: list[str]) -> list[dict[str, Any]]:
    return [
        made
        for score in map(mapping, entries(row.get("feedback_scores")))
        for made in feedback(
            score.get("name"), score.get("value"), run_ids, at=score.get("last_updated_at")
        )
    ]


def _run(span: Mapping[str, Any], trace: Mapping[str, Any]) -> dict[str, Any]:
    metadata = mapping(parsed(span.get("metadata")))
    failed = mapping(span.get("error_info"))
    by_langchain = metadata.get("created_from") == "langchain"
    params = {"model": span.get("model"), "_type": TRACER_TYPES.get(str(span.get("provider")))}
    return {
        "id": str(span.get("id")),
        "trace_id": str(span.get("trace_id") or trace.get("id")),
        "thread_id": trace.get("thread_id"),
        "name": span.get("name"),
        "run_type": "llm",
        "status": "error" if failed else "success",
        "error": failed.get("exception_type") or ("error" if failed else None),
        "start_time": span.get("start_time"),
        "end_time": span.get("end_time"),
        "tags": [*entries(span.get("tags")), *entries(trace.get("tags"))],
        "inputs": parsed(span.get("input")),
        "outputs": parsed(span.get("output")),
        "extra": {
            "invocation_params": params if by_langchain else dict(metadata),
            "metadata": metadata,
        },
        "tools_unknown": by_langchain,
    }
