"""OpenTelemetry's spans come in by OTLP, and are runs like any other."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from google.rpc.status_pb2 import Status
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from langchain_finetune import Convert, LangSmithRunChatLoader, RunFileChatLoader
from langchain_finetune.local.store import otlp
from langchain_finetune.local.store.otlp import read_spans
from support.instrumentors import RUNS_OF_APPS
from support.mutations import ANYTHING, mutated_runs

TRACE, ROOT, CHILD, DEEP = (
    "0af7651916cd43dd8448eb211c80319c",
    "b7ad6b7169203331",
    "c" * 16,
    "d" * 16,
)
TRACE_ID = str(UUID(hex=TRACE))
START = 1_700_000_000_000_000_000
PATHS = [f"{prefix}/otel/v1/traces" for prefix in ("", "/api", "/api/v1", "/v1")]
ASKED = [{"role": "user", "content": "What's 56/7?"}]
TOLD = {"role": "assistant", "content": "The answer is 8."}


def parted(role, text):
    return {"role": role, "parts": [{"type": "text", "content": text}]}


CHAT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "gpt-4.1",
    "gen_ai.request.temperature": 0.5,
    "gen_ai.input.messages": json.dumps([parted("user", "What's 56/7?")]),
    "gen_ai.output.messages": json.dumps([parted("assistant", "The answer is 8.")]),
}


def any_value(value):
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [any_value(each) for each in value]}}
    return {"stringValue": value}


def attributes(given):
    return [{"key": key, "value": any_value(value)} for key, value in given.items()]


def span(span_id=ROOT, parent="", *, trace=TRACE, at=0, given=CHAT, **more):
    return {
        "traceId": trace,
        "spanId": span_id,
        "parentSpanId": parent,
        "name": f"span {span_id[0]}",
        "kind": 3,
        "startTimeUnixNano": str(START + at * 1_000_000),
        "endTimeUnixNano": str(START + at * 1_000_000 + 5_000_000),
        "attributes": attributes(given),
        "status": {},
        **more,
    }


def request(*spans, resource=None):
    about = {"attributes": attributes(resource or {})}
    return {"resourceSpans": [{"resource": about, "scopeSpans": [{"spans": list(spans)}]}]}


def send(server, body, path=PATHS[0], **headers):
    kind = {"Content-Type": "application/json"}
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx.post(server.url + path, content=data, headers=kind | headers)


def runs_of(client, project="default"):
    return {str(run.id): run for run in client.list_runs(project_name=project)}


def of_store(client, project="default"):
    return LangSmithRunChatLoader(project_name=project, client=client)


TESTS = Path(__file__).parents[2]
pytestmark = pytest.mark.filterwarnings("ignore:list_runs.. is deprecated")


@pytest.mark.parametrize("path", PATHS)
def test_a_span_is_a_run(server, client, path):
    assert send(server, request(span()), path).json() == {}
    run = runs_of(client)[TRACE_ID]
    assert (run.name, run.run_type, run.status, run.parent_run_id) == (
        "span b",
        "llm",
        "success",
        None,
    )
    assert run.inputs == {"messages": [{**ASKED[0], "name": None}]}
    assert (run.end_time - run.start_time).total_seconds() == 0.005
    assert run.extra["invocation_params"] == {"temperature": 0.5}
    assert run.extra["metadata"]["ls_model_name"] == "gpt-4.1"
    assert run.extra["otel"] == {"trace_id": TRACE, "span_id": ROOT}


def test_spans_train_as_they_do_from_a_file(server, client, tmp_path):
    body = request(span())
    (tmp_path / "spans.jsonl").write_text(json.dumps(body))
    send(server, body)
    lines = list((RunFileChatLoader(tmp_path / "spans.jsonl") | Convert()).invoke({}))
    assert lines == [{"messages": [*ASKED, TOLD]}]
    assert list((of_store(client) | Convert()).invoke({})) == lines


SPANS = {name: each for name, each in RUNS_OF_APPS.items() if "attributes" in each[0]}


def test_every_form_of_span_loads_from_the_store(server, client):
    assert len(SPANS) >= 10
    for number, (run, _) in enumerate(SPANS.values(), 1):
        events = [
            {**each, "attributes": attributes(each["attributes"])} for each in run.get("events", [])
        ]
        trace = f"{number:032x}"
        send(server, request(span(trace=trace, given=run["attributes"], events=events)))
    lines = (of_store(client) | Convert()).invoke({})
    expected = [json.dumps(line, sort_keys=True) for _, line in SPANS.values()]
    assert sorted(json.dumps(line, sort_keys=True) for line in lines) == sorted(expected)


ORDERS = [
    ([ROOT, CHILD, DEEP],),
    ([DEEP, CHILD, ROOT],),
    ([DEEP], [CHILD], [ROOT]),
    ([CHILD], [DEEP, ROOT]),
    ([ROOT], [DEEP], [CHILD]),
    ([DEEP], [CHILD], [DEEP], [ROOT], [CHILD], [ROOT]),
]


@pytest.mark.parametrize("batches", ORDERS)
def test_spans_of_a_trace_come_in_any_order(server, client, batches):
    spans = {
        ROOT: span(),
        CHILD: span(CHILD, ROOT, at=1),
        DEEP: span(DEEP, CHILD, at=2),
    }
    for batch in batches:
        assert send(server, request(*(spans[each] for each in batch))).status_code == 200
    runs = runs_of(client)
    assert len(runs) == 3
    root, child, deep = sorted(runs.values(), key=lambda run: run.start_time)
    assert (str(root.id), root.parent_run_id) == (TRACE_ID, None)
    assert (child.parent_run_id, deep.parent_run_id) == (root.id, child.id)
    assert {str(run.trace_id) for run in runs.values()} == {TRACE_ID}
    assert deep.parent_run_ids == [root.id, child.id]
    assert child.dotted_order.startswith(f"{root.dotted_order}.")
    assert len(deep.dotted_order.split(".")) == 3


@pytest.mark.parametrize("size", [450, 7])
def test_the_order_of_a_deep_run_does_not_spell_out_all_above_it(server, client, size):
    ids = [ROOT, *(f"{number:016x}" for number in range(1, 450))]
    spans = [
        span(each, above, at=at)
        for at, (above, each) in enumerate(zip(["", *ids], ids, strict=False))
    ]
    for start in range(0, len(spans), size):
        send(server, request(*spans[start : start + size]))
    runs = sorted(runs_of(client).values(), key=lambda run: run.start_time)
    assert len(runs) == 450
    levels = [run.dotted_order.count(".") for run in runs]
    assert levels == [*range(201), *range(201), *range(48)]
    assert {str(run.trace_id) for run in runs} == {TRACE_ID}
    assert [run.parent_run_id for run in runs[1:]] == [run.id for run in runs[:-1]]


def test_the_same_span_id_in_two_traces_are_two_runs(server, client):
    other = "1" * 32
    spans = [span(CHILD, ROOT), span(CHILD, ROOT, trace=other), span(), span(trace=other)]
    send(server, request(*spans))
    assert len(runs_of(client)) == 4


def test_two_spans_without_a_parent_are_two_runs(server, client):
    for _ in range(2):
        send(server, request(span()))
        send(server, request(span(CHILD, at=1)))
    runs = runs_of(client)
    assert len(runs) == 2
    assert {run.parent_run_id for run in runs.values()} == {None}


def test_spans_above_each_other_are_kept(server, client):
    send(server, request(span(CHILD, DEEP), span(DEEP, CHILD)))
    send(server, request(span(CHILD, DEEP), span(DEEP, CHILD)))
    assert len(runs_of(client)) == 2


def test_a_span_sent_before_its_end_is_completed(server, client):
    early = span(given={"gen_ai.operation.name": "chat"}, endTimeUnixNano="0")
    send(server, request(early))
    assert runs_of(client)[TRACE_ID].status == "pending"
    send(server, request(span()))
    send(server, request(early))
    run = runs_of(client)[TRACE_ID]
    assert (run.status, len(run.outputs["choices"])) == ("success", 1)


@pytest.mark.parametrize(
    ("header", "resource", "given", "project"),
    [
        (None, {}, {}, "default"),
        ("of-header", {"openinference.project.name": "x"}, {}, "of-header"),
        (None, {"langsmith.trace.session_name": "of-resource"}, {}, "of-resource"),
        (None, {"openinference.project.name": "of-resource"}, {}, "of-resource"),
        ("x", {}, {"langsmith.trace.session_name": "of-span"}, "of-span"),
    ],
)
def test_the_project(server, client, header, resource, given, project):
    headers = {"Langsmith-Project": header} if header else {}
    send(server, request(span(given=CHAT | given), resource=resource), **headers)
    assert list(runs_of(client, project)) == [TRACE_ID]


@pytest.mark.parametrize(
    "given",
    [
        {"langsmith.metadata.thread_id": "t"},
        {"session.id": "t"},
        {"gen_ai.conversation.id": "t"},
        {"traceloop.association.properties.thread_id": "t"},
        {"langsmith.metadata.session_id": "t"},
    ],
)
def test_threads_reach_the_source(server, client, given):
    send(server, request(span(given=CHAT | given)))
    loader = of_store(client)
    assert [chat["source"]["thread_id"] for chat in loader.lazy_load()] == ["t"]
    assert str(next(iter(runs_of(client).values())).metadata.get("thread_id", "t")) == "t"


def test_what_langsmith_maps(server, client):
    given = CHAT | {
        "langsmith.trace.name": "named",
        "langsmith.span.tags": "a, b",
        "langsmith.metadata.tier": "gold",
        "langsmith.metadata.nested": '{"deep": 1}',
        "gen_ai.system": "openai",
        "gen_ai.usage.input_tokens": 3,
        "gen_ai.usage.output_tokens": 4,
    }
    send(server, request(span(given=given)))
    run = runs_of(client)[TRACE_ID]
    assert (run.name, run.tags) == ("named", ["a", "b"])
    assert run.metadata["tier"] == "gold"
    assert run.metadata["nested"] == {"deep": 1}
    assert run.metadata["ls_provider"] == "openai"
    assert (run.prompt_tokens, run.completion_tokens, run.total_tokens) == (3, 4, 7)


def test_failures_and_events(server, client):
    events = [
        {
            "name": "exception",
            "timeUnixNano": str(START),
            "attributes": attributes({"exception.message": "no quota"}),
        },
        {"name": "gen_ai.user.message", "attributes": attributes({"content": "Hi"})},
    ]
    send(server, request(span(status={"code": 2}, events=events)))
    run = runs_of(client)[TRACE_ID]
    assert (run.status, run.error) == ("error", "no quota")
    assert [event["name"] for event in run.events] == ["exception"]


def test_spans_that_are_no_model_calls(server, client):
    tool = {
        "openinference.span.kind": "TOOL",
        "input.value": '{"city": "Rome"}',
        "output.value": "sunny",
    }
    agent = {"openinference.span.kind": "AGENT", "input.value": "Hi"}
    send(server, request(span(given=agent), span(CHILD, ROOT, at=1, given=tool)))
    root, child = sorted(runs_of(client).values(), key=lambda run: run.start_time)
    assert (root.run_type, root.inputs, root.outputs) == ("chain", {"input": "Hi"}, None)
    assert (child.run_type, child.inputs) == ("tool", {"city": "Rome"})
    assert child.outputs == {"output": "sunny"}


def test_a_span_that_cannot_be_read_is_stored_and_skipped_with_the_reason(server, client):
    part = {"role": "user", "parts": [{"type": "hologram"}]}
    send(server, request(span(given=CHAT | {"gen_ai.input.messages": json.dumps([part])})))
    sessions = of_store(client).invoke({})
    assert (list(sessions), [skip.code for skip in sessions.skipped]) == (
        [],
        ["unsupported_content"],
    )


def test_protobuf_and_gzip(server, client):
    message = ExportTraceServiceRequest()
    resource = message.resource_spans.add()
    added = resource.scope_spans.add().spans.add()
    added.trace_id, added.span_id = bytes.fromhex(TRACE), bytes.fromhex(ROOT)
    added.name, added.start_time_unix_nano, added.end_time_unix_nano = "chat", START, START + 1
    for key in ("gen_ai.input.messages", "gen_ai.output.messages"):
        added.attributes.add(key=key).value.string_value = CHAT[key]
    bad = resource.scope_spans[0].spans.add(trace_id=b"\0" * 16, span_id=b"\1" * 8)
    assert bad.name == ""
    answer = send(
        server,
        gzip.compress(message.SerializeToString()),
        **{"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip"},
    )
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/x-protobuf"
    told = ExportTraceServiceResponse.FromString(answer.content)
    assert told.partial_success.rejected_spans == 1
    assert "traceId" in told.partial_success.error_message
    assert [run.name for run in runs_of(client).values()] == ["chat"]


def test_half_a_character_costs_no_batch(server, client):
    body = json.dumps(request(span(given={"input.value": "cut \ud83d"})))
    assert send(server, body.encode()).status_code == 200
    assert runs_of(client)[TRACE_ID].inputs == {"input": "cut \ufffd"}
    message = ExportTraceServiceRequest()
    added = (
        message.resource_spans.add()
        .scope_spans.add()
        .spans.add(
            trace_id=bytes.fromhex("2" * 32), span_id=bytes.fromhex(ROOT), name="chat cut XXX"
        )
    )
    added.attributes.add(key="input.value").value.string_value = "kept"
    data = message.SerializeToString().replace(b"XXX", b"\xed\xa0\xbd")
    kind = {"Content-Type": "application/x-protobuf"}
    assert send(server, data, **kind).status_code == 200
    assert {run.name for run in runs_of(client).values()} == {"span b", "chat cut \ufffd"}


def test_a_span_that_is_not_valid_costs_only_itself(server, client):
    deep = []
    for _ in range(300):
        deep = [deep]
    spans = [
        span(),
        span("zz"),
        span(CHILD, trace="0" * 32),
        span(DEEP, ROOT, given={"input.value": deep}),
        "text",
    ]
    answer = send(server, request(*spans))
    assert answer.json()["partialSuccess"]["rejectedSpans"] == "4"
    assert list(runs_of(client)) == [TRACE_ID]


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{", {}, 400),
        (b"[]", {}, 400),
        (b"{}", {"Content-Type": "text/plain"}, 415),
        (b"{}", {"Content-Encoding": "br"}, 415),
        (b"{}", {"Content-Encoding": "gzip"}, 400),
        (b"{", {"Content-Type": "Application/JSON; charset=utf-8"}, 400),
        (b"\xff\xff", {"Content-Type": "application/x-protobuf"}, 400),
        (b"\x0a\x00" * 2_000, {"Content-Type": "application/x-protobuf"}, 413),
    ],
)
def test_errors_are_statuses_of_otlp(server, monkeypatch, body, headers, status):
    monkeypatch.setattr(otlp, "MAX_VALUES", 1_000)
    answer = send(server, body, **headers)
    assert answer.status_code == status
    if "json" in headers.get("Content-Type", "json").lower():
        assert answer.json()["message"]
    else:
        assert Status.FromString(answer.content).message


def test_an_empty_request_is_fine(server):
    assert send(server, {}).json() == {}
    assert send(server, b"", **{"Content-Type": "application/x-protobuf"}).content == b""


KEYS = [*CHAT, "name", "status", "events", "resource", "startTimeUnixNano", "endTimeUnixNano"]
KEYS += ["langsmith.span.tags", "langsmith.trace.name", "langsmith.trace.session_name", "metadata"]
KEYS += ["openinference.span.kind", "input.value", "output.value", "llm.input_messages.0.message"]
KEYS += ["gen_ai.prompt", "gen_ai.completion", "model_request_parameters", "session.id", "scope"]


def test_logfires_announcements_are_no_runs():
    pending = span(given={"logfire.span_type": "pending_span"})
    assert read_spans(json.dumps(request(pending)).encode(), "json", None).runs == []


@pytest.mark.parametrize("mode", ["otel", "hybrid"])
def test_langsmiths_own_exporter(server, client, mode):
    """`LANGSMITH_OTEL_ONLY` and `LANGSMITH_OTEL_ENABLED` of its SDK; a run sent twice is one."""
    only = {"LANGSMITH_OTEL_ONLY": "true"} if mode == "otel" else {}
    environment = os.environ | {
        "LANGSMITH_TRACING": "true",
        "LANGSMITH_OTEL_ENABLED": "true",
        "LANGSMITH_ENDPOINT": server.url,
        "LANGSMITH_API_KEY": "any",
        "LANGSMITH_PROJECT": "app",
        "PYTHONPATH": os.pathsep.join(map(str, (TESTS, TESTS.parent))),
        **only,
    }
    told = subprocess.run(
        [sys.executable, "-m", "support.otel_app"],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert (told.returncode, told.stdout) == (0, "done\n"), told.stderr
    paths = {path for _, path, _ in server.asked}
    assert "/otel/v1/traces" in paths
    assert ("/runs/multipart" in paths) == (mode == "hybrid")
    runs = runs_of(client, "app").values()
    assert sorted(run.name for run in runs) == [
        *("GenericFakeChatModel", "GenericFakeChatModel", "RunnableLambda", "RunnableLambda"),
        *("shop", "shop"),
    ]
    for run in runs:
        assert (run.parent_run_id is None) == (run.name == "shop")
    lines = (of_store(client, "app") | Convert()).invoke({})
    sent = [
        {"role": "system", "content": "You sell tea."},
        {"role": "user", "content": "Which tea is mild?"},
    ]
    assert sorted(lines, key=lambda line: line["messages"][-1]["content"]) == [
        {"messages": [*sent, {"role": "assistant", "content": text}]}
        for text in ("Green.", "White.")
    ]
    threads = {chat["source"]["thread_id"] for chat in of_store(client, "app").lazy_load()}
    assert threads == {"talk-1"}


@settings(
    max_examples=int(os.environ.get("FUZZ_CASES", "100")),
    deadline=None,
    suppress_health_check=[*HealthCheck],
)
@given(mutated_runs(), st.dictionaries(st.sampled_from(KEYS), ANYTHING, max_size=4))
def test_a_span_with_anything_in_it_is_a_run_or_is_refused(data, more):
    """`FUZZ_CASES=20000` draws more."""
    attributed = data.get("attributes") if isinstance(data, dict) else None
    given = {**(attributed if isinstance(attributed, dict) else {}), **more}
    try:
        body = json.dumps(
            request({**span(), **more, "attributes": given}), allow_nan=False
        ).encode()
    except (TypeError, ValueError):
        return
    found = read_spans(body, "json", None)
    assert len(found.runs) + found.rejected == 1
    for each in found.runs:
        each.change(TRACE_ID, None)


def test_values_of_any_kind_are_data(server, client):
    sent = ExportTraceServiceRequest()
    made = (
        sent.resource_spans.add()
        .scope_spans.add()
        .spans.add(
            trace_id=bytes.fromhex(TRACE),
            span_id=bytes.fromhex(ROOT),
            name="odd",
            start_time_unix_nano=START,
            end_time_unix_nano=START + 1,
        )
    )
    made.attributes.add(key="nothing")
    made.attributes.add(key="numbers").value.array_value.values.add(int_value=7)
    pair = made.attributes.add(key="pairs").value.kvlist_value.values.add(key="inner")
    pair.value.string_value = "kept"
    assert send(server, sent.SerializeToString(), **PROTOBUF).status_code == 200
    run = runs_of(client)[TRACE_ID]
    assert run.name == "odd"
    told = run.extra["metadata"]
    assert (told["numbers"], told["pairs"]) == ([7], {"inner": "kept"})


PROTOBUF = {"Content-Type": "application/x-protobuf"}


def test_a_root_of_langsmiths_sdk_has_no_parent(server, client):
    given = CHAT | {"langsmith.is_root": True}
    send(server, request(span(parent=TRACE[:16], given=given), span(CHILD, ROOT)))
    runs = runs_of(client)
    assert len(runs) == 2
    assert runs[TRACE_ID].parent_run_id is None
