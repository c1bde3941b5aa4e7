"""What `RolloutChatModel` leaves in LangSmith, here the engine's own store."""

import uuid
from pathlib import Path

import openai
import pytest
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI
from langsmith import Client, traceable, tracing_context

from langchain_finetune import RolloutChatModel
from tests.local.conftest import running_engine

ENGINE = str(Path(__file__).with_name("rollout_engine.py"))
pytestmark = pytest.mark.filterwarnings("ignore:list_runs.. is deprecated")


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    with running_engine(tmp_path_factory.mktemp("traces") / "home", command=(ENGINE,)) as engine:
        yield engine


@pytest.fixture
def langsmith(engine):
    client = Client(api_url=engine.url, api_key=engine.key, auto_batch_tracing=False)
    yield client
    client.cleanup()


@pytest.fixture
def chain(engine):
    """Makes an app's chain over a rollout."""
    with openai.DefaultHttpxClient() as http:

        def make(**settings):
            given = {"base_url": f"{engine.url}/v1", "api_key": engine.key, "http_client": http}
            old, new = (ChatOpenAI(model=name, **given) for name in ("a", "b"))
            model = RolloutChatModel(old=old, new=new, **settings)
            return ChatPromptTemplate.from_messages([("user", "{x}")]) | model, model

        yield make


def traced(langsmith, answer):
    """The runs of an answer in a project of their own, by run type."""
    project = f"project {uuid.uuid4().hex[:6]}"
    with tracing_context(enabled=True, client=langsmith, project_name=project):
        answer()
    return list(langsmith.list_runs(project_name=project))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("share", [0, 1])
def test_a_canarys_run_is_that_of_the_model(langsmith, chain, share, stream):
    app, _ = chain(share=share)
    config = {"configurable": {"thread_id": "t"}}
    asked = (
        (lambda: list(app.stream({"x": "Hi"}, config)))
        if stream
        else (lambda: app.invoke({"x": "Hi"}, config))
    )
    runs = traced(langsmith, asked)
    assert sorted(run.run_type for run in runs) == ["chain", "llm", "prompt"]
    [llm] = [run for run in runs if run.run_type == "llm"]
    assert llm.name == "ChatOpenAI"
    assert llm.metadata["rollout"] == "b"
    assert llm.metadata["rollout_side"] == ("new" if share else "old")
    assert llm.metadata["ls_model_name"] == ("b" if share else "a")
    assert llm.metadata["thread_id"] == "t"


def test_a_shadow_is_a_trace_of_its_own(langsmith, chain):
    app, model = chain(mode="shadow")

    @traceable
    def answer():
        app.invoke({"x": "Hi"}, {"configurable": {"thread_id": "t"}, "tags": ["mine"]})
        app.invoke({"x": "fail, please"})
        assert model.finish_shadows(30)

    runs = traced(langsmith, answer)
    old = [run for run in runs if run.metadata.get("rollout_side") == "old"]
    new = [run for run in runs if run.metadata.get("rollout_side") == "new"]
    assert len(runs) == 1 + 2 * 3 + 2
    assert {run.metadata["rollout_shadow_of"] for run in new} == {str(run.id) for run in old}
    assert {run.parent_run_id for run in new} == {None}
    assert not {run.trace_id for run in new} & {run.trace_id for run in old}
    [failed] = [run for run in new if run.error]
    [passed] = [run for run in new if not run.error]
    assert failed.metadata["ls_model_name"] == passed.metadata["ls_model_name"] == "b"
    assert passed.metadata["thread_id"] == "t"
    assert "mine" in passed.tags
