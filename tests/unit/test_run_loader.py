"""Runs become sessions: what was sent, what came back, and the tools; or a skip with a reason."""

import warnings

import pytest
from langchain_core.chat_loaders import BaseChatLoader
from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable
from langsmith import Client
from langsmith.schemas import Run

from langchain_finetune import Convert, LangSmithRunChatLoader, LoadError, RunQuery
from langchain_finetune.convert.community_compat import convert_messages_for_finetuning
from support.runs import (
    ANSWER,
    CALL,
    FUNCTION,
    SENT,
    TOOL,
    WIRE_ANSWER,
    WIRE_SENT,
    constructor,
    run,
)


def lines(*runs):
    examples = (LangSmithRunChatLoader(runs) | Convert()).invoke({})
    found = list(examples)
    return found, examples.rejected


def only_line(data):
    found, rejected = lines(data)
    assert rejected == []
    return found[0]


WHOLE = {"messages": [*WIRE_SENT, WIRE_ANSWER], "tools": [TOOL]}


@pytest.mark.parametrize("nested", [True, False])
def test_todays_and_2023s_shape_are_read(nested):
    assert only_line(run(nested=nested)) == WHOLE


def test_a_run_of_the_new_api_is_read():
    assert only_line(run(run_type="LLM", status="SUCCESS", name="ChatOpenAI")) == WHOLE


def test_run_objects_are_read_like_their_json():
    data = run()
    assert only_line(Run(**data, session_id=data["id"], dotted_order="")) == WHOLE


def test_langchain_js_names_the_role_by_the_class_only():
    sent = [
        {**message, "id": ["langchain_core", "messages", message["id"][-1]]} for message in SENT
    ]
    for message in sent:
        message["kwargs"] = {"content": message["kwargs"]["content"]}
    assert only_line(run(sent))["messages"] == [*WIRE_SENT, WIRE_ANSWER]


def test_a_streamed_answer_is_read():
    chunk = constructor(
        "AIMessageChunk",
        content="",
        type="AIMessageChunk",
        tool_calls=[CALL],
        tool_call_chunks=[{"name": "find_room", "args": '{"beds": 2}', "id": "call_5", "index": 0}],
    )
    assert only_line(run(answer=chunk)) == WHOLE


def test_legacy_functions_and_their_results_are_read():
    asked = {"function_call": {"name": "find_room", "arguments": '{"beds":2}'}}
    sent = [
        *SENT,
        constructor("AIMessage", content="", type="ai", additional_kwargs=asked),
        constructor("FunctionMessage", content="Room 7", type="function", name="find_room"),
    ]
    answer = constructor("AIMessage", content="Room 7 is free.", type="ai")
    line = only_line(run(sent, answer, extra={"invocation_params": {"functions": [FUNCTION]}}))
    assert line["functions"] == [FUNCTION]
    assert line["messages"][2:] == [
        {"role": "assistant", "content": None, **asked},
        {"role": "function", "content": "Room 7", "name": "find_room"},
        {"role": "assistant", "content": "Room 7 is free."},
    ]


def test_tool_results_are_read():
    sent = [
        *SENT,
        ANSWER,
        constructor("ToolMessage", content="Room 7", type="tool", tool_call_id="call_5"),
    ]
    line = only_line(run(sent, constructor("AIMessage", content="Room 7.", type="ai")))
    assert line["messages"][3] == {"role": "tool", "content": "Room 7", "tool_call_id": "call_5"}


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (run(run_type="chain"), "not_an_llm_run"),
        (run(error="TimeoutError()"), "errored_run"),
        (run(status="error"), "errored_run"),
        (run(outputs=None), "pending_run"),
        (run(inputs={"prompts": ["Once"]}), "no_chat"),
        (run(inputs={"messages": [[], []]}), "no_chat"),
        (run(inputs={"messages": [SENT, SENT]}), "no_chat"),
        (run(outputs={"generations": [[{"text": "a"}]]}), "no_chat"),
        (run([{"lc": 1, "type": "secret", "id": ["KEY"]}]), "unreadable_message"),
        (run([constructor("PromptTemplate", template="x")]), "unknown_message_type"),
        (run(["text"]), "unreadable_message"),
        (run(extra={"invocation_params": {"tools": [{"name": "f"}]}}), "unsupported_tools"),
        (run(outputs={}), "no_outputs"),
        (run(inputs={}), "no_chat"),
        (run(answer=constructor("AIMessage", tool_calls=[5])), "malformed"),
        (run(inputs=7, outputs=7), "no_chat"),
    ],
)
def test_what_is_no_finished_chat_is_skipped_and_the_rest_goes_on(data, code):
    good = run()
    found, rejected = lines(good, data, good)
    assert found == [WHOLE, WHOLE]
    assert [(skip.id, skip.code) for skip in rejected] == [(data["id"], code)]
    assert "hotel" not in rejected[0].reason


def test_the_loader_is_a_chat_loader_and_a_runnable():
    loader = LangSmithRunChatLoader([run()])
    assert isinstance(loader, BaseChatLoader)
    assert isinstance(loader, Runnable)
    [session] = loader.load()
    assert session["messages"][-1] == AIMessage("", tool_calls=[CALL])
    assert session["tools"] == [TOOL]
    assert set(session["source"]) == {"run_id", "trace_id"}


async def test_sync_and_async_give_the_same():
    loader = LangSmithRunChatLoader([run(), run(error="x")])
    first, second = loader.invoke({}), await loader.ainvoke({})
    assert list(first) == list(second)
    assert first.skipped == second.skipped != []


def test_it_gives_the_messages_that_langchain_community_gives_where_that_works():
    answer = constructor("AIMessage", content="Yes", type="ai")
    data = run(answer=answer, nested=False)
    data = Run(**data, session_id=data["id"], dotted_order="")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from langchain_community.adapters.openai import (
            convert_messages_for_finetuning as community_convert,
        )
        from langchain_community.chat_loaders.langsmith import (
            LangSmithRunChatLoader as CommunityLoader,
        )

        expected = CommunityLoader(
            [data], Client("http://127.0.0.1:9", auto_batch_tracing=False)
        ).load()
    ours = LangSmithRunChatLoader([data]).load()
    assert list(ours[0]["messages"]) == expected[0]["messages"]
    assert convert_messages_for_finetuning(ours) == community_convert(expected)


def test_an_iterator_of_runs_is_read_once_and_says_so():
    loader = LangSmithRunChatLoader(iter([run()]))
    assert len(loader.load()) == 1
    with pytest.raises(LoadError, match="exhausted"):
        loader.load()


def test_a_repr_shows_no_training_text():
    assert "hotel" not in repr(LangSmithRunChatLoader([run()]))


def test_runs_and_conditions_exclude_each_other():
    with pytest.raises(LoadError, match="not both"):
        LangSmithRunChatLoader([run()], tags=["a"])


def test_a_wrong_condition_is_named():
    with pytest.raises(LoadError, match="limit must be greater than 0"):
        LangSmithRunChatLoader(project_name="app", limit=0)
    with pytest.raises(LoadError, match="project_nme"):
        list(LangSmithRunChatLoader(project_name="app").invoke({"project_nme": "x"}))


def test_nothing_to_load_from_is_an_error():
    with pytest.raises(LoadError, match="No runs are selected"):
        LangSmithRunChatLoader().load()


def test_conditions_become_a_query_that_can_be_kept_as_json():
    loader = LangSmithRunChatLoader(project_name="app", trace_filter="eq(x, 1)", limit=5)
    kept = loader.query.model_dump_json(exclude_none=True)
    assert LangSmithRunChatLoader(query=RunQuery.model_validate_json(kept)).query == loader.query
