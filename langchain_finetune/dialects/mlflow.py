"""A trace of MLflow: `Trace.to_dict()`, as its API and its artifacts have it.

Format (MLflow 3.17): `{"info": {"trace_id", "tags", "trace_metadata", "assessments", ...},
"data": {"spans": [...]}}`. The attributes of a span are JSON texts: `mlflow.spanType`,
`mlflow.spanInputs`, `mlflow.spanOutputs`, and for a call of LangChain `invocation_params`,
`options` and `metadata`. Spans that MLflow took by OTLP have OpenTelemetry's attributes, too.

MLflow's tracer of LangChain converts messages to OpenAI's form: it keeps no names, and the
arguments of a call as data, not as the text that the model wrote. It says of no answer why it
ended, so one that used all of its tokens counts as cut off.
"""

from collections.abc import Mapping
from typing import Any

from langchain_finetune.content import entries, mapping
from langchain_finetune.dialects.otel_spans import is_span, iso_time, run_type
from langchain_finetune.dialects.stored_trace import (
    StoredTrace,
    feedback,
    hex_id,
    langchain_run,
    named_tags,
    parsed,
)

_CALLS = frozenset({"CHAT_MODEL", "LLM"})
_SESSION = "mlflow.trace.session"


def is_trace(row: Mapping[str, Any]) -> bool:
    """Return whether a row is a trace of MLflow."""
    return bool(entries(mapping(row.get("data")).get("spans")))


def read_trace(trace: Mapping[str, Any]) -> StoredTrace:
    """Return the calls of models in a trace, and the feedback on them."""
    info = mapping(trace.get("info"))
    trace_id = str(info.get("trace_id") or info.get("request_id"))
    details = mapping(info.get("trace_metadata") or info.get("request_metadata"))
    tagged = mapping(info.get("tags")).items()
    tags = named_tags({key: tag for key, tag in tagged if not str(key).startswith("mlflow.")})
    shared = {"trace_id": trace_id, "thread_id": details.get(_SESSION), "tags": tags}
    spans = [mapping(span) for span in entries(mapping(trace.get("data")).get("spans"))]
    roots = {
        _id(span) for span in spans if not (span.get("parent_span_id") or span.get("parent_id"))
    }
    found: list[dict[str, Any]] = []
    for assessment in map(mapping, entries(info.get("assessments"))):
        if assessment.get("valid") is False:
            continue
        on = hex_id(assessment.get("span_id"))
        ids = [trace_id, *roots] if not on or on in roots else [on]
        given, expected = (
            mapping(assessment.get("feedback")),
            mapping(assessment.get("expectation")),
        )
        found += feedback(
            assessment.get("assessment_name"),
            given.get("value"),
            ids,
            at=assessment.get("last_update_time"),
            correction=expected.get("value"),
        )
    runs = [run for span in spans if (run := _run(span, shared))]
    return StoredTrace(sorted(runs, key=lambda run: str(run["start_time"]), reverse=True), found)


def _id(span: Mapping[str, Any]) -> str:
    return hex_id(span.get("span_id") or mapping(span.get("context")).get("span_id"))


def _run(span: Mapping[str, Any], shared: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the run of a span; None if it calls no model."""
    attributes = {str(key): parsed(value) for key, value in mapping(span.get("attributes")).items()}
    by_mlflow = attributes.get("mlflow.spanInputs") is not None
    kind = attributes.get("mlflow.spanType")
    as_otel = {**span, "attributes": attributes}
    if kind not in _CALLS and (by_mlflow or run_type(as_otel) != "llm"):
        return None
    status = mapping(span.get("status"))
    code = str(status.get("code") or span.get("status_code") or "")
    failed = code.endswith("ERROR")
    run = {
        **shared,
        "id": _id(span),
        "name": span.get("name"),
        "run_type": "llm",
        "status": "error" if failed else "success",
        "error": (status.get("message") or code) if failed else None,
        "start_time": iso_time(span.get("start_time_unix_nano") or span.get("start_time")),
        "end_time": iso_time(span.get("end_time_unix_nano") or span.get("end_time")),
    }
    if is_span({"attributes": attributes}) and not by_mlflow:
        return {**run, "attributes": attributes, "events": entries(span.get("events"))}
    return run | _io(attributes)


def _io(attributes: Mapping[str, Any]) -> dict[str, Any]:
    inputs, outputs = attributes.get("mlflow.spanInputs"), attributes.get("mlflow.spanOutputs")
    params = mapping(attributes.get("invocation_params"))
    metadata = {"ls_provider": attributes.get("mlflow.llm.provider")}
    metadata |= mapping(attributes.get("metadata"))
    sent = entries(mapping(inputs).get("messages"))
    choices = entries(mapping(outputs).get("choices"))
    if attributes.get("mlflow.message.format") == "langchain" and sent and choices:
        return langchain_run(
            list(map(_message, sent)),
            [_message(mapping(choice).get("message")) for choice in choices],
            params,
            mapping(attributes.get("mlflow.chat.tokenUsage")).get("output_tokens"),
            options=attributes.get("options"),
            metadata=metadata,
        )
    return {
        "inputs": {"messages": inputs} if isinstance(inputs, list) else inputs,
        "outputs": {"output": outputs} if isinstance(outputs, str) else outputs,
        "extra": {"invocation_params": params, "metadata": metadata},
    }


def _message(given: Any) -> Any:
    """Return a message without the fields that it does not have, and calls as LangChain has them.

    LangChain writes the arguments of a history itself, and not as MLflow does.
    """
    message = _without_nulls(mapping(given))
    calls: list[Any] = []
    for call in map(mapping, entries(message.get("tool_calls"))):
        function = mapping(call.get("function"))
        arguments = parsed(function.get("arguments"))
        if isinstance(arguments, Mapping):
            calls.append({"id": call.get("id"), "name": function.get("name"), "args": arguments})
        else:
            calls.append(call)
    return message | ({"tool_calls": calls} if calls else {})


def _without_nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [_without_nulls(inner) for inner in value] if isinstance(value, list) else value
