"""Pairs of answers: from one session that brings both, and from sessions with scores."""

import itertools

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from langchain_finetune import Convert, ConvertError
from langchain_finetune.convert import preference
from langchain_finetune.messages import WireMessages

TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {}}}]


def session(question, answer, score=None, **more):
    source = {"run_id": f"{question}-{answer}-{score}"} | more.pop("source", {})
    messages = [HumanMessage(question), AIMessage(answer)]
    scored = {} if score is None else {"score": score}
    return {"messages": messages, "source": source, **scored, **more}


def pairs(sessions):
    examples = Convert(method="preference").invoke(sessions)
    found = [
        (
            line["input"]["messages"][-1]["content"],
            line["preferred_output"][0]["content"],
            line["non_preferred_output"][0]["content"],
        )
        for line in examples
    ]
    return found, [(skip.id, skip.code) for skip in examples.rejected]


def test_a_session_with_a_worse_answer_is_a_pair():
    [row] = (
        Convert(method="preference")
        .invoke([session("6*7?", "42", rejected={"role": "assistant", "content": "41"})])
        .rows()
    )
    assert row.example == {
        "input": {"messages": [{"role": "user", "content": "6*7?"}]},
        "preferred_output": [{"role": "assistant", "content": "42"}],
        "non_preferred_output": [{"role": "assistant", "content": "41"}],
    }
    assert (row.id, row.source["rejected_run_id"]) == ("6*7?-42-None", "6*7?-42-None")


def test_a_worse_answer_may_be_a_message_of_langchain():
    assert pairs([session("Hi", "Hello", rejected=AIMessage("What?"))]) == (
        [("Hi", "Hello", "What?")],
        [],
    )


def test_tools_and_settings_go_into_the_input():
    settings = {"tools": TOOLS, "parallel_tool_calls": False, "response_format": {"type": "text"}}
    [row] = (
        Convert(method="preference")
        .invoke([session("q", "a", 1, **settings), session("q", "b", 0, **settings)])
        .rows()
    )
    asked = row.example["input"]
    assert (asked["tools"], asked["parallel_tool_calls"]) == (TOOLS, False)
    assert asked.keys() == {"messages", "tools", "parallel_tool_calls"}
    assert row.response_format == {"type": "text"}


def test_the_best_stands_against_the_worst_of_the_same_input():
    sessions = [session("q", name, score) for name, score in zip("abcd", (2, 5, 1, 3), strict=True)]
    for order in itertools.permutations(sessions):
        found, skips = pairs(order)
        assert found == [("q", "b", "c")]
        assert sorted(skips) == [
            ("q-a-2", "neither_best_nor_worst"),
            ("q-d-3", "neither_best_nor_worst"),
        ]


def test_a_pair_names_both_runs():
    [row] = Convert(method="preference").invoke([session("q", "b", 0), session("q", "a", 1)]).rows()
    assert row.id == row.source["run_id"] == "q-a-1"
    assert row.source["rejected_run_id"] == "q-b-0"


def test_pairs_of_scores_come_last_in_the_order_of_their_inputs():
    sessions = [
        session("2", "a", 0),
        session("1", "a", 1),
        session("1", "b", 0),
        session("now", "good", rejected=AIMessage("bad")),
        session("2", "b", 1),
    ]
    found, _ = pairs(sessions)
    assert [question for question, *_ in found] == ["now", "2", "1"]


@pytest.mark.parametrize(
    "sessions",
    [
        [session("q", "a", 1)],
        [session("q", "a", 1), session("q", "b", 1)],
        [session("q", "same", 1), session("q", "same", 0)],
        [session("q", "a", 1), session("other", "b", 0)],
        [session("q", "a", 1, tools=TOOLS), session("q", "b", 0)],
        [session("q", "a", 1, response_format={"type": "json_object"}), session("q", "b", 0)],
        [
            session("q", "a", 1, source={"feedback_group_id": "1"}),
            session("q", "b", 0, source={"feedback_group_id": "2"}),
        ],
        [session("q", "a")],
        [session("q", "a", rejected=AIMessage("a"))],
    ],
)
def test_one_sided_inputs_are_skips(sessions):
    found, skips = pairs(sessions)
    assert found == []
    assert [code for _, code in skips] == ["no_pair"] * len(sessions)
    assert sorted(run_id for run_id, _ in skips) == sorted(
        each["source"]["run_id"] for each in sessions
    )


def test_answers_compared_in_the_same_group_make_a_pair():
    group = {"feedback_group_id": "1"}
    found, skips = pairs([session("q", "a", 1, source=group), session("q", "b", 0, source=group)])
    assert (found, skips) == ([("q", "a", "b")], [])


def calling(call_id, answer, score):
    call = {"name": "f", "args": {"x": 1}, "id": call_id, "type": "tool_call"}
    return {
        "messages": [
            SystemMessage("Be brief."),
            HumanMessage("q"),
            AIMessage("", tool_calls=[call]),
            ToolMessage("7", tool_call_id=call_id),
            answer,
        ],
        "tools": TOOLS,
        "score": score,
    }


def test_ids_of_calls_are_new_in_each_run_and_tell_no_inputs_apart():
    [line] = Convert(method="preference").invoke(
        [calling("call_a", AIMessage("7"), 1), calling("call_b", AIMessage("8"), 0)]
    )
    messages = line["input"]["messages"]
    assert messages[2]["tool_calls"][0]["id"] == messages[3]["tool_call_id"] == "call_a"


def test_answers_that_differ_in_the_ids_of_calls_only_are_the_same():
    def answer(call_id):
        call = {"name": "f", "args": {}, "id": call_id, "type": "tool_call"}
        return AIMessage("", tool_calls=[call])

    found = Convert(method="preference").invoke(
        [calling("1", answer("a"), 1), calling("1", answer("b"), 0)]
    )
    assert list(found) == []
    assert found.rejected_by_reason() == {"no_pair": 2}


def test_weights_are_left_out_and_what_follows_the_answer():
    wire = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello", "weight": 0},
        {"role": "user", "content": "And?"},
        {"role": "assistant", "content": "Fine", "weight": 1},
        {"role": "user", "content": "Bye"},
    ]
    rejected = {"role": "assistant", "content": "No", "weight": 0}
    examples = Convert(method="preference").invoke(
        [{"messages": WireMessages(wire), "rejected": rejected}]
    )
    [line] = examples
    assert "weight" not in str(line)
    assert line["input"]["messages"][-1]["content"] == "And?"
    assert examples.notes["trimmed_messages"] == 1
    assert rejected["weight"] == 0


@pytest.mark.parametrize("score", ["good", float("nan"), float("inf"), [1]])
def test_a_score_must_be_a_number(score):
    _, skips = pairs([session("q", "a", 1), session("q", "b", score)])
    assert skips[0][1] == "invalid_score"


@pytest.mark.parametrize("place", ["question", "answer"])
def test_half_a_character_ends_no_iteration(place):
    half = "\ud800"
    broken = session(half, "a", 1) if place == "question" else session("q", half, 1)
    found, skips = pairs([broken, session("r", "a", 1), session("r", "b", 0)])
    assert found == [("r", "a", "b")]
    assert [code for _, code in skips] == ["unreadable_value"]


@pytest.mark.parametrize("rejected", ["no", 5])
def test_a_worse_answer_must_be_a_message(rejected):
    with pytest.raises(ConvertError, match="Item 1 is not a chat session"):
        pairs([session("q", "a"), session("q", "b", rejected=rejected)])


def test_a_chat_without_an_answer_and_a_broken_pair_are_rejected():
    unanswered = {"messages": [HumanMessage("q")], "score": 1}
    empty = session("q", "a", rejected={"role": "user", "content": "a"})
    _, skips = pairs([unanswered, empty])
    assert [code for _, code in skips] == ["no_assistant_message", "invalid_output"]


def test_iterating_again_gives_the_same():
    sessions = [session("q", "a", 1), session("q", "b", 0), session("r", "a", 1)]
    examples = Convert(method="preference").invoke(sessions)
    assert list(examples) == list(examples) != []
    assert len(examples.rejected) == 1


def test_many_texts_wait_on_disk(monkeypatch):
    monkeypatch.setattr(preference, "_IN_MEMORY", 100)
    asked = [session(str(n % 50), f"answer {n}", n // 50) for n in range(100)]
    found, skips = pairs(asked)
    assert found == [(str(n), f"answer {n + 50}", f"answer {n}") for n in range(50)]
    assert skips == []


@pytest.mark.parametrize(
    ("better", "settings"), [("", {}), ("Yes", {"max_example_tokens": 1, "model": "nano"})]
)
def test_of_a_pair_that_is_left_out_both_chats_are_told(better, settings):
    chats = [
        {
            "messages": [HumanMessage("Open?"), AIMessage(answer)],
            "source": {"run_id": run_id},
            "score": score,
        }
        for answer, run_id, score in ((better, "r-1", 1), ("No", "r-2", 0))
    ]
    examples = Convert(method="preference", **settings).invoke(chats)
    assert list(examples) == []
    one, other = examples.rejected
    assert (one.id, other.id, one.code) == ("r-1", "r-2", other.code)
