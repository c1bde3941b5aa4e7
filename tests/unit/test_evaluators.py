"""The built-in evaluators, alone; and what they look at in outputs of any form."""

import json

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langsmith.schemas import Example
from pydantic import BaseModel

from langchain_finetune import (
    answer_agreement,
    arguments_match,
    exact_match,
    length_ratio,
    normalized_text,
    refusal_match,
    tool_name_match,
    valid_json,
)
from langchain_finetune.evaluation.answers import ToolRequest, outputs_of, view
from langchain_finetune.evaluation.evaluators import default_evaluators


def said(text="", *calls, **fields):
    """An answer as a case holds it."""
    named = [{"name": name, "args": arguments} for name, arguments in calls]
    return {"role": "assistant", "content": text, "tool_calls": named, **fields}


def wire_call(name, arguments):
    return {"id": "c", "type": "function", "function": {"name": name, "arguments": arguments}}


ADD = ("add", {"a": 1, "b": 2})
ADD_TOOL = {
    "type": "function",
    "function": {
        "name": "add",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
            "required": ["a", "b"],
        },
    },
}


class Sum(BaseModel):
    a: int
    b: int


@pytest.mark.parametrize(
    ("value", "text", "calls"),
    [
        ("Hi", "Hi", []),
        (AIMessage("Hi"), "Hi", []),
        (AIMessage([{"type": "text", "text": "Hi"}]), "Hi", []),
        (AIMessage("", tool_calls=[{"name": "add", "args": {"a": 1}, "id": "c"}]), "", ["add"]),
        ({"answer": "Hi"}, "Hi", []),
        ({"message": {"role": "assistant", "content": "Hi"}}, "Hi", []),
        ({"output": {"role": "assistant", "content": "Hi"}}, "Hi", []),
        ([{"type": "add", "args": {"a": 1}}], "", ["add"]),
        ({"output": [wire_call("add", '{"a": 1}')]}, "", ["add"]),
        (
            {
                "messages": [
                    HumanMessage("first"),
                    AIMessage("", tool_calls=[{"name": "old", "args": {}, "id": "b"}]),
                    HumanMessage("1+2?"),
                    AIMessage("", tool_calls=[{"name": "add", "args": {"a": 1}, "id": "c"}]),
                    ToolMessage("3", tool_call_id="c"),
                    AIMessage("3"),
                ]
            },
            "3",
            ["add"],
        ),
        (None, "", []),
        ({}, "", []),
        (
            AIMessage([{"type": "web_search_call", "id": "w"}, {"type": "text", "text": "Hi"}]),
            "Hi",
            [],
        ),
    ],
)
def test_what_is_seen_of_outputs(value, text, calls):
    outputs = outputs_of(value)
    json.dumps(outputs)
    found = view(outputs)
    assert (found.text, [each.name for each in found.calls]) == (text, calls)


def test_what_a_chain_parsed_is_a_value():
    assert view(outputs_of(Sum(a=1, b=2))).value == {"a": 1, "b": 2}
    assert view(outputs_of([1, 2])).value == [1, 2]
    assert view(outputs_of({"made": {Sum(a=1, b=2).a: {3}.pop()}})).value == {"made": {"1": 3}}


def test_arguments_that_are_not_json_stay_text():
    outputs = {"messages": [{"role": "assistant", "tool_calls": [wire_call("add", '{"a"')]}]}
    assert view(outputs).calls == [ToolRequest("add", '{"a"')]


@pytest.mark.parametrize(
    ("answer", "reference", "name", "arguments"),
    [
        (said("", ADD), said("", ADD), 1, 1),
        (said("", ("add", {"b": 2, "a": 1})), said("", ADD), 1, 1),
        (said("", ("add", {"a": 1, "b": 3})), said("", ADD), 1, 0),
        (said("", ("sub", {"a": 1, "b": 2})), said("", ADD), 0, 0),
        (said("3"), said("", ADD), 0, 0),
        (said("", ADD), said("3"), 0, 0),
        (said("3"), said("4"), 1, 1),
        (said("", ADD, ADD), said("", ADD), 0, 0),
        (said("", ("add", "{")), said("", ("add", "{")), 1, 0),
        # Equal, but the tool does not take it.
        (said("", ("add", {"a": "1"})), said("", ("add", {"a": "1"})), 1, 0),
        # A tool that the request did not offer has no schema to be valid by.
        (said("", ("other", {"x": 1})), said("", ("other", {"x": 1})), 1, 1),
        # What a chain parsed from the calls.
        ({"a": 1, "b": 2}, said("", ADD), 1, 1),
        ({"output": {"a": 1, "b": 2}}, said("", ADD), 1, 1),
        ({"output": [{"a": 1, "b": 2}]}, said("", ADD), 1, 1),
        ({"output": [{"a": 1, "b": 2}]}, said("", ADD, ADD), 0, 0),
        ({"a": 1, "b": 3}, said("", ADD), 1, 0),
        ({"query": "tea"}, said("", ("search", {"query": "tea"})), 1, 1),
        ({"query": "tea"}, said("", ("search", {"query": "coffee"})), 1, 0),
        ({"output": None}, said("", ADD), 0, 0),
        ({"answer": "I don't know."}, said("", ADD), 0, 0),
        (
            {"answer": {"role": "assistant", "tool_calls": [wire_call("add", '{"a": 1, "b": 2}')]}},
            said("", ADD),
            1,
            1,
        ),
    ],
)
def test_calls(answer, reference, name, arguments):
    inputs = {"messages": [], "tools": [ADD_TOOL]}
    assert tool_name_match(answer, reference) == {"key": "tool_name_match", "score": name}
    found = arguments_match(inputs, answer, reference)
    assert found == {"key": "arguments_match", "score": arguments}


@pytest.mark.parametrize(
    ("outputs", "plain", "by_schema"),
    [
        (said('{"a": 1, "b": 2}'), 1, 1),
        (said('{"a": 1}'), 1, 0),
        (said('{"a": 1'), 0, 0),
        (said("It is 3."), 0, 0),
        ({"output": {"a": 1, "b": 2}}, 1, 1),
        ({"a": 1, "b": 2}, 1, 1),
        ({"answer": '{"a": 1, "b": 2}'}, 1, 1),
        ({"answer": "It is 3."}, 1, 0),
        ({"output": "It is 3."}, 0, 0),
        (said(""), 0, 0),
    ],
)
def test_json(outputs, plain, by_schema):
    schema = ADD_TOOL["function"]["parameters"]
    asked = {"response_format": {"type": "json_schema", "json_schema": {"schema": schema}}}
    assert valid_json({}, outputs)["score"] == plain
    assert valid_json(asked, outputs)["score"] == by_schema


def test_a_schema_that_is_none_is_not_held_against_an_answer():
    broken = {"type": "function", "function": {"name": "add", "parameters": {"type": 7}}}
    inputs = {"tools": [broken]}
    assert arguments_match(inputs, said("", ADD), said("", ADD))["score"] == 1


@pytest.mark.parametrize(
    ("answer", "reference", "exact", "normalized", "agreement"),
    [
        ("It is 42.", "It is 42.", 1, 1, 1),
        ("it is  42", "It is 42.", 0, 1, 1),
        ("It is 3.5", "It is 35", 0, 0, 2 / 3),
        ("It is 41.", "It is 42.", 0, 0, 2 / 3),
        ("ﬁne", "FINE", 0, 1, 1),
        ("👍", "👎", 0, 0, 0),
        ("", "", 1, 1, 1),
        ("", "It is 42.", 0, 0, 0),
    ],
)
def test_texts(answer, reference, exact, normalized, agreement):
    answer, reference = {"output": answer}, said(reference)
    assert exact_match(answer, reference)["score"] == exact
    assert normalized_text(answer, reference)["score"] == normalized
    assert answer_agreement(answer, reference)["score"] == pytest.approx(agreement)


def test_agreement_on_calls():
    assert answer_agreement(said("", ADD), said("", ADD))["score"] == 1
    assert answer_agreement(said("3"), said("", ADD))["score"] == 0


REFUSALS = [
    "I'm sorry, but I can't help with that.",
    "I\u2019m sorry, I can\u2019t do this.",
    "Sorry, that is not possible.",
    "Unfortunately, I cannot share it.",
    "As an AI, I have no opinion.",
    "I am not able to do this.",
    "I apologize, but no.",
]
ANSWERS = [
    "It is 42.",
    "I can do this.",
    "You can't divide by zero.",
    "The note says: I'm sorry.",
    "",
]


@pytest.mark.parametrize("text", REFUSALS)
def test_refusals(text):
    assert refusal_match(said(text), said("It is 42."))["score"] == 0
    assert refusal_match(said(text), said(REFUSALS[0]))["score"] == 1


@pytest.mark.parametrize("text", ANSWERS)
def test_no_refusals(text):
    assert refusal_match(said(text), said("It is 42."))["score"] == 1


def test_a_refusal_that_the_api_marks():
    assert refusal_match(said("", refusal="No."), said("It is 42."))["score"] == 0
    marked = AIMessage("", additional_kwargs={"refusal": "No."})
    assert refusal_match(outputs_of(marked), said("", refusal="Never."))["score"] == 1


def test_length():
    assert length_ratio(said("12"), said("1234"))["score"] == 0.5
    assert length_ratio(said("1234"), said("12"))["score"] == 0.5
    assert length_ratio(said(""), said(""))["score"] == 1
    assert length_ratio(said(""), said("1"))["score"] == 0


def example(reference, **inputs):
    return Example(
        id="3f0e2a4e-0000-4000-8000-000000000000",
        dataset_id="3f0e2a4e-0000-4000-8000-000000000001",
        inputs=inputs,
        outputs=reference,
    )


@pytest.mark.parametrize(
    ("reference", "inputs", "names"),
    [
        (None, {}, []),
        (said("", ADD), {}, ["arguments_match", "tool_name_match", "answer_agreement"]),
        (
            said("Yes."),
            {},
            ["normalized_text", "refusal_match", "length_ratio", "answer_agreement"],
        ),
        (said("Yes. " * 50), {}, ["refusal_match", "length_ratio", "answer_agreement"]),
        (
            said('{"a": 1}' + " " * 60),
            {"response_format": {"type": "json_object"}},
            ["exact_match", "valid_json", "refusal_match", "length_ratio", "answer_agreement"],
        ),
    ],
)
def test_what_fits_the_data(reference, inputs, names):
    assert [each.__name__ for each in default_evaluators([example(reference, **inputs)])] == names
