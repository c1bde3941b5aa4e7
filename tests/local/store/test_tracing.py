"""A LangChain app traces into the store, and LangSmith's client reads it back."""

import time

import pytest
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.runnables import RunnableLambda
from langchain_core.tracers.langchain import LangChainTracer
from langsmith import traceable, tracing_context
from langsmith.utils import get_env_var

old_api = pytest.mark.filterwarnings("ignore:(list_runs|read_run).. is deprecated")
pytestmark = old_api

QUESTION = [SystemMessage("You sell tea."), HumanMessage("Which tea is mild?")]


def answering(*texts):
    return GenericFakeChatModel(messages=iter([AIMessage(text) for text in texts]))


def shop(model):
    return (RunnableLambda(lambda question: question) | model).with_config(run_name="shop")


def runs_of(client, project, **query):
    client.flush()
    return {run.name: run for run in client.list_runs(project_name=project, **query)}


WAYS = {
    "zstd": ("POST", "/runs/multipart", "zstd"),
    "multipart": ("POST", "/runs/multipart", ""),
    "batch": ("POST", "/runs/batch", ""),
    "single": ("POST", "/runs", ""),
}


@pytest.fixture(params=WAYS)
def tracing(request, server, connecting, monkeypatch):
    """Clients that write in each of the ways that LangSmith's client knows."""
    if request.param != "zstd":
        monkeypatch.setenv("LANGSMITH_DISABLE_RUN_COMPRESSION", "true")
    get_env_var.cache_clear()
    options = {"auto_batch_tracing": request.param != "single"}
    if request.param == "batch":
        limits = {"use_multipart_endpoint": False, "size_limit_bytes": 2**20, "size_limit": 100}
        limits |= {"scale_up_nthreads_limit": 2, "scale_up_qsize_trigger": 100}
        options["info"] = {"batch_ingest_config": {**limits, "scale_down_nempty_trigger": 4}}
    with connecting(server.url, **options) as client:
        # The client packs its batches once its thread has seen /info.
        deadline = time.monotonic() + 60
        while request.param == "zstd" and not client.compressed_traces:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield client
    writes = {asked for asked in server.asked if asked in WAYS.values()}
    assert writes == {WAYS[request.param]}


def test_a_traced_chain_comes_back_as_a_tree(tracing):
    with tracing_context(client=tracing, enabled=True, project_name="shop"):
        shop(answering("White tea.")).invoke(
            QUESTION, {"tags": ["web"], "metadata": {"thread_id": "t-1"}}
        )
    runs = runs_of(tracing, "shop")
    assert set(runs) == {"shop", "RunnableLambda", "GenericFakeChatModel"}
    root, model = runs["shop"], runs["GenericFakeChatModel"]
    assert root.parent_run_id is None
    assert model.parent_run_id == root.id == model.trace_id
    assert model.parent_run_ids == [root.id]
    assert model.dotted_order.startswith(root.dotted_order + ".")
    assert {run.status for run in runs.values()} == {"success"}
    assert root.start_time <= model.start_time <= model.end_time <= root.end_time
    assert root.tags == ["web"]
    assert root.metadata["thread_id"] == "t-1"
    assert model.run_type == "llm"
    (asked,) = model.inputs["messages"]
    assert [message["kwargs"]["content"] for message in asked] == [
        "You sell tea.",
        "Which tea is mild?",
    ]
    assert model.outputs["generations"][0][0]["text"] == "White tea."


def test_one_run_can_be_read_with_its_children(client):
    with tracing_context(client=client, enabled=True, project_name="shop"):
        shop(answering("White tea.")).invoke(QUESTION)
    root = runs_of(client, "shop")["shop"]
    found = client.read_run(root.id, load_child_runs=True)
    assert [run.name for run in found.child_runs] == ["RunnableLambda", "GenericFakeChatModel"]


def test_the_callback_tracer_of_langchain_writes_too(client):
    tracer = LangChainTracer(project_name="callbacks", client=client)
    answering("Green tea.").invoke(QUESTION, {"callbacks": [tracer]})
    tracer.wait_for_futures()
    assert runs_of(client, "callbacks")["GenericFakeChatModel"].outputs


def test_a_streamed_answer_is_kept_whole_with_its_first_token(client):
    with tracing_context(client=client, enabled=True, project_name="stream"):
        chunks = list(answering("Mild white tea.").stream(QUESTION))
    assert len(chunks) > 1
    run = runs_of(client, "stream")["GenericFakeChatModel"]
    message = run.outputs["generations"][0][0]["message"]
    assert message["id"][-1] == "AIMessageChunk"
    assert message["kwargs"]["content"] == "Mild white tea."
    assert run.start_time <= run.first_token_time <= run.end_time


def test_a_failed_run_has_its_error(client):
    def fails(_):
        raise ValueError("no tea left")

    with tracing_context(client=client, enabled=True, project_name="errors"):
        with pytest.raises(ValueError, match="no tea left"):
            (RunnableLambda(fails) | answering("?")).invoke(QUESTION)
        answering("White tea.").invoke(QUESTION)
    failed = runs_of(client, "errors", error=True)
    assert set(failed) == {"RunnableSequence", "fails"}
    assert failed["fails"].status == "error"
    assert "no tea left" in failed["fails"].error
    assert set(runs_of(client, "errors", error=False)) == {"GenericFakeChatModel"}


def test_usage_is_counted_from_what_the_run_states(client):
    usage = {"input_tokens": 20, "output_tokens": 8, "total_tokens": 28}
    message = AIMessage("White tea.", usage_metadata=usage)
    with tracing_context(client=client, enabled=True, project_name="usage"):
        GenericFakeChatModel(messages=iter([message])).invoke(QUESTION)
    run = runs_of(client, "usage", filter="gt(total_tokens, 27)")["GenericFakeChatModel"]
    assert (run.prompt_tokens, run.completion_tokens, run.total_tokens) == (20, 8, 28)


def test_runs_without_a_project_go_to_the_default_one(client):
    @traceable(client=client, run_type="tool")
    def weigh(grams: int) -> int:
        return grams

    with tracing_context(client=client, enabled=True):
        weigh(3)
    assert runs_of(client, "default")["weigh"].inputs == {"grams": 3}


def test_feedback_on_the_root_selects_the_model_runs_below(client):
    from uuid import uuid4

    ids = {text: uuid4() for text in ("White tea.", "No idea.", "Ask my mum.")}
    with tracing_context(client=client, enabled=True, project_name="rated"):
        for text, run_id in ids.items():
            shop(answering(text)).invoke(QUESTION, {"run_id": run_id})
    client.flush()
    project = client.read_project(project_name="rated")

    def rate(text, key, score):
        client.create_feedback(ids[text], key, score=score, session_id=project.id)

    rate("White tea.", "user_score", 1)
    rate("No idea.", "user_score", 0)
    rate("No idea.", "length", 5)
    client.create_feedback(
        trace_id=ids["Ask my mum."], key="user_score", score=-1, session_id=project.id
    )
    client.flush()
    liked = client.list_runs(
        project_name="rated",
        run_type="llm",
        trace_filter='and(eq(feedback_key, "user_score"), gt(feedback_score, 0))',
    )
    answers = [run.outputs["generations"][0][0]["text"] for run in liked]
    assert answers == ["White tea."]
    stats = {
        run.id: run.feedback_stats for run in client.list_runs(project_name="rated", is_root=True)
    }
    assert stats[ids["White tea."]]["user_score"]["avg"] == 1
    assert set(stats[ids["No idea."]]) == {"user_score", "length"}
    assert stats[ids["Ask my mum."]]["user_score"]["n"] == 1
