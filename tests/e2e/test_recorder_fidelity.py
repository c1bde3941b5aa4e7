"""Recording into a file gives the same examples as tracing to LangSmith, and both are faithful."""

import pytest
from langchain_core.tracers import LangChainTracer
from langchain_openai import ChatOpenAI
from openai import BadRequestError

from e2e.test_fidelity import ASK, CASES, asked_of
from langchain_finetune import Convert, LangSmithRunChatLoader, RunFileChatLoader, RunRecorder
from support.model_server import ModelServer
from support.servers import served


def both_ways(run_store, path, answer, ask):
    """Ask a model once, recorded and traced; return the server and both loaders."""
    server = ModelServer([answer])
    with served(server.app) as url, RunRecorder(path) as recorder:
        model = ChatOpenAI(
            model="m", base_url=f"{url}/v1", api_key="x", temperature=0, max_retries=0
        )
        tracer = LangChainTracer(project_name="app", client=run_store)
        ask(model, {"callbacks": [tracer, recorder]})
        tracer.wait_for_futures()
        run_store.flush()
    assert recorder.lost == 0
    traced = LangSmithRunChatLoader(project_name="app", client=run_store)
    return server, RunFileChatLoader(path), traced


@pytest.mark.parametrize("name", CASES)
def test_recorded_and_traced_examples_are_equal(run_store, tmp_path, name):
    build, messages, answer, ask = CASES[name]
    server, *loaders = both_ways(
        run_store,
        tmp_path / "runs.jsonl",
        answer,
        lambda model, config: ask(build(model), messages, config),
    )
    recorded, traced = [(loader | Convert()).invoke({}) for loader in loaders]
    [request] = server.requests
    expected = asked_of(request)
    expected["messages"] = [*request["messages"], answer]
    assert list(recorded) == list(traced) == [expected]
    assert recorded.rejected == traced.rejected == []
    first, second = [loader.load()[0]["source"] for loader in loaders]
    assert first == second


def test_a_failed_request_is_skipped_alike(run_store, tmp_path):
    def ask(model, config):
        with pytest.raises(BadRequestError):
            model.invoke([ASK], config)

    _, *loaders = both_ways(run_store, tmp_path / "runs.jsonl", None, ask)
    recorded, traced = [loader.invoke({}) for loader in loaders]
    assert list(recorded) == list(traced) == []
    assert recorded.skipped == traced.skipped
    assert [skip.code for skip in recorded.skipped] == ["errored_run"]
