"""Whole conversations from threads, and the last calls of agents that really ran."""

import pytest
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableLambda
from langchain_core.tracers import LangChainTracer

from langchain_finetune import (
    Convert,
    LangSmithRunChatLoader,
    LangSmithThreadChatLoader,
    LoadError,
)
from langchain_finetune.errors import InvalidArgumentError
from support.store import NOON, SECOND, chat, record, say

V2_RUNS, V2_THREADS = "/api/v2/runs/query", "/api/v2/threads/query"


@pytest.fixture(scope="module")
def filled(filled):
    fill(filled)
    return filled


@pytest.fixture(params=["threads API", "new runs API", "old runs API"])
def langsmith(request, filled, gate):
    missing = {"new runs API": {V2_THREADS}, "old runs API": {V2_THREADS, V2_RUNS}}
    with gate.without(missing.get(request.param, set())):
        yield filled


def fill(client):
    def turn(at, thread, *texts, key="thread_id", **more):
        extra = {"metadata": {key: thread}}
        return record(client, *texts, project="talks", at=at, extra=extra, **more)

    # This one sends its history, that one does not; their turns alternate.
    turn(0, "grows", "a", "b")
    turn(10, "joined", "1", "2", key="session_id")
    turn(20, "grows", "a", "b", "c", "d")
    turn(30, "joined", "3", "4", key="session_id")
    turn(40, "joined", "5", "-", key="session_id", error="Timeout")
    root, _ = turn(50, 'odd "one', "x", "y", key="conversation_id")
    record(client, "alone", "yes", project="talks", at=60)
    client.flush()
    say(client, root, "solved", score=1)
    client.flush()


def conversations(client, **settings):
    loader = LangSmithThreadChatLoader(client, project_name="talks", **settings)
    sessions = loader.invoke({})
    found = {
        session["source"]["thread_id"]: "".join(m.content for m in session["messages"])
        for session in sessions
    }
    return found, sessions.skipped


def test_a_thread_is_one_session(langsmith):
    found, skipped = conversations(langsmith)
    assert list(found.items()) == [('odd "one', "xy"), ("joined", "1234"), ("grows", "abcd")]
    assert [skip.code for skip in skipped] == ["errored_run"]


@pytest.mark.parametrize(
    ("conditions", "found"),
    [
        ({"feedback": {"key": "solved", "above": 0}}, ['odd "one']),
        ({"limit": 2}, ['odd "one', "joined"]),
        ({"thread_ids": ["grows"]}, ["grows"]),
        ({"thread_ids": ['odd "one']}, ['odd "one']),
        ({"end_time": NOON + 5 * SECOND}, ["grows"]),
        ({"start_time": NOON + 45 * SECOND}, ['odd "one']),
        ({"tree_filter": 'eq(status, "error")'}, ["joined"]),
        ({"sample": 1e-9}, []),
        ({"concurrency": 1}, ['odd "one', "joined", "grows"]),
    ],
)
def test_conditions_choose_threads(langsmith, conditions, found):
    assert list(conversations(langsmith, **conditions)[0]) == found


def test_a_thread_is_whole_also_where_one_trace_of_it_was_chosen(langsmith):
    found, _ = conversations(langsmith, end_time=NOON + 15 * SECOND)
    assert found == {"joined": "1234", "grows": "abcd"}


async def test_sync_and_async_give_the_same(filled):
    loader = LangSmithThreadChatLoader(filled, project_name="talks")
    first, second = loader.invoke({}), await loader.ainvoke({})
    assert list(first) == list(second) != []
    assert list((loader | Convert()).invoke({"limit": 1})) != []


def test_what_chooses_no_threads_is_refused(filled):
    with pytest.raises(LoadError, match="annotation_queue"):
        LangSmithThreadChatLoader(filled, annotation_queue="x").load()
    with pytest.raises(LoadError, match="No threads are selected"):
        LangSmithThreadChatLoader(filled).load()


def test_strict_names_the_lost_calls(filled):
    with pytest.raises(LoadError, match="errored_run"):
        LangSmithThreadChatLoader(filled, project_name="talks", strict=True).load()


def test_an_agent_that_really_ran_folds_into_its_last_call(filled):
    call = {"name": "add", "args": {"a": 1}, "id": "c1", "type": "tool_call"}
    model = GenericFakeChatModel(messages=iter([AIMessage("", tool_calls=[call]), AIMessage("2")]))

    def agent(question):
        messages = [HumanMessage(question)]
        messages.append(model.invoke(messages))
        messages.append(ToolMessage("2", tool_call_id="c1"))
        return model.invoke(messages)

    tracer = LangChainTracer(project_name="agent", client=filled)
    RunnableLambda(agent).invoke("1+1?", {"callbacks": [tracer]})
    tracer.wait_for_futures()
    filled.flush()
    loader = LangSmithRunChatLoader(project_name="agent", client=filled)
    assert sorted(len(session["messages"]) for session in loader.lazy_load()) == [2, 4]
    last = LangSmithRunChatLoader(project_name="agent", client=filled, calls="last").invoke({})
    assert [len(session["messages"]) for session in last] == [4]
    assert last.skipped_by_reason() == {"folded": 1}


def test_reasoning_of_a_thread_is_counted_or_kept(filled):
    for at, (asked, told) in enumerate([("a", "b"), ("c", "d")]):
        extra = {"metadata": {"thread_id": "thinks"}}
        run = chat(asked, told)
        answer = run["outputs"]["generations"][0][0]["message"]["kwargs"]
        answer["additional_kwargs"] = {"reasoning_content": f"{told}?"}
        record(filled, asked, told, project="thoughts", at=at * 10, extra=extra, **run)
    filled.flush()
    loader = LangSmithThreadChatLoader(filled, project_name="thoughts")
    sessions = loader.invoke({})
    assert [session["source"]["dropped_reasoning"] for session in sessions] == ["2"]
    assert sessions.notes == {"dropped_reasoning": 2}
    kept = LangSmithThreadChatLoader(filled, project_name="thoughts", reasoning="keep").load()
    thoughts = [m.additional_kwargs.get("reasoning_content") for m in kept[0]["messages"]]
    assert thoughts == [None, "b?", None, "d?"]


def test_a_thread_that_is_not_there_is_told(filled):
    loader = LangSmithThreadChatLoader(project_name="talks", client=filled, thread_ids=["nope"])
    sessions = loader.invoke({})
    assert list(sessions) == []
    assert [(skip.id, skip.code) for skip in sessions.skipped] == [("nope", "unknown_thread")]
    with pytest.raises(InvalidArgumentError, match="thread_ids"):
        LangSmithThreadChatLoader(project_name="talks", client=filled, thread_ids=[])
