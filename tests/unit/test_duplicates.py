"""Chats that come more than once, exactly or nearly."""

import json
import random
import subprocess
import sys
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from langchain_finetune import Convert, ConvertError
from langchain_finetune.convert.duplicates import DuplicateIndex, rows_a_band, unique_rows
from langchain_finetune.convert.fingerprints import exact_key, shingles_of, signature
from langchain_finetune.convert.rows import Outcome, Row
from langchain_finetune.errors import InvalidArgumentError

WORDS = [f"word{number}" for number in range(500)]
PROMPT = " ".join(WORDS)


def chat(question, answer="Yes", prompt=None):
    system = [{"role": "system", "content": prompt}] if prompt else []
    asked = {"role": "user", "content": question}
    return {"messages": [*system, asked, {"role": "assistant", "content": answer}]}


def called(name, arguments):
    function = {"name": "find", "arguments": arguments}
    return {
        "messages": [
            {"role": "user", "content": "Where?"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": name, "type": "function", "function": function}],
            },
            {"role": "tool", "tool_call_id": name, "content": "Here"},
            {"role": "assistant", "content": "Here."},
        ]
    }


def unique(examples, duplicates, threshold=0.9):
    outcome = Outcome()
    rows = [Row(str(number), {}, example=each) for number, each in enumerate(examples)]
    kept = list(unique_rows(iter(rows), outcome, duplicates, threshold))
    return [row.id for row in kept], outcome


def text(seed, words=100):
    return " ".join(random.Random(seed).choices(WORDS, k=words))


def similarity(one, other):
    first, second = shingles_of(one), shingles_of(other)
    return len(first & second) / len(first | second)


def test_the_first_of_equal_chats_stays():
    kept, outcome = unique([chat("a"), chat("b"), chat("a")], "drop_exact")
    assert kept == ["0", "1"]
    [skip] = outcome.rejected
    assert (skip.id, skip.code, skip.reason) == ("2", "duplicate", "It repeats 0.")


def test_kept_duplicates_are_counted():
    kept, outcome = unique([chat("a"), chat("b"), chat("a"), chat("a")], "keep")
    assert kept == ["0", "1", "2", "3"]
    assert outcome.counts == {"duplicates": 2}
    assert not outcome.rejected


SAME = [
    (called("call_1", '{"a": 1, "b": 2}'), called("call_2", '{"b":2,"a":1}')),
    (chat("a"), {"messages": [{**each, "weight": 1} for each in chat("a")["messages"]]}),
    (chat("a"), chat([{"type": "text", "text": "a"}])),
    (chat("a"), {**chat("a"), "tools": None}),
    (chat("a"), {"messages": [{**each, "name": None} for each in chat("a")["messages"]]}),
]
DIFFERENT = [
    (chat("a"), chat("a", prompt="Be brief")),
    (chat("a"), {**chat("a"), "tools": [{"type": "function", "function": {"name": "f"}}]}),
    (called("call_1", '{"a": 1}'), called("call_1", '{"a": 2}')),
    (called("call_1", f'{{"a": {10**20}}}'), called("call_1", f'{{"a": {10**20 + 1}}}')),
    (called("call_1", "no json"), called("call_1", '"no json"')),
    (chat("a"), chat("A")),
    ({"prompt": "a", "completion": "b"}, {"prompt": "ab", "completion": ""}),
    (chat([{"type": "image_url", "image_url": {"url": "x"}}]), chat("x")),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_what_the_model_sees_alike_is_the_same(one, other):
    assert exact_key(one) == exact_key(other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_what_the_model_sees_otherwise_is_not(one, other):
    assert exact_key(one) != exact_key(other)


def test_calls_that_cross_are_told_apart():
    """Two calls whose results are exchanged are another chat, though all ids are random."""

    def crossed(first, second):
        calls = [
            {"id": name, "type": "function", "function": {"name": "find", "arguments": "{}"}}
            for name in ("x", "y")
        ]
        return {
            "messages": [
                {"role": "assistant", "content": None, "tool_calls": calls},
                {"role": "tool", "tool_call_id": first, "content": "one"},
                {"role": "tool", "tool_call_id": second, "content": "two"},
            ]
        }

    assert exact_key(crossed("x", "y")) != exact_key(crossed("y", "x"))


def test_near_duplicates_are_found_and_others_are_not():
    same = chat(text(1), text(2))
    near = chat(text(1), text(2) + " indeed")
    half = chat(text(1), text(3))
    assert similarity(same, near) > 0.9 > similarity(same, half)
    kept, outcome = unique([same, near, half, chat(text(4), text(5))], "drop_near")
    assert kept == ["0", "2", "3"]
    assert outcome.rejected[0].reason == "It nearly repeats 0."


def test_a_long_prompt_does_not_make_chats_alike():
    kept, _ = unique([chat("Rome?", "Yes", PROMPT), chat("Oslo?", "No", PROMPT)], "drop_near")
    assert kept == ["0", "1"]
    kept, _ = unique([chat("Rome?", "Yes", PROMPT), chat("Rome?", "Yes", "Be brief")], "drop_near")
    assert kept == ["0"]


def test_another_number_in_a_short_chat_is_another_chat():
    kept, _ = unique(
        [chat(f"What is {n} plus 5?", f"It is {n + 5}.") for n in range(50)], "drop_near"
    )
    assert len(kept) == 50


def test_words_of_scripts_without_spaces():
    apart = shingles_of({"prompt": "今 天 很 好", "completion": "ok"})
    assert shingles_of({"prompt": "今天很好", "completion": "ok"}) == apart
    assert len(apart) == 3
    assert len(shingles_of({"prompt": "สวัสดีครับ", "completion": ""})) > 2
    assert shingles_of({"prompt": "", "completion": ""}) == {b""}


@pytest.mark.parametrize("threshold", [0.7, 0.8, 0.9, 1.0])
def test_pairs_on_both_sides_of_the_threshold(threshold):
    """The threshold means what it says: likeness is computed, not estimated, once a pair is met."""
    for number in range(60):
        one = chat(text(number, 150))
        added = text(-1 - number, number)
        other = chat(f"{one['messages'][0]['content']} {added}")
        kept, _ = unique([one, other], "drop_near", threshold)
        assert (len(kept) == 1) == (similarity(one, other) >= threshold)


def test_a_thousand_form_letters_do_not_hide_a_repetition():
    letters = [chat(text(1, 85) + " " + text(100 + n, 15)) for n in range(1000)]
    kept, _ = unique(
        [*letters, chat(text(1, 85) + " " + text(600, 15) + " bye")], "drop_near", 0.95
    )
    assert len(kept) == 1000


@given(st.floats(0.5, 1))
def test_bands_find_a_pair_at_the_threshold(threshold):
    rows = rows_a_band(threshold)
    assert 2 <= rows <= 128
    assert (1 - threshold**rows) ** (128 // rows) <= 0.001 or rows == 2


def test_signatures_are_the_same_in_every_run():
    code = (
        "from langchain_finetune.convert.fingerprints import signature;"
        "print(signature(['a b c', 'b c d']))"
    )
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout
    assert json.loads(printed) == signature(["a b c", "b c d"])


def test_the_index_only_adds_what_it_is_told_to():
    row = Row("1", {}, example=chat("a"))
    with closing(DuplicateIndex(0.9)) as index:
        assert index.repeated(row, add=False) is None
        assert index.repeated(row, add=True) is None
        assert index.repeated(row, add=False) == ("1", True)


def test_without_the_library_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "rensa", None)
    session = {"messages": [HumanMessage("a"), AIMessage("b")]}
    assert len(list(Convert(duplicates="drop_exact").invoke([session]))) == 1
    with pytest.raises(ConvertError, match=r"pip install .*\[dedup\]'"):
        list(Convert(duplicates="drop_near").invoke([session]))


def test_convert_keeps_duplicates_unless_told_otherwise():
    def session(name):
        call = {"name": "find", "args": {"a": 1}, "id": name}
        said = [AIMessage("", tool_calls=[call]), ToolMessage("Here", tool_call_id=name)]
        return {"messages": [HumanMessage("Where?"), *said, AIMessage("Here.")]}

    examples = Convert().invoke([session("x"), session("y")])
    assert len(list(examples)) == len(list(examples)) == 2
    assert examples.notes == {"duplicates": 1}
    examples = Convert(duplicates="drop_exact").invoke([session("x"), session("y")])
    assert len(list(examples)) == 1
    assert examples.rejected_by_reason() == {"duplicate": 1}


@pytest.mark.parametrize("field", [{"duplicates": "drop"}, {"near_threshold": 0.2}])
def test_settings_that_make_no_sense(field):
    with pytest.raises(InvalidArgumentError):
        Convert(**field)
