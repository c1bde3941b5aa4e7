"""Requests of OpenTelemetry's protocol over HTTP, in protobuf and in JSON. Pure functions; no I/O.

Source: the specification of OTLP 1.10, "OTLP/HTTP", and `opentelemetry-proto`.
"""

import base64
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal
from uuid import UUID

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from langchain_finetune.content import mapping
from langchain_finetune.dialects.otel_spans import as_kept_run, spans_of
from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.store.run_changes import RunChange, run_change
from langchain_finetune.local.store.values import MAX_VALUES, loads

OtlpForm = Literal["protobuf", "json"]

_FORMS: dict[str, OtlpForm] = {
    "application/x-protobuf": "protobuf",
    "application/protobuf": "protobuf",
    "application/json": "json",
}
_RUN_TYPES = frozenset({"llm", "chain", "tool", "retriever", "embedding", "prompt", "parser"})
_PROJECTS = ("langsmith.trace.session_name", "openinference.project.name")
"""Attributes of a resource that name the project: LangSmith's, and Phoenix's."""

_ROOT = "langsmith.is_root"
_PARENT = "langsmith.traceable_parent_otel_span_id"
"""The span above, among those that LangSmith's SDK for JavaScript exports."""

_TAGS = tuple(bytes([tag]) for tag in b"\n\x12\x1a\x22JZj")
"""The bytes that begin the fields of a request which hold messages, such as its spans."""

_SMALL = re.compile(rb"[\n\x12\x1a\x22JZj][\x00-\x1f]")
"""Begins each message of less than 32 bytes: such a byte and a length."""

_HALF_CHARACTER = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]")
"""An unpaired surrogate, which is no UTF-8; U+FFFD takes as many bytes."""


@dataclass(frozen=True)
class SpanRun:
    """A span as a run, before its place in the store is known."""

    trace_id: str
    span_id: str
    parent_span_id: str | None
    body: Mapping[str, Any]
    from_langsmith: bool = False
    """LangSmith's SDK made it of a run, which it may have sent by LangSmith's API as well."""

    def change(self, run_id: str, parent_run_id: str | None) -> RunChange:
        """Return what the run store takes in."""
        place = {"id": run_id, "trace_id": self.trace_id, "parent_run_id": parent_run_id}
        # An exporter may send a span that has not ended, and again once it has.
        return run_change("whole" if self.body.get("end_time") else "post", {**self.body, **place})


@dataclass(frozen=True)
class ReadSpans:
    """The spans of a request, and how many could not be read, with one of the reasons."""

    runs: list[SpanRun] = field(default_factory=list)
    rejected: int = 0
    reason: str = ""


def otlp_form(content_type: str) -> OtlpForm | None:
    """Return the form of a request's body; None for a content type that OTLP does not have."""
    return _FORMS.get(content_type.partition(";")[0].strip().lower())


def read_spans(body: bytes, form: OtlpForm, project: str | None) -> ReadSpans:
    """Read a request, for the project of its header, if any.

    Raises:
        ApiError: 400 where the body is not a request of OTLP, 413 where it would take too much
            memory.
    """
    if form == "protobuf":
        spans: Iterable[Any] = _protobuf_spans(_request(body))
    else:
        request = loads(body)
        if not isinstance(request, dict) or not isinstance(
            request.get("resourceSpans", request.get("resource_spans", [])), list
        ):
            raise ApiError(400, "The body must be an object with resourceSpans.")
        spans = spans_of(request) if request else []
    runs, rejected, reason = [], 0, ""
    for span in spans:
        try:
            run = _span_run(mapping(span), project)
            if run is not None:
                # So that a span that can't be stored is known before any is.
                run.change(str(UUID(int=0)), None)
                runs.append(run)
        except (ApiError, RecursionError) as error:
            rejected += 1
            reason = error.message if isinstance(error, ApiError) else "It is nested too deeply."
    return ReadSpans(runs, rejected, reason)


def run_id_of(trace_id: str, span_id: str) -> str:
    """Return the id of the run of a span that is not the root of its trace.

    A span's id is unique only within its trace, so half of the trace's is part of it.

    Example:
        >>> run_id_of("0af76519-16cd-43dd-8448-eb211c80319c", "b7ad6b7169203331")
        '0af76519-16cd-43dd-b7ad-6b7169203331'
    """
    return str(UUID(hex=UUID(trace_id).hex[:16] + span_id))


def _request(body: bytes) -> ExportTraceServiceRequest:
    if sum(map(body.count, _TAGS)) > MAX_VALUES:
        # Most of these may be text; a message that is no longer takes far more than its bytes.
        small = islice(_SMALL.finditer(body), MAX_VALUES, None)
        if next(small, None):
            message = f"The body has more than {MAX_VALUES} values."
            raise ApiError(413, message, code="body_too_large")
    for attempt in (body, _HALF_CHARACTER.sub(b"\xef\xbf\xbd", body)):
        try:
            request = ExportTraceServiceRequest()
            request.ParseFromString(attempt)
        except DecodeError:
            continue
        return request
    raise ApiError(400, "The body is not a valid ExportTraceServiceRequest.")


def _protobuf_spans(request: ExportTraceServiceRequest) -> Iterator[dict[str, Any]]:
    """Yield spans in the form of `spans_of`, their attributes as data."""
    for resource in request.resource_spans:
        about = _attributes(resource.resource.attributes)
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield {**_protobuf_span(span), "resource": about, "scope": scope.scope.name}


def _protobuf_span(span: Span) -> dict[str, Any]:
    return {
        "traceId": span.trace_id.hex(),
        "spanId": span.span_id.hex(),
        "parentSpanId": span.parent_span_id.hex(),
        "name": span.name,
        "startTimeUnixNano": span.start_time_unix_nano,
        "endTimeUnixNano": span.end_time_unix_nano,
        "attributes": _attributes(span.attributes),
        "events": [
            {
                "name": event.name,
                "timeUnixNano": event.time_unix_nano,
                "attributes": _attributes(event.attributes),
            }
            for event in span.events
        ],
        "status": {"code": span.status.code, "message": span.status.message},
    }


def _attributes(given: Iterable[KeyValue]) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in given}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    inner = getattr(value, kind)
    if kind == "array_value":
        return [_value(each) for each in inner.values]
    if kind == "kvlist_value":
        return _attributes(inner.values)
    return base64.b64encode(inner).decode() if kind == "bytes_value" else inner


def _span_run(span: Mapping[str, Any], project: str | None) -> SpanRun | None:
    """Return a span as a run; None for one that only announces another, as Logfire writes them."""
    trace_id = _identifier(span.get("traceId"), 32)
    span_id = _identifier(span.get("spanId"), 16)
    if trace_id is None or span_id is None:
        raise ApiError(400, "A span's traceId must be 16 bytes, its spanId 8, and neither zero.")
    run = as_kept_run(span)
    metadata = run["extra"]["metadata"]
    if metadata.get("logfire.span_type") == "pending_span":
        return None
    named = metadata.pop("langsmith.trace.session_name", None)
    resource = mapping(span.get("resource"))
    name = named or project or next((resource[key] for key in _PROJECTS if resource.get(key)), None)
    parent = _identifier(metadata.pop(_PARENT, None) or span.get("parentSpanId"), 16)
    # LangSmith's SDKs give a root run a parent that is never sent: the beginning of its trace's id.
    if metadata.pop(_ROOT, False) or parent in {trace_id[:16], span_id}:
        parent = None
    body = {
        **{key: run[key] for key in ("start_time", "end_time", "tags", "error", "events")},
        "name": str(run["name"] or "span"),
        "run_type": run["run_type"] if run["run_type"] in _RUN_TYPES else "chain",
        "session_name": None if name is None else str(name),
        "inputs": _object(run["inputs"], "input"),
        "outputs": None if run["outputs"] is None else _object(run["outputs"], "output"),
        "extra": {**run["extra"], "otel": {"trace_id": trace_id, "span_id": span_id}},
    }
    return SpanRun(str(UUID(hex=trace_id)), span_id, parent, body, span.get("scope") == "langsmith")


def _identifier(value: Any, digits: int) -> str | None:
    """Return an id of OTLP in lower case if it is valid and not zero."""
    valid = isinstance(value, str) and re.fullmatch(rf"[0-9a-fA-F]{{{digits}}}", value)
    return value.lower() if valid and value.strip("0") else None


def _object(value: Any, name: str) -> dict[str, Any]:
    return value if isinstance(value, dict) else {name: value}
