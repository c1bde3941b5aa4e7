"""Each fault of a pair is found, at the right message."""

import pytest

from langchain_finetune.convert.checks import PROFILES, errors_of
from langchain_finetune.convert.checks.preference import check_preference

USER = {"role": "user", "content": "Hi"}
GOOD = {"role": "assistant", "content": "Hello"}
BAD = {"role": "assistant", "content": "What?"}
CALLS = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
}
TOOLS = [{"type": "function", "function": {"name": "f"}}]
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}


def pair(messages=(USER,), better=GOOD, worse=BAD, **asked):
    return {
        "input": {"messages": list(messages), **asked},
        "preferred_output": [better],
        "non_preferred_output": [worse],
    }


@pytest.mark.parametrize(
    "example",
    [
        pair(),
        pair(tools=TOOLS, parallel_tool_calls=False, better=CALLS),
        pair([USER, GOOD, USER]),
        pair([{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]),
    ],
)
def test_good_pairs_have_no_finding(example):
    assert list(check_preference(example)) == []


@pytest.mark.parametrize(
    ("example", "code", "index"),
    [
        ([], "not_an_object", None),
        ({"input": []}, "invalid_input", None),
        (pair([]), "no_messages", None),
        ({**pair(), "preferred_output": GOOD}, "invalid_output", None),
        ({**pair(), "non_preferred_output": []}, "invalid_output", None),
        ({**pair(), "preferred_output": [GOOD, GOOD]}, "invalid_output", None),
        ({**pair(), "preferred_output": [USER]}, "invalid_output", None),
        (pair(better=BAD), "same_outputs", None),
        (pair(functions=[{"name": "f"}]), "unknown_input_field", None),
        (pair([{"role": "critic", "content": ""}]), "unknown_role", 0),
        (pair([USER, "Hi"]), "not_a_message", 1),
        (pair([USER, CALLS]), "unanswered_tool_call", 1),
        (pair(worse={"role": "assistant", "content": None}), "no_content", 1),
        (pair([USER, GOOD, USER], better={"role": "assistant"}), "no_content", 3),
        (pair([{"role": "user", "content": [IMAGE]}]), "image_in_preference", 0),
        (pair(better={"role": "assistant", "content": [IMAGE]}), "image_in_preference", 1),
        (pair([{"role": "user", "content": [{"type": "file", "file": {}}]}]), "not_text", 0),
        (pair([{"role": "user", "content": ["Hi"]}]), "not_text", 0),
        (pair(tools="f"), "invalid_tools", None),
    ],
)
def test_each_fault_is_found_at_its_place(example, code, index):
    assert (code, index) in [(found.code, found.index) for found in check_preference(example)]


def test_a_fault_of_the_input_is_found_once():
    codes = [found.code for found in check_preference(pair([{"role": "critic", "content": ""}]))]
    assert codes == ["unknown_role"]


def test_faults_of_the_worse_answer_may_be_why_it_is_worse():
    schema = {"type": "object", "required": ["x"], "properties": {"x": {"type": "integer"}}}
    tools = [{"type": "function", "function": {"name": "f", "parameters": schema}}]
    found = check_preference(pair(tools=tools, worse=CALLS))
    assert [(each.code, each.severity) for each in found] == [("arguments_against_schema", "warning")]
    assert errors_of(check_preference(pair(tools=tools, better=CALLS)))
    assert not errors_of(check_preference(pair(worse={"role": "assistant", "content": ""})))


def test_the_providers_rules_count_and_nothing_is_mended():
    special = {"role": "user", "content": "Hi <|endoftext|>"}
    found = check_preference(pair([special], tools=[]), PROFILES["azure"])
    assert "special_token" in [each.code for each in found]
    assert {each.mend for each in found} == {None}
