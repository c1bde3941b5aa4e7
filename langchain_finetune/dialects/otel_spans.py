"""OpenTelemetry's spans as runs: ids, times, kind, thread and metadata. `otel` reads the content.

A span comes as OTLP's JSON has it (`traceId`, `attributes` as a list of keys and values), as
OpenTelemetry's SDK writes it (`ReadableSpan.to_json`), or as a run that has its attributes in
`extra` or in its inputs and outputs. Sources: the protocol of OTLP; LangSmith's guide "Trace with
OpenTelemetry" and its SDKs' exporters (`_otel_exporter.py`, `experimental/otel/constants.ts`).
"""

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Any

from langchain_finetune.content import entries, mapping
from langchain_finetune.dialects import ai_sdk_spans
from langchain_finetune.dialects.otel import (
    Attributes,
    add_finish_reasons,
    holds_messages,
    is_content,
    json_value,
    messages_and_answers,
    settings,
    span_values,
)
from langchain_finetune.dialects.otel_events import content_attributes, event_messages, events_in
from langchain_finetune.dialects.untrusted import THREAD_KEYS, thread_of

_CHAT = frozenset({"chat", "text_completion", "generate_content"})
_TYPES = {"execute_tool": "tool", "embeddings": "embedding"}
_KINDS = ("langsmith.span.kind", "openinference.span.kind", "traceloop.span.kind")
_ERRORS = frozenset({"ERROR", "2", "STATUS_CODE_ERROR"})
_THREADS = (
    *("gen_ai.conversation.id", "langsmith.metadata.thread_id", "langsmith.metadata.session_id"),
    *("langsmith.metadata.conversation_id", "langsmith.trace.session_id", "session.id"),
    *("traceloop.association.properties.thread_id", "traceloop.association.properties.session_id"),
)
_METADATA = ("langsmith.metadata.", "traceloop.association.properties.", "ai.telemetry.metadata.")
"""Prefixes of what the app itself wants to be kept with the run."""

_NAMES = {
    "gen_ai.system": "ls_provider",
    "gen_ai.provider.name": "ls_provider",
    "llm.provider": "ls_provider",
    "gen_ai.request.model": "ls_model_name",
    "llm.model_name": "ls_model_name",
}
_SETTINGS = {
    **{f"ls_{name}": name for name in ("temperature", "max_tokens", "stop")},
    **{
        name: name
        for name in (
            *("tool_choice", "parallel_tool_calls", "tool_config", "text", "instructions"),
            *("system_instruction", "previous_response_id", "cached_content", "seed", "n"),
            *("top_p", "top_k", "max_completion_tokens", "max_output_tokens", "reasoning_effort"),
        )
    },
}
"""Settings in the metadata of LangChain's runs, which LangSmith's exporter writes nowhere else."""

_TOKENS = {
    "input_tokens": ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"),
    "output_tokens": ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"),
    "total_tokens": ("gen_ai.usage.total_tokens", "llm.usage.total_tokens"),
}
_OPENINFERENCE_TOKENS = {"input_tokens": "prompt", "output_tokens": "completion"}
_MESSAGES = "gen_ai."
"""Begins the names of events that may hold messages."""

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def is_span(run: Mapping[str, Any]) -> bool:
    """Return whether data is a span, or a run with the attributes of a span."""
    if "attributes" in run and "inputs" not in run:
        return True
    if "generations" in mapping(run.get("outputs")):
        return False
    return holds_messages(_all_attributes(run))


def is_request(data: Any) -> bool:
    """Return whether data is a request of OTLP, with its names in JSON or those of protobuf."""
    return not mapping(data).keys().isdisjoint({"resourceSpans", "resource_spans"})


def spans_of(data: Any) -> list[Any]:
    """Return the spans of a request of OTLP in JSON, or the value as the only one.

    Each has the attributes of its resource as `resource`, and the name of its scope as `scope`.

    Example:
        >>> spans_of({"resourceSpans": [{"scopeSpans": [{"spans": [{"name": "chat"}]}]}]})
        [{'name': 'chat', 'resource': {}, 'scope': None}]
    """
    request = mapping(data)
    resources = request.get("resourceSpans", request.get("resource_spans"))
    if not isinstance(resources, list):
        return [data]
    found: list[Any] = []
    for resource in map(mapping, resources):
        given = mapping(resource.get("resource")).get("attributes")
        about = _all_attributes({"attributes": given})
        for key in ("scopeSpans", "scope_spans", "instrumentationLibrarySpans"):
            for scope in map(mapping, entries(resource.get(key))):
                name = mapping(scope.get("scope")).get("name")
                found += [
                    {**span, "resource": about, "scope": name} if isinstance(span, dict) else span
                    for span in entries(scope.get("spans"))
                ]
    return found


def run_type(span: Mapping[str, Any]) -> str:
    """Return the type of a span's run: `llm` for a model call, or what it is instead.

    Example:
        >>> run_type({"attributes": {"gen_ai.operation.name": "execute_tool"}})
        'tool'
    """
    attributes = _all_attributes(span)
    operation = attributes.get("gen_ai.operation.name")
    if operation is not None:
        return "llm" if str(operation) in _CHAT else _TYPES.get(str(operation), "chain")
    if (kind := ai_sdk_spans.run_type(attributes)) is not None:
        return kind
    for name in _KINDS:
        if kind := attributes.get(name):
            return str(kind).lower()
    return "llm" if holds_messages(attributes) else "chain"


def as_run(span: Mapping[str, Any]) -> dict[str, Any]:
    """Return a span as a run of LangSmith's form; ids are the span's own.

    Raises:
        UnreadableChatError: It has a part of a message that the wire form cannot represent.
    """
    attributes = _all_attributes(span)
    events = [*_events(span), *events_in(attributes.get("events"))]
    attributes |= content_attributes(events)
    run = _frame(span, attributes)
    if run["run_type"] != "llm":
        inputs, outputs = span_values(attributes)
    else:
        inputs, outputs = event_messages(events) or messages_and_answers(attributes)
        outputs = add_finish_reasons(outputs, attributes)
    metadata = run["extra"]["metadata"]
    by_langchain = "ls_model_type" in metadata
    known = {
        name: metadata[key]
        for key, name in _SETTINGS.items()
        if key in metadata and (by_langchain or key != name)
    }
    given = mapping(mapping(span.get("extra")).get("invocation_params"))
    run["extra"]["invocation_params"] = {**known, **settings(attributes), **given}
    return run | {"inputs": inputs, "outputs": outputs}


def as_kept_run(span: Mapping[str, Any]) -> dict[str, Any]:
    """Return a span as a run to store; one that is not readable keeps its attributes.

    Whoever reads it then learns why it is not readable.
    """
    try:
        return as_run(span)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        attributes = _all_attributes(span)
        content = {key: value for key, value in attributes.items() if is_content(key)}
        return _frame(span, attributes) | {"inputs": content, "outputs": {}}


def _frame(span: Mapping[str, Any], attributes: Attributes) -> dict[str, Any]:
    """Return a run without its content."""
    context = mapping(span.get("context"))
    metadata = _metadata(attributes)
    threads = (attributes.get(name) for name in _THREADS)
    thread = next((thread for thread in threads if thread), None) or thread_of(span)
    if thread and not any(metadata.get(key) for key in THREAD_KEYS):
        metadata["thread_id"] = thread
    return {
        "id": span.get("id") or context.get("span_id") or _id(span, "spanId", "span_id"),
        "trace_id": span.get("trace_id") or context.get("trace_id") or span.get("traceId"),
        "parent_run_id": span.get("parent_id") or _id(span, "parentSpanId", "parent_span_id"),
        "thread_id": thread,
        "name": attributes.get("langsmith.trace.name") or span.get("name"),
        "run_type": run_type(span),
        "start_time": _time(span, "start"),
        "end_time": _time(span, "end"),
        **_status(span, attributes),
        "tags": _tags(attributes),
        "events": [
            {
                "name": event.get("name"),
                "time": iso_time(event.get("timeUnixNano")) or event.get("timestamp"),
                "kwargs": _all_attributes({"attributes": event.get("attributes")}),
            }
            for event in map(mapping, entries(span.get("events")))
            if not str(event.get("name")).startswith(_MESSAGES)
        ],
        "extra": {"metadata": metadata},
    }


def _time(span: Mapping[str, Any], name: str) -> Any:
    given = _id(span, f"{name}TimeUnixNano", f"{name}_time_unix_nano")
    return iso_time(given) or span.get(f"{name}_time")


def _id(span: Mapping[str, Any], *names: str) -> Any:
    return next((span[name] for name in names if span.get(name)), None)


def iso_time(nanoseconds: Any) -> str | None:
    """Return a time of OTLP, nanoseconds since 1970 (also as text), in ISO 8601; 0 is unknown."""
    try:
        microseconds = int(nanoseconds) // 1000
        return (
            (_EPOCH + dt.timedelta(microseconds=microseconds)).isoformat() if microseconds else None
        )
    except (OverflowError, TypeError, ValueError):
        return None


def _status(span: Mapping[str, Any], attributes: Attributes) -> dict[str, Any]:
    """Return the status of a run, and its error, if any."""
    given = mapping(span.get("status"))
    code = given.get("status_code", given.get("code", span.get("status")))
    raised = [
        _all_attributes({"attributes": event.get("attributes")})
        for event in map(mapping, entries(span.get("events")))
        if event.get("name") == "exception"
    ]
    # LangSmith's exporter says "OK" when a run begins, and a span keeps that when it fails later.
    failed = raised and "langsmith.span.kind" in attributes
    if not failed and str(code).upper() not in _ERRORS:
        return {"status": "success", "error": span.get("error")}
    told = (each.get("exception.message") or each.get("exception.type") for each in raised)
    texts = (span.get("error"), given.get("message"), given.get("description"), *told)
    return {"status": "error", "error": next((text for text in texts if text), "error")}


def _tags(attributes: Attributes) -> list[str] | None:
    tags = attributes.get("langsmith.span.tags") or attributes.get("tag.tags")
    if isinstance(tags, str):
        tags = [tag.strip() for tag in tags.split(",")]
    return [str(tag) for tag in tags if tag] if isinstance(tags, list) else None


def _metadata(attributes: Attributes) -> dict[str, Any]:
    """Return what is known about a run beside its content, and the app's own metadata."""
    found: dict[str, Any] = {}
    for key, value in attributes.items():
        prefix = next((prefix for prefix in _METADATA if key.startswith(prefix)), "")
        if prefix:
            is_json = isinstance(value, str) and value.startswith(("{", "["))
            found[key.removeprefix(prefix)] = json_value(value) if is_json else value
        elif not is_content(key):
            found[_NAMES.get(key, key)] = value
    found.update(mapping(json_value(attributes.get("metadata"))))  # OpenInference's.
    usage = {
        name: attributes[key]
        for name, keys in _TOKENS.items()
        for key in keys
        if isinstance(attributes.get(key), int)
    }
    for name, kind in _OPENINFERENCE_TOKENS.items():
        count = attributes.get(f"llm.token_count.{kind}")
        if isinstance(count, int):
            usage.setdefault(name, count)
    if usage:
        found.setdefault("usage_metadata", usage)
    return found


def _all_attributes(span: Mapping[str, Any]) -> Attributes:
    """Return the attributes of a span, from any of their places."""
    extra = mapping(span.get("extra"))
    places = [span.get("attributes"), extra.get("attributes"), extra.get("metadata")]
    places += [span.get("inputs"), span.get("outputs")]
    found: Attributes = {}
    for place in places:
        if isinstance(place, list):  # OTLP: [{"key": ..., "value": {"stringValue": ...}}]
            pairs = [(mapping(entry).get("key"), mapping(entry).get("value")) for entry in place]
            found.update({str(key): _any_value(value) for key, value in pairs})
        else:
            found.update(mapping(place))
    return found


def _events(span: Mapping[str, Any]) -> Iterator[tuple[str, Attributes]]:
    """Yield the name and the attributes of each event of a span that may hold messages."""
    for event in map(mapping, entries(span.get("events"))):
        if str(event.get("name")).startswith(_MESSAGES):
            yield str(event["name"]), _all_attributes({"attributes": event.get("attributes")})


def _any_value(value: Any) -> Any:
    """Return a value of OTLP as data."""
    kind, inner = next(iter(mapping(value).items()), ("", None))
    kind = str(kind).replace("_v", "V")  # The names of protobuf's fields are valid, too.
    if kind == "arrayValue":
        return [_any_value(each) for each in entries(mapping(inner).get("values"))]
    if kind == "kvlistValue":
        pairs = map(mapping, entries(mapping(inner).get("values")))
        return {str(pair.get("key")): _any_value(pair.get("value")) for pair in pairs}
    if kind == "intValue" and isinstance(inner, str):
        # JSON's numbers can't hold 64 bits, so OTLP writes integers as text.
        return int(inner) if inner.lstrip("-").isdecimal() and len(inner) <= 20 else inner  # noqa: PLR2004
    return inner
