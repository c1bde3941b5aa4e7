"""The same app in LangSmith, a recorder's file, spans and other stores: the same lines."""

import datetime as dt
import json
import re
from collections import Counter
from functools import partial
from uuid import UUID

import pytest
from fastapi import FastAPI
from langchain_core.tracers import LangChainTracer
from langfuse import Langfuse
from langfuse.langchain import CallbackHandler
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from phoenix.client import Client as PhoenixClient

from langchain_finetune import (
    InvalidArgumentError,
    LangfuseChatLoader,
    LangSmithRunChatLoader,
    LoadError,
    MLflowChatLoader,
    PhoenixChatLoader,
    RunFileChatLoader,
    RunRecorder,
)
from support.langfuse_server import KEYS, LangfuseServer
from support.phoenix_server import KEY, PhoenixServer
from support.servers import served
from support.store import store_client
from support.traced_app import (
    APP,
    KEPT,
    ask_all,
    examples,
    expected_of,
    langsmiths_spans,
    mlflow_tracer,
    openinference,
)


@pytest.fixture(scope="module")
def mlflow_client(tmp_path_factory):
    """A client of a folder of MLflow, to which its tracer of LangChain writes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        patch.setenv("MLFLOW_ENABLE_ASYNC_TRACE_LOGGING", "false")
        import mlflow

        uri = tmp_path_factory.mktemp("mlruns").as_uri()
        mlflow.set_tracking_uri(uri)
        mlflow.set_experiment("app")
        yield mlflow.MlflowClient(uri)


@pytest.fixture(scope="module")
def langfuse():
    """The stand-in of Langfuse and a client of it."""
    server = LangfuseServer(page_limit=5)
    with served(server.app) as url:
        client = Langfuse(public_key=KEYS[0], secret_key=KEYS[1], base_url=url)
        yield server, client
        client.shutdown()


@pytest.fixture(scope="module")
def phoenix():
    """The stand-in of Phoenix and a client of it."""
    server = PhoenixServer()
    with served(server.app) as url:
        client = PhoenixClient(base_url=url, api_key=KEY)
        yield server, client
        client._client.close()


def phoenix_rows(spans):
    """Spans as Phoenix' REST API has them, newest first."""
    rows = []
    for span in reversed(spans):
        attributes = dict(span.attributes)
        metadata = json.loads(attributes.pop("metadata", "{}"))
        attributes |= {f"metadata.{key}": value for key, value in metadata.items()}
        rows.append(
            {
                "id": f"s-{span.context.span_id}",
                "name": span.name,
                "context": {
                    "trace_id": format(span.context.trace_id, "032x"),
                    "span_id": format(span.context.span_id, "016x"),
                },
                "span_kind": attributes.pop("openinference.span.kind"),
                "parent_id": span.parent and format(span.parent.span_id, "016x"),
                "start_time": dt.datetime.fromtimestamp(span.start_time / 1e9, dt.UTC).isoformat(),
                "status_code": span.status.status_code.name,
                "status_message": span.status.description or "",
                "attributes": attributes,
                "events": [],
            }
        )
    return rows


@pytest.fixture(scope="module")
def app(mlflow_client, langfuse, phoenix, tmp_path_factory):
    """The loaders of each store, to which the same calls were traced at the same time."""
    folder = tmp_path_factory.mktemp("app")
    spans = InMemorySpanExporter()
    with (
        store_client(folder / "runs.db") as langsmith,
        store_client(folder / "spans.db") as otlp,
        RunRecorder(folder / "runs.jsonl") as recorder,
        langsmiths_spans(otlp, "app") as exporting,
    ):
        tracer = LangChainTracer(project_name="app", client=langsmith)
        handler = CallbackHandler(public_key=KEYS[0])
        with openinference(spans):
            ask_all([tracer, recorder, handler, mlflow_tracer(), exporting])
        for each in (tracer, exporting):
            each.wait_for_futures()
            each.client.flush()
        langfuse[1].flush()
        rows = phoenix_rows(spans.get_finished_spans())
        phoenix[0].spans = rows
        (folder / "spans.json").write_text(json.dumps({"data": rows, "next_cursor": None}))
        yield {
            "langsmith": LangSmithRunChatLoader(project_name="app", client=langsmith),
            "recorder": RunFileChatLoader(folder / "runs.jsonl"),
            "langfuse": LangfuseChatLoader(client=langfuse[1]),
            "mlflow": MLflowChatLoader(project_name="app", client=mlflow_client),
            "phoenix": PhoenixChatLoader(project_name="app", client=phoenix[1]),
            "phoenix file": RunFileChatLoader(folder / "spans.json"),
            "otlp": LangSmithRunChatLoader(project_name="app", client=otlp),
        }


def test_a_file_of_phoenix_spans_makes_the_same_lines(app):
    assert list(examples(app["phoenix file"])) == list(examples(app["phoenix"]))


@pytest.mark.parametrize("store", KEPT)
def test_the_same_app_makes_the_same_lines(app, store):
    traced = list(examples(app["langsmith"]))
    assert len(traced) == len(APP)
    found = list(examples(app[store]))
    assert found[:: -1 if store == "recorder" else 1] == expected_of(store, traced)


@pytest.mark.parametrize("store", KEPT)
def test_what_is_not_learnt_has_an_id_and_a_reason(app, store):
    rejected = examples(app[store])
    list(rejected)
    codes = Counter(skip.code for skip in rejected.rejected)
    assert all(skip.id and skip.reason for skip in rejected.rejected)
    functions = {
        "recorder": {},
        "langfuse": {"empty_target": 2},
        "mlflow": {"empty_target": 2},
        "phoenix": {},
        "otlp": {"incomplete_trace": 2},
    }
    assert codes == {"errored_run": 1, **functions[store]}


@pytest.mark.parametrize("store", ["langfuse", "mlflow", "phoenix", "otlp"])
def test_threads_and_traces_reach_the_source(app, store):
    sources = [session["source"] for session in app[store].load()]
    assert {source["thread_id"] for source in sources} == {"t-1"}
    assert len({source["trace_id"] for source in sources}) == len(sources) >= len(APP) - 2


@pytest.fixture(scope="module")
def scored(app, langfuse, phoenix, mlflow_client):
    """The loaders, once two answers were scored in each store: on the trace, and on the call."""
    from mlflow import log_expectation, log_feedback

    values = {"Certainly.": 1, "Certainly, for two.": 0}
    for store in ("langsmith", "langfuse", "mlflow", "phoenix"):
        for session in app[store].load():
            answer = session["messages"][-1].content
            if answer not in values:
                continue
            value, trace = values[answer], session["source"]["trace_id"]
            call = session["source"]["run_id"]
            if store == "langsmith":
                client = app[store].client
                project = client.read_project(project_name="app").id
                score = partial(client.create_feedback, call, session_id=project)
                score(key="user_score", score=value)
                score(key="tone", value="kind" if value else "cold")
                score(key="better", correction={"output": "Better."})
            elif store == "langfuse":
                score = partial(langfuse[1].create_score, trace_id=trace)
                score(name="user_score", value=value)
                tone = "kind" if value else "cold"
                score(name="tone", value=tone, observation_id=call, data_type="CATEGORICAL")
                score(name="better", value="Better.", data_type="CORRECTION")
            elif store == "phoenix":
                phoenix[0].annotate("user_score", score=value, trace_id=trace)
                phoenix[0].annotate("tone", label="kind" if value else "cold", span_id=call)
            else:
                score = partial(log_feedback, trace_id=trace)
                score(name="user_score", value=value)
                score(name="tone", value="kind" if value else "cold", span_id=call)
                log_expectation(trace_id=trace, name="better", value="Better.")
    langfuse[1].flush()
    app["langsmith"].client.flush()
    return app


CONDITIONS = {
    "score": ({"key": "user_score", "at_least": 1}, ["Certainly."]),
    "bounds": ({"key": "user_score", "above": -1, "below": 1}, ["Certainly, for two."]),
    "value": ({"key": "tone", "value": "kind", "on": "run"}, ["Certainly."]),
    "both": (
        [{"key": "tone", "on": "run"}, {"key": "user_score", "at_most": 0}],
        ["Certainly, for two."],
    ),
    "correction": ({"key": "better", "use_correction": True}, ["Better."] * 2),
    "nothing": ({"key": "unknown"}, []),
}


@pytest.mark.parametrize("store", ["langsmith", "langfuse", "mlflow", "phoenix"])
@pytest.mark.parametrize("condition", CONDITIONS)
def test_feedback_selects(scored, store, condition):
    feedback, answers = CONDITIONS[condition]
    if (store, condition) == ("phoenix", "correction"):
        answers = []  # It has none.
    sessions = scored[store].invoke({"feedback": feedback})
    if condition == "nothing" and store == "langsmith":
        with pytest.raises(LoadError, match="No run of the project has feedback of 'unknown'"):
            list(sessions)
        return
    assert [session["messages"][-1].content for session in sessions] == answers


@pytest.mark.parametrize("store", ["langsmith", "langfuse", "mlflow", "phoenix"])
def test_a_score_reaches_the_session(scored, store):
    sessions = scored[store].invoke({"feedback": {"key": "user_score", "use_score": True}})
    assert [session["score"] for session in sessions] == [0, 1]
    if store == "phoenix":
        return
    [better, _] = scored[store].invoke({"feedback": CONDITIONS["correction"][0]})
    assert better["rejected"]["content"] == "Certainly, for two."


def test_an_annotation_on_a_root_span_of_phoenix_is_on_its_trace(scored, phoenix):
    server, _ = phoenix
    condition = {"key": "tone", "value": "kind"}
    assert list(scored["phoenix"].invoke({"feedback": condition})) == []
    # Here each call is below a span of another tracer, which Phoenix does not have.
    for span in server.spans:
        span["parent_id"] = None
    [session] = scored["phoenix"].invoke({"feedback": condition})
    assert session["messages"][-1].content == "Certainly."


@pytest.mark.parametrize("store", ["langfuse", "mlflow", "phoenix"])
def test_time_tags_and_limit_select(app, store):
    everything = app[store].load()
    sessions = app[store].invoke({"limit": 3})
    assert len(list(sessions)) + len(sessions.skipped) == 3
    now = dt.datetime.now(dt.UTC)
    assert list(app[store].invoke({"start_time": now})) == []
    assert len(list(app[store].invoke({"end_time": now}))) == len(everything)
    seen = []
    list(app[store].invoke({"where": lambda run: seen.append(run) or True, "limit": 4}))
    middle = seen[2]["start_time"]
    later = list(app[store].invoke({"start_time": middle}))
    earlier = list(app[store].invoke({"end_time": middle}))
    assert len(later) + len(earlier) == len(everything)
    assert list(app[store].invoke({"tags": "no such tag"})) == []


def test_tags_of_langfuse(app):
    [session] = app["langfuse"].invoke({"tags": ["two calls"]})
    assert len(session["messages"][-1].tool_calls) == 2


def test_an_export_of_mlflow_is_read_as_a_file(app, scored, mlflow_client, tmp_path):
    [experiment] = mlflow_client.search_experiments(filter_string="name = 'app'")
    traces = mlflow_client.search_traces(locations=[experiment.experiment_id])
    as_lines, as_list = tmp_path / "traces.jsonl", tmp_path / "traces.json"
    as_lines.write_text("\n".join(trace.to_json() for trace in traces))
    as_list.write_text(json.dumps({"traces": [trace.to_dict() for trace in traces]}, indent=1))
    expected = list(examples(app["mlflow"]))
    for path in (as_lines, as_list):
        loader = RunFileChatLoader(path, score="user_score")
        assert list(examples(loader)) == expected
        scores = [session.get("score") for session in loader.load()]
        assert [score for score in scores if score is not None] == [0, 1]


def test_an_export_of_langfuse_is_read_as_a_file(app, langfuse, tmp_path):
    server, _ = langfuse
    rows = sorted(server.observations.values(), key=lambda row: row["startTime"], reverse=True)
    snake = [
        {re.sub("([A-Z])", r"_\1", key).lower(): value for key, value in row.items()}
        for row in rows
    ]
    paths = [tmp_path / name for name in ("page.json", "blob.jsonl", "answer.json")]
    paths[0].write_text(json.dumps(rows))
    paths[1].write_text("\n".join(map(json.dumps, snake)))
    paths[2].write_text(json.dumps({"data": rows, "meta": {}}))
    expected = list(examples(app["langfuse"]))
    for path in paths:
        sessions = RunFileChatLoader(path).invoke({})
        assert list(examples(RunFileChatLoader(path))) == expected
        others = [row for row in rows if row["type"] != "GENERATION"]
        list(sessions)
        assert sessions.notes["not_an_llm_run"] == len(others) > 0


def test_a_trace_of_langfuses_older_api_is_read_as_a_file(app, langfuse, tmp_path):
    server, _ = langfuse
    calls = server.observations.values()
    call = next(row for row in calls if "two calls" in row["metadata"].get("tags", ()))
    trace = {"id": call["traceId"], "input": None, "output": None, "sessionId": "s-1"}
    trace |= {"observations": [call], "tags": ["a"]}
    trace["scores"] = [{"name": "user_score", "value": 0.5, "traceId": call["traceId"]}]
    path = tmp_path / "trace.json"
    path.write_text(json.dumps(trace))
    [session] = RunFileChatLoader(path, score="user_score").load()
    assert session["score"] == 0.5
    assert session["source"]["thread_id"] == "s-1"


def test_an_image_that_langfuse_stores_elsewhere_is_a_skip(app, langfuse, tmp_path):
    server, _ = langfuse
    call = next(row for row in server.observations.values() if "menu.png" in str(row["input"]))
    media = "@@@langfuseMedia:type=image/png|id=m-1|source=bytes@@@"
    moved = {**call, "input": call["input"].replace("https://example.com/menu.png", media)}
    path = tmp_path / "row.jsonl"
    path.write_text(json.dumps(moved))
    sessions = RunFileChatLoader(path).invoke({})
    assert list(sessions) == []
    assert [(skip.id, skip.code) for skip in sessions.skipped] == [(call["id"], "hidden_content")]


def test_pages_and_what_is_asked_of_langfuse(app, langfuse):
    server, _ = langfuse
    server.requests.clear()
    everything = app["langfuse"].load()
    asked = len(server.requests)
    assert asked == -(-(len(everything) + 1) // server.page_limit)
    assert all(request["type"] == "GENERATION" for request in server.requests)
    server.requests.clear()
    assert len(list(app["langfuse"].invoke({"limit": 3}))) == 2  # One failed.
    assert len(server.requests) == 1


def test_faults_are_told_without_keys(langfuse, app, monkeypatch):
    _, client = langfuse
    for kind in ("PUBLIC", "SECRET"):
        monkeypatch.delenv(f"LANGFUSE_{kind}_KEY", raising=False)
    with pytest.raises(LoadError, match="set LANGFUSE_PUBLIC_KEY"):
        LangfuseChatLoader().load()
    monkeypatch.setenv("LANGFUSE_PUBLIC_KEY", KEYS[0])
    monkeypatch.setenv("LANGFUSE_SECRET_KEY", "wrong-key")
    monkeypatch.setenv("LANGFUSE_BASE_URL", client._base_url)
    with pytest.raises(LoadError, match=r"Langfuse can't be read: HTTP 401\.") as raised:
        LangfuseChatLoader().load()
    assert "wrong-key" not in str(raised.value)
    monkeypatch.setenv("LANGFUSE_SECRET_KEY", KEYS[1])
    assert len(LangfuseChatLoader().load()) == len(APP)
    monkeypatch.setenv("LANGFUSE_BASE_URL", "http://127.0.0.1:9")
    with pytest.raises(LoadError, match="Langfuse can't be read: ConnectError"):
        LangfuseChatLoader().load()
    address = str(app["phoenix"].client._client.base_url)
    monkeypatch.setenv("PHOENIX_COLLECTOR_ENDPOINT", address)
    monkeypatch.setenv("PHOENIX_API_KEY", "wrong-key")
    with pytest.raises(LoadError, match=r"Phoenix can't be read: HTTP 401\.") as raised:
        PhoenixChatLoader(project_name="app").load()
    assert "wrong-key" not in str(raised.value)
    monkeypatch.setenv("PHOENIX_API_KEY", KEY)
    assert len(PhoenixChatLoader(project_name="app").load()) == len(APP)
    monkeypatch.setenv("PHOENIX_COLLECTOR_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(LoadError, match="Phoenix can't be read: ConnectError"):
        PhoenixChatLoader(project_name="app").load()
    with pytest.raises(LoadError, match="has no experiment 'unknown'"):
        app["mlflow"].model_copy(update={"project_name": "unknown"}).load()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"feedback": [{"key": "a", "use_score": True}, {"key": "b", "use_score": True}]}, "one"),
        (
            {
                "feedback": {
                    "key": "a",
                    "comparative_experiment": str(UUID(int=1)),
                    "use_score": True,
                }
            },
            "LangSmith's only",
        ),
        ({"start_time": "2026-02-01", "end_time": "2026-01-01"}, "must be before end_time"),
    ],
)
def test_conditions_that_can_not_be_met_are_refused(app, settings, told):
    with pytest.raises(InvalidArgumentError, match=told):
        app["phoenix"].invoke(settings).__iter__().__next__()


def test_a_project_of_phoenix_may_have_any_name_but_a_slash_needs_its_id():
    app, asked = FastAPI(), []

    @app.get("/v1/projects/{project}/spans")
    def spans(project: str, span_kind: str):
        asked.append((project, span_kind))
        return {"data": [], "next_cursor": None}

    with served(app) as url:
        client = PhoenixClient(base_url=url)
        for name in ("shop", "who? #1", "50%"):
            assert PhoenixChatLoader(project_name=name, client=client).load() == []
        with pytest.raises(LoadError, match=r"'shop/eu'\..* by its id"):
            PhoenixChatLoader(project_name="shop/eu", client=client).load()
        client._client.close()
    assert asked == [("shop", "LLM"), ("who? #1", "LLM"), ("50%", "LLM")]
