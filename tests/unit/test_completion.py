"""Prompts with their completions, and chats, are kept apart."""

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from langchain_finetune import Convert
from langchain_finetune.checks.methods import check_completion
from support.broken_pairs import BROKEN_COMPLETIONS

CHAT = {"messages": [HumanMessage("Hi"), AIMessage("Hello")], "source": {"run_id": "chat"}}
PLAIN = {
    "messages": [HumanMessage("Once upon"), AIMessage(" a time")],
    "source": {"run_id": "plain", "kind": "completion"},
}
LINE = {"prompt": "Once upon", "completion": " a time"}


@pytest.mark.parametrize(
    ("method", "lines", "skips"),
    [
        ("completion", [LINE], [("chat", "chat")]),
        (
            "supervised",
            [{"messages": [{"role": "user", "content": "Hi"},
                           {"role": "assistant", "content": "Hello"}]}],
            [("plain", "completion_run")],
        ),
        ("preference", [], [("plain", "completion_run"), ("chat", "no_pair")]),
    ],
)  # fmt: skip
def test_each_method_takes_its_own(method, lines, skips):
    examples = Convert(method=method).invoke([PLAIN, CHAT])
    assert list(examples) == lines
    assert [(skip.id, skip.code) for skip in examples.rejected] == skips


def test_the_reason_names_the_right_method():
    examples = Convert().invoke([PLAIN])
    assert list(examples) == []
    assert "method='completion'" in examples.rejected[0].reason


def test_joined_completions_are_no_line_and_no_chat():
    joined = {**PLAIN, "messages": [*PLAIN["messages"], *PLAIN["messages"]]}
    for method, code in (("completion", "joined_completions"), ("supervised", "completion_run")):
        examples = Convert(method=method).invoke([joined])
        assert list(examples) == []
        assert [skip.code for skip in examples.rejected] == [code]


def test_the_rows_keep_their_source():
    [row] = Convert(method="completion").invoke([PLAIN]).rows()
    assert (row.id, row.source) == ("plain", PLAIN["source"])


@pytest.mark.parametrize(("example", "code"), BROKEN_COMPLETIONS)
def test_each_fault_is_found(example, code):
    assert [finding.code for finding in check_completion(example)] == [code]


@pytest.mark.parametrize("example", [LINE, {**LINE, "prompt": ""}])
def test_good_lines_have_no_finding(example):
    assert check_completion(example) == []


def test_an_empty_completion_is_rejected():
    empty = {**PLAIN, "messages": [HumanMessage("Once upon"), AIMessage("")]}
    examples = Convert(method="completion").invoke([empty])
    assert list(examples) == []
    assert examples.rejected_by_reason() == {"no_completion": 1}
