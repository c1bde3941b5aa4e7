"""Training files of every method are read again, and scores of exported runs."""

import json

import pytest

from langchain_finetune import Convert, LoadError, RunFileChatLoader
from support.runs import TOOL, WIRE_ANSWER, WIRE_SENT, constructor, run

PAIR = {
    "input": {"messages": WIRE_SENT, "tools": [TOOL], "parallel_tool_calls": False},
    "preferred_output": [WIRE_ANSWER],
    "non_preferred_output": [{"role": "assistant", "content": "No."}],
}
COMPLETION = {"prompt": "Once upon", "completion": " a time"}


@pytest.fixture
def converted(tmp_path):
    def convert(rows, method, **settings):
        path = tmp_path / "lines.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        examples = (RunFileChatLoader(path, **settings) | Convert(method=method)).invoke({})
        return list(examples), [skip.code for skip in examples.rejected]

    return convert


@pytest.mark.parametrize(("line", "method"), [(PAIR, "preference"), (COMPLETION, "completion")])
def test_what_was_written_is_read_again(converted, line, method):
    assert converted([line], method) == ([line], [])


def test_the_preferred_answers_of_pairs_can_be_learnt_first(converted):
    supervised = PAIR["input"] | {"messages": [*WIRE_SENT, WIRE_ANSWER]}
    assert converted([PAIR], "supervised") == ([supervised], [])


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ({**PAIR, "preferred_output": []}, "malformed"),
        ({**PAIR, "non_preferred_output": [WIRE_ANSWER, WIRE_ANSWER]}, "malformed"),
        ({**PAIR, "input": []}, "malformed"),
        ({"input": {}, "preferred_output": [WIRE_ANSWER]}, "malformed"),
        ({**PAIR, "non_preferred_output": [WIRE_ANSWER]}, "no_pair"),
        ({"prompt": ["Once"], "completion": 5}, "no_chat"),
        ({"messages": [{"role": "user", "content": "Anybody?"}]}, "no_answer"),
        ({"messages": []}, "no_answer"),
        ({"messages": "Hi"}, "no_chat"),
    ],
)
def test_broken_lines_are_skipped(converted, line, code):
    assert converted([line], "preference") == ([], [code])


def scored(answer, **stats):
    message = constructor("AIMessage", content=answer, type="ai")
    return run(answer=message, feedback_stats=stats)


def test_scores_of_exported_runs_make_pairs(converted):
    rows = [
        scored("Yes.", user_score={"n": 2, "avg": 0.5}),
        scored("No.", user_score={"n": 1, "avg": 0}, other={"n": 1, "avg": 9}),
        scored("Hm.", other={"n": 1, "avg": 1}),
        scored("Oh.", user_score={"n": 1, "avg": None}) | {"feedback_stats": '{"user_score": 7}'},
    ]
    [pair], skips = converted(rows, "preference", score="user_score")
    assert pair["preferred_output"] == [{"role": "assistant", "content": "Yes."}]
    assert pair["non_preferred_output"] == [{"role": "assistant", "content": "No."}]
    assert skips == ["no_pair", "no_pair"]


def test_the_score_can_be_asked_for_at_call_time(tmp_path):
    path = tmp_path / "runs.jsonl"
    path.write_text(json.dumps(scored("Yes.", user_score={"n": 1, "avg": 1})))
    loader = RunFileChatLoader(path)
    assert [session.get("score") for session in loader.invoke({"score": "user_score"})] == [1.0]
    assert [session.get("score") for session in loader.invoke({})] == [None]
    with pytest.raises(LoadError, match="no setting 'scores'"):
        list(loader.invoke({"scores": "user_score"}))
