"""Calls of agents and threads: what a later call repeats is left out, threads become one chat."""

import copy

import pytest

from langchain_finetune import Convert, LangSmithRunChatLoader
from langchain_finetune.dialects.corrections import corrected
from langchain_finetune.loaders import conversations
from langchain_finetune.loaders.conversations import join_calls
from langchain_finetune.messages import UnreadableChatError, WireMessages
from support.runs import ANSWER, CALL, SENT, WIRE_ANSWER, WIRE_SENT, constructor, run

RESULT = constructor("ToolMessage", content="Room 7", type="tool", tool_call_id="call_5")
FINAL = constructor("AIMessage", content="Room 7.", type="ai")
LATER = "2026-11-01T10:00:09+00:00"


def said(*texts, system="S", **settings):
    roles = ["user", "assistant"] * len(texts)
    wire = [{"role": role, "content": text} for role, text in zip(roles, texts, strict=False)]
    start = [{"role": "system", "content": system}] if system else []
    return {"messages": WireMessages([*start, *wire]), **settings}


def texts(session):
    return [message["content"] for message in session["messages"].wire]


@pytest.mark.parametrize("in_order", [True, False])
def test_an_agents_earlier_calls_are_folded_into_its_last(in_order):
    first = run()
    # Agents put their name on what they said; streaming changes the arguments' spacing.
    history = copy.deepcopy(ANSWER)
    history["kwargs"] |= {
        "name": "agent",
        "tool_call_chunks": [
            {"name": "find_room", "args": '{"beds":2}', "id": "call_5", "index": 0}
        ],
    }
    last = run([*SENT, history, RESULT], FINAL, trace_id=first["trace_id"], start_time=LATER)
    runs = [first, last] if in_order else [last, first]
    examples = (LangSmithRunChatLoader(runs, calls="last", strict=True) | Convert()).invoke({})
    [line] = list(examples)
    assert len(line["messages"]) == 5
    assert [(skip.id, skip.code) for skip in examples.rejected] == [(first["id"], "folded")]
    assert len(LangSmithRunChatLoader(runs).load()) == 2


def test_other_calls_of_a_trace_stay():
    first = run()
    others = [
        run(),
        run(SENT[1:], trace_id=first["trace_id"]),
        run(answer=FINAL, trace_id=first["trace_id"]),
        run(extra={}, trace_id=first["trace_id"]),
    ]
    assert len(LangSmithRunChatLoader([first, *others], calls="last").load()) == 5


def test_few_traces_are_remembered(monkeypatch):
    monkeypatch.setattr(conversations, "MAX_TRACES", 2)
    folder = conversations.Folder()
    assert [folder.folds(trace, said("a", "b")) for trace in "xyzyxx"] == [
        False, False, False, True, False, True,
    ]  # fmt: skip


def test_a_call_that_sent_the_history_is_the_conversation():
    calls = [said("a", "b"), said("a", "b", "c", "d"), said("a", "b", "c", "d", "e", "f")]
    [whole] = join_calls(calls)
    assert whole is calls[-1]


def test_calls_without_history_are_joined():
    [whole] = join_calls([said("a", "b"), said("c", "d"), said("e", "f")])
    assert texts(whole) == ["S", "a", "b", "c", "d", "e", "f"]
    [whole] = join_calls([said("a", "b", system=None), said("c", "d", system=None)])
    assert texts(whole) == ["a", "b", "c", "d"]


def test_a_call_that_went_another_way_is_a_conversation_of_its_own():
    again = [said("a", "b"), said("a", "B"), said("a", "B", "c", "d")]
    assert [texts(each) for each in join_calls(again)] == [
        ["S", "a", "b"],
        ["S", "a", "B", "c", "d"],
    ]
    assert len(join_calls([said("a", "b"), said("c", "d", system="T")])) == 2
    assert len(join_calls([said("a", "b"), said("c", "d", tools=[{}])])) == 2
    # A history that was cut.
    assert len(join_calls([said("a", "b", "c", "d"), said("c", "d", "e", "f")])) == 2


def test_nothing_follows_a_call_that_nobody_answered():
    asked = {"messages": WireMessages([*WIRE_SENT, WIRE_ANSWER])}
    assert len(join_calls([asked, said("c", "d", system="You run a hotel.")])) == 2


@pytest.mark.parametrize(
    ("correction", "answer"),
    [
        ("42", {"role": "assistant", "content": "42"}),
        ({"output": "42"}, {"role": "assistant", "content": "42"}),
        ({"content": "42"}, {"role": "assistant", "content": "42"}),
        (
            {"message": {"role": "assistant", "content": "42"}},
            {"role": "assistant", "content": "42"},
        ),
        (ANSWER, WIRE_ANSWER),
        ({"type": "ai", "data": {"content": "", "tool_calls": [CALL]}}, WIRE_ANSWER),
    ],
)
def test_a_correction_takes_the_place_of_the_answer(correction, answer):
    session = said("6*7?", "41")
    changed = corrected(session, correction)
    assert changed["messages"].wire == [*session["messages"].wire[:-1], answer]
    assert texts(session)[-1] == "41"


@pytest.mark.parametrize("correction", [5, [], {}, {"score": 1}, {"role": "user", "content": "x"}])
def test_a_correction_without_an_answer_is_named(correction):
    with pytest.raises(UnreadableChatError) as caught:
        corrected(said("a", "b"), correction)
    assert caught.value.code == "unreadable_correction"


def cut(session):
    return {**session, "source": {"finish_reason": "length"}}


def test_an_answer_that_was_cut_off_is_part_of_its_thread_but_not_learnt():
    whole = {"role": "assistant", "content": "b", "weight": 0}
    for calls in (
        [cut(said("a", "b")), said("a", "b", "c", "d")],
        [said("a", "b", "c", "d"), cut(said("a", "b"))],
        [cut(said("a", "b")), said("c", "d")],
    ):
        [joined] = join_calls(calls)
        assert texts(joined) == ["S", "a", "b", "c", "d"]
        assert joined["messages"].wire[2] == whole
        assert "weight" not in joined["messages"].wire[4]
        assert "finish_reason" not in joined.get("source", {})
    [joined] = join_calls([said("a", "b"), cut(said("a", "b", "c", "d"))])
    assert joined["source"]["finish_reason"] == "length"
    assert all("weight" not in message for message in joined["messages"].wire)
