"""The loaders of Phoenix and MLflow read real servers, over real sockets."""

import datetime as dt
import os
import signal
import subprocess
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest
from langchain_core.tracers import LangChainTracer
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from phoenix.client import Client

from langchain_finetune import (
    LangSmithRunChatLoader,
    LoadError,
    MLflowChatLoader,
    PhoenixChatLoader,
)
from support.servers import free_port
from support.store import store_client
from support.traced_app import (
    APP,
    ask_all,
    examples,
    expected_of,
    mlflow_tracer,
    openinference,
)

SERVERS = Path(os.environ["STORE_SERVERS"])


@contextmanager
def running(command, health, folder, **environment):
    """Run a server until it is left; `health` is a URL that answers once it is up."""
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [SERVERS / command[0] / "bin" / command[0], *command[1:]],
            env={**os.environ, **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + 180
        while True:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            try:
                if httpx.get(health).is_success:
                    break
            except httpx.TransportError:
                time.sleep(0.5)
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)


@pytest.fixture(scope="module")
def phoenix(tmp_path_factory):
    folder, port = tmp_path_factory.mktemp("phoenix"), free_port()
    url = f"http://127.0.0.1:{port}"
    places = {"PHOENIX_WORKING_DIR": str(folder), "PHOENIX_HOST": "127.0.0.1"}
    ports = {"PHOENIX_PORT": str(port), "PHOENIX_GRPC_PORT": str(free_port())}
    with running(["phoenix", "serve"], f"{url}/healthz", folder, **places, **ports):
        yield Client(base_url=url)


@pytest.fixture(scope="module")
def mlflow_client(tmp_path_factory):
    folder, port = tmp_path_factory.mktemp("mlflow"), free_port()
    url = f"http://127.0.0.1:{port}"
    store = ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    serve = ["mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    with (
        running([*serve, *store], f"{url}/health", folder),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("MLFLOW_ENABLE_ASYNC_TRACE_LOGGING", "false")
        import mlflow

        mlflow.set_tracking_uri(url)
        mlflow.set_experiment("app")
        yield mlflow.MlflowClient(url)


@pytest.fixture(scope="module")
def app(phoenix, mlflow_client, tmp_path_factory):
    """The loaders of each store, to which the same calls were traced at the same time."""
    with store_client(tmp_path_factory.mktemp("app") / "runs.db") as langsmith:
        tracer = LangChainTracer(project_name="app", client=langsmith)
        with openinference(OTLPSpanExporter(f"{phoenix._client.base_url}/v1/traces")):
            ask_all([tracer, mlflow_tracer()])
        tracer.wait_for_futures()
        langsmith.flush()
        loaders = {
            "langsmith": LangSmithRunChatLoader(project_name="app", client=langsmith),
            "mlflow": MLflowChatLoader(project_name="app", client=mlflow_client),
            "phoenix": PhoenixChatLoader(project_name="app", client=phoenix),
        }
        # Phoenix writes what it was sent a little later.
        deadline = time.monotonic() + 60
        while not _is_complete(loaders["phoenix"]) and time.monotonic() < deadline:
            time.sleep(0.5)
        yield loaders


def _is_complete(loader):
    try:
        return len(loader.load()) == len(APP)
    except LoadError:
        return False


STORES = ["mlflow", "phoenix"]


@pytest.mark.parametrize("store", STORES)
def test_the_same_app_makes_the_same_lines(app, store):
    traced = list(examples(app["langsmith"]))
    assert len(traced) == len(APP)
    assert list(examples(app[store])) == expected_of(store, traced)


@pytest.mark.parametrize("store", STORES)
def test_a_failed_call_is_a_skip(app, store):
    sessions = app[store].invoke({})
    assert len(list(sessions)) == len(APP)
    assert [skip.code for skip in sessions.skipped] == ["errored_run"]


@pytest.fixture(scope="module")
def scored(app, phoenix):
    from mlflow import log_expectation, log_feedback

    values = {"Certainly.": 1.0, "Certainly, for two.": 0.0}
    for store in STORES:
        for session in app[store].load():
            answer = session["messages"][-1].content
            if answer not in values:
                continue
            value, source = values[answer], session["source"]
            tone = "kind" if value else "cold"
            if store == "mlflow":
                score = partial(log_feedback, trace_id=source["trace_id"])
                score(name="user_score", value=value)
                score(name="tone", value=tone, span_id=source["run_id"])
                log_expectation(trace_id=source["trace_id"], name="better", value="Better.")
            else:
                of_trace = partial(
                    phoenix.traces.add_trace_annotation, trace_id=source["trace_id"], sync=True
                )
                of_trace(annotation_name="user_score", score=value)
                phoenix.spans.add_span_annotation(
                    span_id=source["run_id"], annotation_name="tone", label=tone, sync=True
                )
    return app


CONDITIONS = {
    "score": ({"key": "user_score", "at_least": 1}, ["Certainly."]),
    "bounds": ({"key": "user_score", "above": -1, "below": 1}, ["Certainly, for two."]),
    "value": ({"key": "tone", "value": "kind", "on": "run"}, ["Certainly."]),
    "on the root": ({"key": "tone", "value": "kind"}, ["Certainly."]),
    "nothing": ({"key": "unknown"}, []),
}


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("condition", CONDITIONS)
def test_feedback_selects(scored, store, condition):
    feedback, answers = CONDITIONS[condition]
    sessions = scored[store].invoke({"feedback": feedback})
    assert [session["messages"][-1].content for session in sessions] == answers


@pytest.mark.parametrize("store", STORES)
def test_a_score_reaches_the_session(scored, store):
    sessions = scored[store].invoke({"feedback": {"key": "user_score", "use_score": True}})
    assert [session["score"] for session in sessions] == [0, 1]


def test_an_expectation_of_mlflow_replaces_the_answer(scored):
    found = scored["mlflow"].invoke({"feedback": {"key": "better", "use_correction": True}})
    assert [session["messages"][-1].content for session in found] == ["Better."] * 2


@pytest.mark.parametrize("store", STORES)
def test_time_limit_and_threads(app, store):
    everything = app[store].load()
    assert {session["source"]["thread_id"] for session in everything} == {"t-1"}
    now = dt.datetime.now(dt.UTC)
    assert list(app[store].invoke({"start_time": now})) == []
    assert len(list(app[store].invoke({"end_time": now}))) == len(everything)
    sessions = app[store].invoke({"limit": 3})
    assert len(list(sessions)) + len(sessions.skipped) == 3


def test_faults_are_told(app, phoenix):
    with pytest.raises(LoadError, match="Phoenix has no project 'unknown'"):
        list(app["phoenix"].invoke({"project_name": "unknown"}))
    with pytest.raises(LoadError, match="has no experiment 'unknown'"):
        list(app["mlflow"].invoke({"project_name": "unknown"}))
    nobody = Client(base_url=f"http://127.0.0.1:{free_port()}")
    with pytest.raises(LoadError, match="Phoenix can't be read: ConnectError"):
        list(app["phoenix"].invoke({"client": nobody}))
