"""No part of the data repeats another, whatever the order."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage

from langchain_finetune import Convert, Split
from langchain_finetune.convert.duplicates import uncontaminated_rows
from langchain_finetune.convert.fingerprints import exact_key
from langchain_finetune.convert.rows import Outcome, Row

PARTS = ("train", "validation", "test")


def row(name, question, part):
    example = {
        "messages": [
            {"role": "user", "content": question},
            {"role": "assistant", "content": "Yes"},
        ]
    }
    made = Row(name, {"run_id": name}, example=example)
    made.part = part
    made.tokens = len(question)
    return made


SPLIT = Split(test=0.3, validation=0.3)


def cleaned(rows, threshold=None):
    outcome = Outcome()
    kept = list(uncontaminated_rows(iter(rows), SPLIT, outcome, threshold))
    return kept, {skip.id: skip.reason for skip in outcome.rejected}


def drawn(question):
    """Return the part that a chat is drawn for by itself."""
    return SPLIT.part_of(f"chat:{exact_key(row('', question, 'train').example).hex()}")


def question_of(part):
    return next(text for number in range(100) if drawn(text := f"Question {number}") == part)


@pytest.mark.parametrize("part", PARTS)
def test_chats_that_are_the_same_share_the_part_that_they_are_drawn_for(part):
    same = question_of(part)
    rows = [row(each, same, each) for each in PARTS] + [row("c", "other", "test")]
    outcome = Outcome()
    kept = list(uncontaminated_rows(iter(rows), SPLIT, outcome))
    assert [each.id for each in kept] == [*PARTS, "c"]
    assert [each.part for each in kept] == [part] * 3 + ["test"]
    assert outcome.counts == {"split_by_repetition": 2}
    assert not outcome.rejected


def test_a_part_that_has_no_copy_gets_all_where_the_chat_is_drawn_for_it():
    same = question_of("test")
    kept, _ = cleaned([row("a", same, "train"), row("b", same, "validation")])
    assert [each.part for each in kept] == ["test", "test"]


def test_copies_within_a_part_stay_there():
    same = question_of("test")
    kept, _ = cleaned([row("a", same, "train"), row("b", same, "train")])
    assert [each.part for each in kept] == ["train", "train"]


def test_what_is_asked_most_often_is_learnt_too():
    """With a tenth held out, one of a hundred copies surely is: nine of ten such chats train."""
    sessions = [
        {
            "messages": [HumanMessage(f"Question {number}"), AIMessage("Yes")],
            "source": {"trace_id": f"{number} {copy}"},
        }
        for number in range(60)
        for copy in range(60)
    ]
    examples = Convert(split=Split(test=0.1)).invoke(sessions)
    parts = {}
    for each in examples.rows():
        parts.setdefault(each.example["messages"][0]["content"], set()).add(each.part)
    assert len(parts) == 60
    assert all(len(found) == 1 for found in parts.values())
    assert 45 < sum(found == {"train"} for found in parts.values()) < 60
    assert not examples.rejected


def test_repetitions_within_a_part_stay():
    rows = [row(str(number), "same", "train") for number in range(3)]
    assert len(cleaned(rows)[0]) == 3
    rows = [row(str(number), "same", "test") for number in range(3)]
    assert len(cleaned(rows)[0]) == 3


def test_rows_come_back_as_they_went():
    given_row = row("a", "schön\nwar's", "validation")
    given_row.target_tokens = 2
    given_row.response_format = {"type": "json_object"}
    [kept], _ = cleaned([given_row])
    assert kept.line == given_row.line
    for name in ("id", "source", "part", "tokens", "target_tokens", "response_format"):
        assert getattr(kept, name) == getattr(given_row, name)


def test_near_repetitions_count_where_a_threshold_is_given():
    words = [f"word{number}" for number in range(100)]
    one, other = " ".join(words), " ".join([*words, "more"])
    rows = [row("a", one, "train"), row("b", other, "test")]
    assert len(cleaned(rows)[0]) == 2
    kept, rejected = cleaned(rows, 0.9)
    assert [each.id for each in kept] == ["b"]
    assert rejected == {"a": "It nearly repeats b in the test part."}


@given(
    st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from(PARTS)), max_size=30),
    st.randoms(use_true_random=False),
)
def test_the_order_decides_nothing(drawn, shuffle: random.Random):
    rows = [row(str(number), *each) for number, each in enumerate(drawn)]
    shuffled = shuffle.sample(rows, len(rows))
    kept, rejected = cleaned(rows)
    kept_too, rejected_too = cleaned(shuffled)
    assert {each.id: each.part for each in kept} == {each.id: each.part for each in kept_too}
    assert not rejected
    assert not rejected_too
    assert [int(each.id) for each in kept] == list(range(len(rows)))
    keys = {part: {exact_key(r.example) for r in kept if r.part == part} for part in PARTS}
    assert not keys["train"] & keys["validation"]
    assert not (keys["train"] | keys["validation"]) & keys["test"]


@pytest.mark.parametrize(("contamination", "kept"), [("exact", "abcd"), ("near", "bd")])
def test_convert_refuses_near_ones_where_it_is_asked_to(contamination, kept):
    """Groups go where `by` and the seed say; `d` alone is held out."""
    words = [f"word{number}" for number in range(100)]
    said = {"a": "first " + " ".join(words), "b": "other", "c": " ".join([*words, "more"])}
    said["d"] = " ".join(words)
    sessions = [
        {"messages": [HumanMessage(text), AIMessage("Yes")], "source": {"run_id": name}}
        for name, text in said.items()
    ]
    split = Split(test=0.5, by=lambda source: source["run_id"])
    seed = next(
        seed
        for seed in range(1000)
        if [Split(test=0.5, seed=seed).part_of(name) for name in "abcd"]
        == ["train", "train", "train", "test"]
    )
    convert = Convert(split=split.model_copy(update={"seed": seed}), contamination=contamination)
    examples = convert.invoke(sessions)
    assert "".join(row.id for row in examples.rows()) == kept
    assert {skip.id for skip in examples.rejected} == set("abcd") - set(kept)
    assert set(examples.rejected_by_reason()) <= {"contaminated"}


@pytest.mark.parametrize("rows", [[], [row("a", "x", "train")]])
def test_without_held_out_parts_nothing_is_lost(rows):
    assert len(cleaned(rows)[0]) == len(rows)
