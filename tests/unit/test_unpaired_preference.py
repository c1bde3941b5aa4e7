"""Judged answers: from thumbs and corrections to the lines of KTO."""

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from langchain_finetune import Convert, ConvertError, FineTune, RunFileChatLoader
from langchain_finetune.checks import CHECKS, LOCAL, OPENAI
from langchain_finetune.engines import all_engines
from langchain_finetune.messages import WireMessages
from support.broken_pairs import BROKEN_UNPAIRED, GOOD, USER
from tests.unit.test_preference import TOOLS, session

LABELS = CHECKS["unpaired_preference"]


def converted(sessions, **settings):
    examples = Convert(method="unpaired_preference", **settings).invoke(sessions)
    return list(examples), [(skip.id, skip.code) for skip in examples.rejected], examples.notes


@pytest.mark.parametrize(("score", "label"), [(1, True), (1.0, True), (0, False), (-1, False)])
def test_a_thumb_is_a_label(score, label):
    lines, skips, notes = converted([session("6*7?", "42", score, tools=TOOLS)])
    messages = [{"role": "user", "content": "6*7?"}, {"role": "assistant", "content": "42"}]
    assert lines == [{"messages": messages, "tools": TOOLS, "label": label}]
    assert skips == []
    assert notes == {"desirable" if label else "undesirable": 1}


def test_a_correction_is_desirable_and_what_it_replaced_is_not():
    """Whatever the score: it is that of the answer that was replaced."""
    given = session("6*7?", "42", 0, rejected=AIMessage("41"))
    lines, _, notes = converted([given])
    assert [(line["messages"][-1]["content"], line["label"]) for line in lines] == [
        ("42", True),
        ("41", False),
    ]
    assert notes == {"desirable": 1, "undesirable": 1}


@pytest.mark.parametrize("score", [None, 0.5, 3, -0.2])
def test_what_is_no_thumb_is_left_out(score):
    lines, skips, _ = converted([session("q", "a", score)])
    assert lines == []
    assert skips == [(f"q-a-{score}", "no_thumb")]


def test_earlier_answers_are_context():
    wire = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello", "weight": 1},
        {"role": "user", "content": "And?"},
        {"role": "assistant", "content": "Fine", "weight": 0},
        {"role": "user", "content": "Bye"},
    ]
    [line], _, notes = converted([{"messages": WireMessages(wire), "score": 1}])
    assert [each.get("weight") for each in line["messages"]] == [None, 0, None, None]
    assert notes["trimmed_messages"] == 1


def test_the_same_answer_judged_twice_is_a_duplicate_and_judged_otherwise_is_none():
    sessions = [session("q", "a", 1), session("q", "a", 0), session("q", "a", 1, source={"n": "3"})]
    lines, skips, _ = converted(sessions, duplicates="drop_exact")
    assert [line["label"] for line in lines] == [True, False]
    assert [code for _, code in skips] == ["duplicate"]


def test_a_schema_and_redaction_stay_within_the_line():
    form = {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}}
    [line], _, _ = converted(
        [session("Ann?", "Ann", 1, response_format=form)],
        rules="local",
        redact=lambda text: text.replace("Ann", "X"),
    )
    assert (line["response_format"], line["label"]) == (form, True)
    assert [each["content"] for each in line["messages"]] == ["X?", "X"]


@pytest.mark.parametrize(("line", "code"), BROKEN_UNPAIRED)
@pytest.mark.parametrize("rules", [OPENAI, LOCAL])
def test_the_check(line, code, rules):
    assert [finding.code for finding in LABELS(line, rules)] == [code]


@pytest.mark.parametrize("label", [True, False])
def test_a_judged_chat_has_no_fault(label):
    assert LABELS({"messages": [USER, GOOD], "label": label}) == []


def test_an_empty_answer_may_be_what_is_undesirable():
    chat = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": " "}]
    assert LABELS({"messages": chat, "label": False}) == []
    [finding] = LABELS({"messages": chat, "label": True})
    assert finding.code == "empty_target"


def test_a_file_of_thumbs_is_read_again(tmp_path):
    examples = Convert(method="unpaired_preference").invoke(
        [session(f"q{n}", "a", n % 2) for n in range(4)]
    )
    path = tmp_path / "thumbs.jsonl"
    examples.write_jsonl(path)
    again, skips, _ = converted(RunFileChatLoader(path).lazy_load())
    assert (again, skips) == (list(examples), [])


def test_other_engines_refuse_it():
    takes = [each.name for each in all_engines() if "unpaired_preference" in each.lines]
    assert takes == ["local"]
    examples = Convert(method="unpaired_preference").invoke(
        [session(f"q{n}", "a", n % 2) for n in range(12)]
    )
    step = FineTune(model="gpt-4.1", base_url="https://api.openai.com/v1")
    with pytest.raises(ConvertError, match=r"'openai' trains on .*not on unpaired_preference"):
        step.spec_of(examples)


def test_weights_of_labels_are_for_kto_alone():
    pairs = Convert(method="preference").invoke(
        [session(f"q{n}", "a", rejected=AIMessage("b")) for n in range(12)]
    )
    weights = {"undesirable_weight": 2.0}
    step = FineTune(model="nano", engine="local", hyperparameters=weights)
    said = r"undesirable_weight is for the method kto: use Convert\(method='unpaired_preference'\)"
    with pytest.raises(ConvertError, match=said):
        step.spec_of(pairs)


def test_a_prompt_that_is_no_chat_is_left_out():
    given = {"messages": [HumanMessage("Once"), AIMessage("upon")], "score": 1}
    _, skips, _ = converted([given | {"source": {"kind": "completion", "run_id": "r"}}])
    assert skips == [("r", "completion_run")]
