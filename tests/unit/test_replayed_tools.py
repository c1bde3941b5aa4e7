"""Tools that answer from a recording: what the model sees, what it gets, and the guard."""

import asyncio
from typing import Annotated

import pytest
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import BaseTool, StructuredTool, tool
from langchain_core.utils.function_calling import convert_to_openai_tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import InjectedState, ToolNode
from pydantic import BaseModel, Field

from langchain_finetune.evaluation.recording import (
    UNSEEN,
    ChainWatch,
    Recording,
    ToolNotRunError,
    recorded_calls,
    replayed,
)

RAN = []


@tool
def add(a: int, b: int = 2) -> str:
    """Add two numbers.

    Args:
        a: The first one.
        b: The second one.
    """
    RAN.append((a, b))
    return str(a + b)


class Search(BaseModel):
    """Search the documents."""

    query: str = Field(description="What to look for.")
    tags: list[str] = Field(default_factory=list)


@tool(args_schema=Search, return_direct=True)
def search(query: str, tags: list[str]) -> str:
    """Search."""
    RAN.append(query)
    return query


@tool
def with_state(a: int, state: Annotated[dict, InjectedState]) -> str:
    """Use what the model does not see."""
    RAN.append(a)
    return str(state)


class Own(BaseTool):
    name: str = "own"
    description: str = "A class of its own."

    def _run(self, query: str) -> str:
        RAN.append(query)
        return query


def plain(query: str) -> str:
    """Do it.

    Args:
        query: What.
    """
    RAN.append(query)
    return query


OPENAI = {
    "type": "function",
    "function": {"name": "bare", "description": "Bare.", "parameters": {
        "type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}},
}  # fmt: skip

ALL = [add, search, with_state, Own(), plain, OPENAI, StructuredTool.from_function(plain, name="q")]


@pytest.fixture(autouse=True)
def nothing_ran():
    RAN.clear()
    yield
    assert RAN == []


@pytest.mark.parametrize("number", range(len(ALL)))
def test_the_model_sees_the_same_tool(number):
    [made] = replayed([ALL[number]], Recording([]))
    assert convert_to_openai_tool(made) == convert_to_openai_tool(ALL[number])
    assert made.return_direct == getattr(ALL[number], "return_direct", False)


def test_a_providers_own_tool_stays_as_it_is():
    assert replayed([{"type": "web_search"}], Recording([])) == [{"type": "web_search"}]


def call(name, arguments, result=None):
    return {"name": name, "arguments": arguments, "result": result}


def ask(made, arguments):
    return made.invoke({"name": made.name, "args": arguments, "id": "c1", "type": "tool_call"})


def test_the_same_call_gets_the_same_result():
    recording = Recording([call("add", '{"b": 2, "a": 1}', "3"), call("add", '{"a": 5}', "7")])
    [made] = replayed([add], recording)
    for _ in range(2):
        answer = ask(made, {"a": 1, "b": 2})
        assert (answer.content, answer.status, answer.tool_call_id) == ("3", "success", "c1")
    # As the model wrote it: without the default.
    assert ask(made, {"a": 5}).content == "7"
    assert asyncio.run(made.ainvoke({"a": 5})) == "7"
    assert recording.unseen == 0


def test_results_of_a_repeated_call_come_in_order():
    [made] = replayed([add], Recording([call("add", '{"a":1}', each) for each in ("one", "two")]))
    assert [ask(made, {"a": 1}).content for _ in range(3)] == ["one", "two", "two"]


def test_an_unseen_call_is_counted_and_gets_an_error():
    recording = Recording([call("add", '{"a": 1}', "3")])
    [made, other] = replayed([add, search], recording)
    answer = ask(made, {"a": 2})
    assert (answer.content, answer.status) == (UNSEEN, "error")
    assert ask(other, {"query": "x"}).status == "error"
    # What the real tool would refuse is one more call that nobody recorded.
    assert ask(made, {"c": [1]}).status == "error"
    assert recording.unseen == 3


def test_injected_arguments_are_no_part_of_a_call():
    recording = Recording([call("with_state", '{"a": 1}', "ok")])
    [made] = replayed([with_state], recording)
    assert ask(made, {"a": 1}).content == "ok"


def test_results_keep_their_parts():
    parts = [{"type": "text", "text": "It is 3."}]
    [made] = replayed([add], Recording([call("add", '{"a": 1}', parts)]))
    assert ask(made, {"a": 1}).content == parts


def test_calls_are_found_in_a_chat():
    function = {"name": "add", "arguments": '{"a": 1}'}
    messages = [
        {"role": "user", "content": "1+2, and again?"},
        {"role": "assistant", "tool_calls": [
            {"id": "c1", "type": "function", "function": function},
            {"id": "c2", "type": "function", "function": {"name": "add", "arguments": "{"}},
            {"id": "c3", "type": "function", "function": function},
        ]},
        {"role": "tool", "tool_call_id": "c2", "content": "no"},
        {"role": "tool", "tool_call_id": "c1", "content": None},
        {"role": "assistant", "content": None, "function_call": function},
        {"role": "function", "name": "add", "content": "3"},
        {"role": "assistant", "content": "3"},
    ]  # fmt: skip
    assert recorded_calls(messages) == [
        call("add", '{"a": 1}', ""),
        call("add", "{", "no"),
        call("add", '{"a": 1}', "3"),
    ]


@pytest.mark.parametrize("how", ["sync", "async"])
def test_the_guard_stops_a_tool_before_it_runs(how):
    guard = ChainWatch(run_tools=False)
    chain = RunnableLambda(lambda value: add.invoke({"a": value}))
    config = {"callbacks": [guard]}
    with pytest.raises(ToolNotRunError, match="holds the tool 'add' itself"):
        chain.invoke(1, config) if how == "sync" else asyncio.run(add.ainvoke({"a": 1}, config))
    assert guard.stopped == ["add"]


def test_the_guard_knows_when_the_chain_caught_it():
    guard = ChainWatch(run_tools=False)
    node = ToolNode([add], handle_tool_errors=True)
    calls = [{"name": "add", "args": {"a": 1}, "id": "c1", "type": "tool_call"}]
    build = StateGraph(MessagesState)
    build.add_node("tools", node)
    build.add_edge(START, "tools")
    said = {"messages": [AIMessage("", tool_calls=calls)]}
    answer = build.compile().invoke(said, {"callbacks": [guard]})
    assert answer["messages"][-1].status == "error"
    assert guard.stopped == ["add"]


def test_the_guard_lets_replays_through():
    [made] = replayed([add], Recording([call("add", '{"a": 1}', "3")]))
    guard = ChainWatch(run_tools=False)
    assert made.invoke({"a": 1}, {"callbacks": [guard]}) == "3"
    assert guard.stopped == []
