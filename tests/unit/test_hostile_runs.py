"""Run data comes from outside: nothing in it is made, imported, run or looked up."""

import json
import subprocess
import sys
import warnings

import pytest

from langchain_finetune import Convert, LangSmithRunChatLoader
from langchain_finetune.dialects.run import read_run
from langchain_finetune.messages import UnreadableChatError
from support.dialects import TOLD, ai, chat, traced
from support.runs import CALL, SENT, WIRE_SENT, constructor, run

SECRET = {"lc": 1, "type": "secret", "id": ["HOTEL_KEY"]}
FOREIGN = {"lc": 1, "type": "not_implemented", "id": ["app", "Room"], "repr": "Room(7)"}
COMMAND = {"lc": 1, "type": "constructor", "id": ["os", "system"], "kwargs": {"command": "id"}}
OBJECT = {
    "lc": 1,
    "type": "constructor",
    "id": ["langchain", "chat_models", "openai", "ChatOpenAI"],
    "kwargs": {"openai_api_base": "http://example.com/"},
}
HOSTILE = [SECRET, FOREIGN, COMMAND, OBJECT]


def code_of(data):
    with pytest.raises(UnreadableChatError) as caught:
        read_run(data)
    return caught.value.code


@pytest.mark.parametrize("thing", HOSTILE)
def test_what_lies_beside_the_chat_is_not_looked_at(thing, monkeypatch):
    monkeypatch.setenv("HOTEL_KEY", "hidden-key")
    data = traced(ai("x", additional_kwargs={"y": thing}, response_metadata={"z": thing}))
    data["serialized"] = thing
    [session] = read_run(data)
    assert session["messages"].wire == [*WIRE_SENT, {"role": "assistant", "content": "x"}]


@pytest.mark.parametrize("thing", HOSTILE)
def test_an_object_in_place_of_a_message_is_a_skip(thing, monkeypatch):
    monkeypatch.setenv("HOTEL_KEY", "hidden-key")
    codes = {"unreadable_message", "unknown_message_type", "no_answer"}
    assert code_of(run([thing])) in codes
    assert code_of(run(answer=thing)) in {*codes, "no_chat"}
    assert code_of(chat(thing)) in codes
    content = constructor("HumanMessage", content=[thing])
    assert code_of(run([content])) == "unsupported_content"


@pytest.mark.parametrize("thing", [SECRET, FOREIGN])
def test_a_value_that_the_run_only_names_is_a_skip(thing):
    assert code_of(traced(ai(tool_calls=[{**CALL, "args": {"beds": thing}}]))) == "unreadable_value"
    schema = {"type": "object", "properties": thing}
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    assert code_of(traced(ai("x"), tools=[tool])) == "unreadable_value"


def test_a_users_dict_that_langchain_escaped_is_data_again():
    told = {"lc": 1, "type": "secret", "id": ["HOTEL_KEY"]}
    arguments = {"beds": {"__lc_escaped__": told}, "deep": [{"x": {"__lc_escaped__": {"lc": 2}}}]}
    [session] = read_run(traced(ai(tool_calls=[{**CALL, "args": arguments}])))
    [call] = session["messages"].wire[-1]["tool_calls"]
    said = json.loads(call["function"]["arguments"])
    assert said == {"beds": told, "deep": [{"x": {"lc": 2}}]}


def test_what_stands_in_an_escaped_dict_stays_as_it_is():
    inner = {"lc": 1, "x": {"__lc_escaped__": {"lc": 2}}}
    arguments = {"beds": {"__lc_escaped__": inner}}
    [session] = read_run(traced(ai(tool_calls=[{**CALL, "args": arguments}])))
    [call] = session["messages"].wire[-1]["tool_calls"]
    assert json.loads(call["function"]["arguments"]) == {"beds": inner}


def nested(depth):
    value = {}
    for _ in range(depth):
        value = {"a": value}
    return value


@pytest.mark.parametrize("depth", [300, 5000])
def test_data_of_endless_depth_is_a_skip(depth):
    assert code_of(traced(ai(tool_calls=[{**CALL, "args": nested(depth)}]))) == "nested_too_deep"
    escaped = {"__lc_escaped__": {"lc": 1, "x": nested(depth)}}
    assert code_of(traced(ai(tool_calls=[{**CALL, "args": escaped}]))) == "nested_too_deep"


def test_text_of_endless_depth_is_a_skip():
    asked = {"id": "1", "function": {"name": "f", "arguments": '{"a":' * 100_000}}
    data = chat({"role": "assistant", "content": None, "tool_calls": [asked]})
    examples = (LangSmithRunChatLoader([data]) | Convert()).invoke({})
    assert list(examples) == []
    assert [skip.code for skip in examples.rejected] == ["invalid_arguments"]


@pytest.mark.parametrize("value", ["\ud800", 2**70, {1: 2}, {3, 4}, float("inf")])
def test_what_a_training_file_can_not_hold_is_a_skip(value):
    tool = {"type": "function", "function": {"name": "f", "parameters": {"default": value}}}
    found = LangSmithRunChatLoader([traced(ai("x"), tools=[tool])]).invoke({})
    assert list(found) == []
    assert [skip.code for skip in found.skipped] == ["unreadable_value"]


def test_numbers_that_json_can_not_say_are_a_skip():
    data = traced(ai(tool_calls=[{**CALL, "args": {"beds": float("nan")}}]))
    found = LangSmithRunChatLoader([data]).invoke({})
    assert list(found) == []
    assert len(found.skipped) == 1


def test_nothing_is_imported_for_run_data():
    """In a process of its own: what is imported before and after is the same."""
    program = (
        "import json, sys\n"
        "from langchain_finetune.dialects.run import read_run\n"
        "runs = json.loads(sys.stdin.read())\n"
        "before = set(sys.modules)\n"
        "read = [read_run(run) for run in runs]\n"
        "assert len(read) == len(runs)\n"
        "print(sorted(set(sys.modules) - before))\n"
    )
    things = {str(number): thing for number, thing in enumerate(HOSTILE)}
    runs = [traced(ai("x", additional_kwargs=things)), chat({**TOLD, "x": things})]
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps(runs),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


def test_no_warning_comes_from_run_data():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        examples = (LangSmithRunChatLoader([traced(ai("x"), SENT)]) | Convert()).invoke({})
        assert len(list(examples)) == 1
