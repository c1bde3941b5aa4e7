"""What sessions say of where they come from: enough to ask again, and no secret."""

import json

from langchain_core.chat_loaders import BaseChatLoader
from langchain_core.messages import AIMessage, HumanMessage
from langsmith import Client

from langchain_finetune import (
    Convert,
    LangSmithRunChatLoader,
    MapSpeaker,
    RunFileChatLoader,
    RunQuery,
)
from langchain_finetune.dialects.run import read_run

CHAT = {
    "inputs": {"messages": [{"role": "user", "content": "Hi"}]},
    "outputs": {"choices": [{"message": {"role": "assistant", "content": "Hello"}}]},
}


def wanted(run):
    return True


def test_a_loader_tells_its_query_and_no_key():
    client = Client("http://127.0.0.1:9", api_key="ls-secret", auto_batch_tracing=False)
    loader = LangSmithRunChatLoader(
        project_name="app",
        client=client,
        where=wanted,
        start_time="2026-11-01T00:00:00Z",
        runs=None,
    )
    origin = loader.invoke(RunQuery(limit=5)).origin
    assert "secret" not in json.dumps(origin)
    assert origin["loader"] == "LangSmithRunChatLoader"
    assert origin["query"] == {"project_name": "app", "start_time": "2026-11-01T00:00:00Z"}
    assert origin["where"].endswith("test_origin.wanted")
    assert origin["this_time"] == {"limit": 5}


def test_run_objects_are_not_told():
    origin = LangSmithRunChatLoader(runs=[{"id": "r", **CHAT}]).invoke({}).origin
    assert "Hello" not in json.dumps(origin)


def test_it_is_handed_on(tmp_path):
    sessions = RunFileChatLoader(tmp_path).invoke({})
    told = {"loader": "RunFileChatLoader", "path": str(tmp_path)}
    assert sessions.origin == MapSpeaker("Ada").invoke(sessions).origin == told


def test_a_foreign_loader_is_named_without_its_settings():
    class Mail(BaseChatLoader):
        token = "secret"

        def lazy_load(self):
            yield {"messages": [HumanMessage("Hi"), AIMessage("Hello")]}

    origin = (Mail() | MapSpeaker("Ada")).invoke({}).origin
    assert "secret" not in json.dumps(origin)
    assert origin["loader"] == "Mail"
    assert len(list((Mail() | Convert()).invoke({}))) == 1


def test_a_run_says_its_thread():
    metadata = {"metadata": {"conversation_id": "talk-1"}}
    [session] = read_run({"id": "r", "trace_id": "t", "extra": metadata, **CHAT})
    assert session["source"] == {"run_id": "r", "trace_id": "t", "thread_id": "talk-1"}
    [session] = read_run({"id": "r", "extra": {"metadata": 5}, **CHAT})
    assert session["source"] == {"run_id": "r"}


def test_a_span_says_its_conversation():
    attributes = {
        "gen_ai.conversation.id": "talk-1",
        "gen_ai.prompt": json.dumps(CHAT["inputs"]),
        "gen_ai.completion": json.dumps(CHAT["outputs"]),
    }
    [session] = read_run({"id": "r", "attributes": attributes})
    assert session["source"]["thread_id"] == "talk-1"
