"""An observation of Langfuse, or a trace with its observations.

Format (Langfuse 4, `GET /api/public/v2/observations`): `{"id", "traceId", "type": "GENERATION",
"input", "output", "modelParameters", "metadata", "usageDetails", "tags", "sessionId", ...}`, where
input and output are JSON texts; exports to blob storage have the names in snake case. A trace of
the older API has `observations` and `scores`.

Langfuse's handler of LangChain writes the tools as messages of the role `tool` whose content is
an object. It keeps no names, no `parallel_tool_calls` and no response format. Its wrapper of
OpenAI's SDK writes the messages, or an object with messages and tools. Of spans that Langfuse took
by OTLP, the rest of the attributes is in `metadata.attributes`.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from langchain_finetune.content import entries, mapping
from langchain_finetune.dialects.stored_trace import (
    TRACER_TYPES,
    StoredTrace,
    feedback,
    langchain_run,
    parsed,
)

_KINDS = {"user": "human", "assistant": "ai"} | {
    kind: kind for kind in ("system", "tool", "function")
}
"""LangChain's types of messages by Langfuse's roles."""

_TEXTS = ("CATEGORICAL", "CORRECTION", "TEXT")
"""Types of scores whose `value` is 0 where they have a `stringValue`."""


def is_observation(row: Mapping[str, Any]) -> bool:
    """Return whether a row is an observation of Langfuse, or a trace with observations."""
    if isinstance(row.get("observations"), list):
        return "input" in row
    return "input" in row and bool(_field(row, "traceId")) and str(row.get("type")).isupper()


def read_observation(row: Mapping[str, Any], scores: Iterable[Any] = ()) -> StoredTrace:
    """Return the call of an observation, or the calls of a trace, and the feedback on them."""
    given = row.get("observations")
    if not isinstance(given, list):
        observations = [row]
    else:
        of_trace = {"traceId": row.get("id"), "sessionId": _field(row, "sessionId")}
        of_trace = {key: value for key, value in of_trace.items() if value is not None}
        observations = [{"tags": row.get("tags"), **mapping(each), **of_trace} for each in given]
        scores = entries(row.get("scores"))
    roots = {str(each.get("id")) for each in observations if _is_root(each)}
    trace_id = str(row.get("id") if given is not None else _field(row, "traceId"))
    found: list[dict[str, Any]] = []
    for score in map(mapping, scores):
        on = _observation_of(score)
        ids = [trace_id, *roots] if on is None or on in roots else [on]
        kind = _field(score, "dataType")
        is_correction = kind == "CORRECTION"
        value, text = score.get("value"), _field(score, "stringValue")
        if text is not None and (value is None or kind in _TEXTS):
            value = text
        found += feedback(
            score.get("name"),
            None if is_correction else value,
            ids,
            at=_field(score, "updatedAt"),
            correction=parsed(value) if is_correction else None,
        )
    runs = [_run(each) for each in observations if each.get("type") == "GENERATION"]
    return StoredTrace(sorted(runs, key=lambda run: str(run["start_time"]), reverse=True), found)


def _field(row: Mapping[str, Any], name: str) -> Any:
    """Return a field by its name in camel case, or in snake case as in exports."""
    if row.get(name) is not None:
        return row[name]
    return row.get(re.sub("([A-Z])", r"_\1", name).lower())


def _is_root(observation: Mapping[str, Any]) -> bool:
    return bool(observation.get("isRootObservation")) or not _field(
        observation, "parentObservationId"
    )


def _observation_of(score: Mapping[str, Any]) -> str | None:
    subject = mapping(score.get("subject"))
    found = subject.get("id") if subject.get("kind") == "observation" else None
    found = found or _field(score, "observationId")
    return None if found is None else str(found)


def _run(observation: Mapping[str, Any]) -> dict[str, Any]:
    failed = observation.get("level") == "ERROR"
    metadata = {
        str(key): parsed(value)
        for key, value in mapping(parsed(observation.get("metadata"))).items()
    }
    trace = str(_field(observation, "traceId"))
    tags = [*entries(parsed(observation.get("tags"))), *entries(metadata.get("tags"))]
    run = {
        "id": str(observation.get("id")),
        "trace_id": trace,
        "thread_id": _field(observation, "sessionId") or None,
        "name": observation.get("name"),
        "run_type": "llm",
        "status": "error" if failed else "success",
        "error": (_field(observation, "statusMessage") or "ERROR") if failed else None,
        "start_time": _field(observation, "startTime"),
        "end_time": _field(observation, "endTime"),
        "tags": list(dict.fromkeys(map(str, tags))),
    }
    return run | _io(observation, metadata)


def _io(observation: Mapping[str, Any], metadata: Mapping[str, Any]) -> dict[str, Any]:
    sent, came = parsed(observation.get("input")), parsed(observation.get("output"))
    attributes = mapping(metadata.get("attributes"))
    if attributes and not isinstance(sent, Mapping):
        names = ("gen_ai.prompt", "gen_ai.completion")
        if any("parts" in mapping(each) for each in entries(sent)):
            names = ("gen_ai.input.messages", "gen_ai.output.messages")
        return {"attributes": {**attributes, names[0]: sent, names[1]: came}}
    model = observation.get("model") or _field(observation, "providedModelName")
    params = {"model": model, **mapping(parsed(_field(observation, "modelParameters")))}
    if "ls_model_type" in metadata and isinstance(sent, list) and came:
        definitions = [each for each in sent if _is_tool(each)]
        params["_type"] = TRACER_TYPES.get(str(metadata.get("ls_provider")))
        if definitions:
            params["tools"] = [each["content"] for each in definitions]
        return langchain_run(
            [_message(each) for each in sent if not _is_tool(each)],
            [_message(came)],
            params,
            mapping(parsed(_field(observation, "usageDetails"))).get("output"),
            metadata=metadata,
        )
    for name in ("response_format", "tools", "parallel_tool_calls"):
        if name in metadata:
            params[name] = metadata[name]
    return {
        "inputs": {"messages": sent} if isinstance(sent, list) else sent,
        "outputs": {"output": came} if isinstance(came, str | list) else came,
        "extra": {"invocation_params": params, "metadata": metadata},
    }


def _message(given: Any) -> Any:
    """Return a message in LangChain's flat form: then `additional_kwargs` are read as its own."""
    fields = mapping(given)
    kind = _KINDS.get(str(fields.get("role")))
    if kind is None:
        return given
    message = {"type": kind} | {key: value for key, value in fields.items() if key != "role"}
    # Langfuse does not keep which functions there were, the tools of 2023.
    kept = {
        key: value
        for key, value in mapping(fields.get("additional_kwargs")).items()
        if key != "function_call"
    }
    return message | {"additional_kwargs": kept}


def _is_tool(message: Any) -> bool:
    """Return whether a message is the definition of a tool, and no result of a call."""
    fields = mapping(message)
    content = fields.get("content")
    return (
        fields.get("role") == "tool"
        and isinstance(content, Mapping)
        and "tool_call_id" not in fields
    )
