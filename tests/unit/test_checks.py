"""Each rule finds its fault, at the right message, and a good example has none."""

import pytest

from langchain_finetune.checks import check_example

USER = {"role": "user", "content": "Hi"}
ANSWER = {"role": "assistant", "content": "Hello"}
ASK = {
    "role": "assistant",
    "content": None,
    "tool_calls": [
        {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    ],
}
RESULT = {"role": "tool", "tool_call_id": "1", "content": "5"}


def asking(**changes):
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"} | changes}
    return {"role": "assistant", "content": None, "tool_calls": [call]}


@pytest.mark.parametrize(
    "messages",
    [
        [USER, ANSWER],
        [USER, ASK],
        [USER, ASK, RESULT, ANSWER],
        [USER, {**ANSWER, "weight": 0}, USER, {**ANSWER, "weight": 1}],
        [USER, {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}}],
        [{"role": "developer", "content": "Be kind."}, USER, ANSWER],
    ],
)
def test_good_examples_have_no_finding(messages):
    tools = [{"type": "function", "function": {"name": "f"}}]
    assert list(check_example({"messages": messages, "tools": tools})) == []


@pytest.mark.parametrize(
    ("example", "code", "index"),
    [
        ([], "not_an_object", None),
        ({}, "no_messages", None),
        ({"messages": "Hi"}, "no_messages", None),
        ({"messages": [USER]}, "no_assistant_message", None),
        ({"messages": [USER, ANSWER, USER]}, "no_final_answer", None),
        ({"messages": [USER, {**ANSWER, "weight": 0}]}, "no_target", None),
        ({"messages": [USER, {**ANSWER, "weight": 0.5}]}, "invalid_weight", 1),
        ({"messages": [USER, {**ANSWER, "weight": []}]}, "invalid_weight", 1),
        ({"messages": [{**USER, "role": ["user"]}, ANSWER]}, "unknown_role", 0),
        ({"messages": [USER, asking(arguments="[" * 100_000)]}, "invalid_arguments", 1),
        ({"messages": ["Hi", ANSWER]}, "not_a_message", 0),
        ({"messages": [{"role": "critic", "content": ""}, ANSWER]}, "unknown_role", 0),
        ({"messages": [{"role": "user"}, ANSWER]}, "no_content", 0),
        ({"messages": [USER, {"role": "assistant", "content": None}]}, "no_content", 1),
        ({"messages": [{**USER, "tool_calls": [{}]}, ANSWER]}, "calls_outside_assistant", 0),
        ({"messages": [USER, {**ANSWER, "tool_calls": {"id": "1"}}]}, "invalid_tool_calls", 1),
        ({"messages": [USER, {**ANSWER, "tool_calls": [{}]}]}, "invalid_tool_calls", 1),
        ({"messages": [USER, asking(name=None)]}, "invalid_tool_calls", 1),
        ({"messages": [USER, asking(arguments="{a")]}, "invalid_arguments", 1),
        ({"messages": [USER, asking(arguments="[1]")]}, "invalid_arguments", 1),
        ({"messages": [USER, asking(arguments={"a": 1})]}, "invalid_arguments", 1),
        ({"messages": [USER, ASK, ANSWER]}, "unanswered_tool_call", 1),
        ({"messages": [USER, RESULT, ANSWER]}, "unasked_tool_result", 1),
        ({"messages": [USER, ASK, {**RESULT, "tool_call_id": None}, ANSWER]}, "no_tool_call_id", 2),
        ({"messages": [USER, ANSWER], "tools": {}}, "invalid_tools", None),
        ({"messages": [USER, ANSWER], "tools": [{"name": "f"}]}, "invalid_tools", None),
        ({"messages": [USER, ANSWER], "functions": [{}]}, "invalid_functions", None),
        (
            {"messages": [USER, ANSWER], "functions": [{"name": "f"}] * 129},
            "too_many_functions",
            None,
        ),
    ],
)
def test_each_fault_is_found_at_its_place(example, code, index):
    found = [(finding.code, finding.index) for finding in check_example(example)]
    assert (code, index) in found


def test_a_finding_quotes_no_training_text():
    example = {"messages": [{"role": "user", "content": "SECRET"}, asking(arguments="SECRET")]}
    assert all("SECRET" not in finding.message for finding in check_example(example))
