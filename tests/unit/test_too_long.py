"""Examples that are too long lose whole old turns, or are rejected."""

from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

from langchain_finetune import Convert
from langchain_finetune.checks import check_example, errors_of
from langchain_finetune.convert.rows import Outcome, Row
from langchain_finetune.convert.tokens.count import Count, Unfit
from langchain_finetune.convert.tokens.counter import BATCH
from langchain_finetune.convert.too_long import fitting_rows, shortened


class Words:
    """Counts a message as the words of its content, and one more."""

    exact = True

    def __init__(self, limit):
        self.limit = limit
        self.batches = []

    def count(self, examples):
        self.batches.append(len(examples))
        totals = [
            sum(1 + len((each.get("content") or "").split()) for each in messages_of(example))
            for example in examples
        ]
        return [Count(total, total, 1) for total in totals]


def messages_of(example):
    inner = example.get("input", example)
    return [*inner["messages"], *example.get("preferred_output", [])]


def said(role, text="x", **fields):
    return {"role": role, "content": text, **fields}


def call(name):
    function = {"name": "find", "arguments": "{}"}
    return said(
        "assistant", None, tool_calls=[{"id": name, "type": "function", "function": function}]
    )


TURN_1 = [said("user", "one"), call("c1"), said("tool", "r", tool_call_id="c1"), said("assistant")]
TURN_2 = [said("user", "two"), said("assistant")]
TURN_3 = [
    said("user", "three"),
    call("c3"),
    said("tool", "r", tool_call_id="c3"),
    said("assistant"),
]
PROMPT = [said("system", "be brief")]
TOOL = {"type": "function", "function": {"name": "find"}}
CHAT = {"messages": [*PROMPT, *TURN_1, *TURN_2, *TURN_3], "tools": [TOOL]}


def fitted(example, limit, too_long="drop_oldest"):
    outcome = Outcome()
    rows = list(
        fitting_rows(iter([Row("r", {}, example=example)]), outcome, Words(limit), too_long)
    )
    return rows, outcome


def total(messages):
    return Words(None).count([{"messages": messages}])[0].total


def test_what_fits_stays():
    [row], outcome = fitted(CHAT, total(CHAT["messages"]))
    assert row.example is CHAT
    assert row.tokens == total(CHAT["messages"])
    assert not outcome.counts
    assert not outcome.rejected


def test_no_more_turns_go_than_must():
    [row], outcome = fitted(CHAT, total(CHAT["messages"]) - 1)
    assert row.example == {**CHAT, "messages": [*PROMPT, *TURN_2, *TURN_3]}
    assert row.tokens == total(row.example["messages"])
    assert outcome.counts == {"shortened": 1, "dropped_turns": 1}
    [row], outcome = fitted(CHAT, total([*PROMPT, *TURN_3]))
    assert row.example["messages"] == [*PROMPT, *TURN_3]
    assert outcome.counts == {"shortened": 1, "dropped_turns": 2}


def test_the_last_turn_is_never_cut():
    limit = total([*PROMPT, *TURN_3]) - 1
    rows, outcome = fitted(CHAT, limit)
    assert rows == []
    [skip] = outcome.rejected
    assert (skip.id, skip.code) == ("r", "too_long")
    assert skip.reason == f"It has {total(CHAT['messages'])} tokens; the limit is {limit}."


def test_rejecting_is_the_default():
    rows, outcome = fitted(CHAT, total(CHAT["messages"]) - 1, "reject")
    assert rows == []
    assert [skip.code for skip in outcome.rejected] == ["too_long"]


def test_a_greeting_goes_first():
    greeted = {"messages": [*PROMPT, said("assistant", "hello there"), *TURN_2]}
    [row], _ = fitted(greeted, total(greeted["messages"]) - 1)
    assert row.example["messages"] == [*PROMPT, *TURN_2]


def test_what_the_system_adds_to_a_question_goes_with_it():
    added = [said("system", "it is noon"), *TURN_2]
    chat = {"messages": [*PROMPT, *TURN_1, *added]}
    [row], _ = fitted(chat, total([*PROMPT, *added]))
    assert row.example["messages"] == [*PROMPT, *added]


def test_questions_in_a_row_are_one_turn():
    asked = [said("user", "please"), said("user", "now"), said("assistant")]
    chat = {"messages": [*TURN_2, *asked]}
    [row], _ = fitted(chat, total(chat["messages"]) - 1)
    assert row.example["messages"] == asked


def test_where_nothing_would_be_left_to_learn_it_is_rejected():
    muted = [said("user", "two"), said("assistant", weight=0)]
    rows, outcome = fitted({"messages": [*TURN_1, *muted]}, total(muted))
    assert rows == []
    assert [skip.code for skip in outcome.rejected] == ["too_long"]


def test_a_preference_keeps_its_answers():
    preference = {
        "input": {"messages": [*PROMPT, *TURN_2, said("user", "so")], "tools": []},
        "preferred_output": [said("assistant")],
        "non_preferred_output": [said("assistant", "no")],
    }
    [row], _ = fitted(preference, 8)
    kept = {"messages": [*PROMPT, said("user", "so")], "tools": []}
    assert row.example == {**preference, "input": kept}


def test_a_completion_can_not_be_shortened():
    assert shortened({"prompt": "a", "completion": "b"}, 1, Words(1)) is None


def test_rows_are_counted_many_at_once_and_stay_in_order():
    counter = Words(None)
    rows = [Row(str(number), {}, example={"messages": TURN_2}) for number in range(BATCH + 3)]
    found = list(fitting_rows(iter(rows), Outcome(), counter, "reject"))
    assert found == rows
    assert counter.batches == [BATCH, 3]


def test_what_can_not_be_counted_is_rejected_with_the_counters_reason():
    class Refuses(Words):
        def count(self, examples):
            return [Unfit("template_without_tools", "No tools here.")] * len(examples)

    outcome = Outcome()
    row = Row("r", {}, example=CHAT)
    assert list(fitting_rows(iter([row]), outcome, Refuses(5), "reject")) == []
    assert [skip.code for skip in outcome.rejected] == ["template_without_tools"]


@st.composite
def conversations(draw):
    messages = [said("system")] if draw(st.booleans()) else []
    if draw(st.booleans()):
        messages.append(said("assistant"))
    for turn in range(draw(st.integers(1, 6))):
        if draw(st.integers(0, 5)) == 0:
            messages.append(said("developer"))
        messages += [said("user", "w " * draw(st.integers(0, 9)))] * draw(st.integers(1, 2))
        for step in range(draw(st.integers(0, 2))):
            name = f"c{turn}{step}"
            messages += [call(name), said("tool", "r", tool_call_id=name)]
        messages.append(said("assistant", weight=draw(st.sampled_from([0, 1, 1]))))
    return {"messages": messages}


@given(conversations(), st.integers(1, 60))
def test_whatever_is_dropped_the_rest_is_a_valid_chat(example, limit):
    if errors_of(check_example(example)):
        return
    rows, outcome = fitted(example, limit)
    if not rows:
        assert [skip.code for skip in outcome.rejected] == ["too_long"]
        return
    messages = rows[0].example["messages"]
    assert not errors_of(check_example(rows[0].example))
    assert rows[0].tokens == total(messages) <= limit
    kept = len(messages)
    roles = [each["role"] for each in example["messages"]]
    prompts = next(n for n, role in enumerate(roles) if role not in {"system", "developer"})
    assert messages[:prompts] == example["messages"][:prompts]
    assert messages[prompts:] == example["messages"][len(example["messages"]) - kept + prompts :]


def test_convert_drops_turns_for_a_model():
    long = [HumanMessage("word " * 3000), AIMessage("Yes")]
    session = {"messages": [SystemMessage("Be brief"), *long, HumanMessage("Hi"), AIMessage("Ho")]}
    examples = Convert(model="nano", too_long="drop_oldest").invoke([session])
    [row] = examples.rows()
    assert [each["content"] for each in row.example["messages"]] == ["Be brief", "Hi", "Ho"]
    assert examples.notes == {"shortened": 1, "dropped_turns": 1}
