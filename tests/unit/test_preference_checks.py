"""Each fault of a pair is found, at the right message."""

import pytest

from langchain_finetune.checks import errors_of
from langchain_finetune.checks.preference import check_preference
from support.broken_pairs import BROKEN_PAIRS, CALLS, GOOD, TOOLS, USER, pair
from support.profiles import PROFILES


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


@pytest.mark.parametrize(("example", "code", "index"), BROKEN_PAIRS)
def test_each_fault_is_found_at_its_place(example, code, index):
    assert (code, index) in [(found.code, found.index) for found in check_preference(example)]


def test_a_fault_of_the_input_is_found_once():
    codes = [found.code for found in check_preference(pair([{"role": "critic", "content": ""}]))]
    assert codes == ["unknown_role"]


def test_faults_of_the_worse_answer_may_be_why_it_is_worse():
    schema = {"type": "object", "required": ["x"], "properties": {"x": {"type": "integer"}}}
    tools = [{"type": "function", "function": {"name": "f", "parameters": schema}}]
    found = check_preference(pair(tools=tools, worse=CALLS))
    assert [(each.code, each.severity) for each in found] == [
        ("arguments_against_schema", "warning")
    ]
    assert errors_of(check_preference(pair(tools=tools, better=CALLS)))
    assert not errors_of(check_preference(pair(worse={"role": "assistant", "content": ""})))


def test_the_providers_rules_count_and_nothing_is_mended():
    special = {"role": "user", "content": "Hi <|endoftext|>"}
    found = check_preference(pair([special], tools=[]), PROFILES["azure"])
    assert "special_token" in [each.code for each in found]
    assert {each.fix for each in found} == {None}
