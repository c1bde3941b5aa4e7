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


def cleaned(rows, threshold=None):
    outcome = Outcome()
    kept = list(uncontaminated_rows(iter(rows), outcome, threshold))
    return kept, {skip.id: skip.reason for skip in outcome.rejected}


def test_what_is_held_out_is_not_learnt():
    rows = [
        row("a", "same", "train"),
        row("b", "same", "validation"),
        row("c", "other", "train"),
        row("d", "same", "train"),
    ]
    kept, rejected = cleaned(rows)
    assert [each.id for each in kept] == ["b", "c"]
    reason = "It repeats b in the validation part."
    assert rejected == {"a": reason, "d": reason}


def test_the_test_part_wins_against_all():
    kept, rejected = cleaned([row(part, "same", part) for part in PARTS])
    assert [each.id for each in kept] == ["test"]
    reason = "It repeats test in the test part."
    assert rejected == {"train": reason, "validation": reason}


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
    assert {each.id for each in kept} == {each.id for each in kept_too}
    assert rejected.keys() == rejected_too.keys()
    assert len(kept) + len(rejected) == len(rows)
    assert [int(each.id) for each in kept] == sorted(int(each.id) for each in kept)
    keys = {part: {exact_key(r.example) for r in kept if r.part == part} for part in PARTS}
    assert not keys["train"] & keys["validation"]
    assert not (keys["train"] | keys["validation"]) & keys["test"]


@pytest.mark.parametrize(("contamination", "kept"), [("exact", ["c", "d"]), ("near", ["d"])])
def test_convert_refuses_it_where_it_splits(contamination, kept):
    """Groups go where `by` and the seed say; `d` alone is held out."""
    words = " ".join(f"word{number}" for number in range(100))
    said = {"a": words, "b": words, "c": f"{words} more", "d": words}
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
    assert [row.id for row in examples.rows()] == kept
    assert {skip.id for skip in examples.rejected} == set("abcd") - set(kept)
    assert set(examples.rejected_by_reason()) == {"contaminated"}


@pytest.mark.parametrize("rows", [[], [row("a", "x", "train")]])
def test_without_held_out_parts_nothing_is_lost(rows):
    assert len(cleaned(rows)[0]) == len(rows)
