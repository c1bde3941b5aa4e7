"""The choice of a model: sticky, exact, and monotone; and the steps of a rollout."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from langchain_finetune.rollout.state import MAX_EARLIER, Rollout, is_new, position, thread_key

SHARES = st.decimals(0, 1, places=4)


@given(st.text(), st.text(), SHARES, SHARES)
def test_a_larger_share_keeps_those_of_a_smaller_one(key, salt, one, other):
    small, large = sorted((one, other))
    assert is_new(key, salt, small) <= is_new(key, salt, large)
    assert not is_new(key, salt, Decimal(0))
    assert is_new(key, salt, Decimal(1))


@given(st.text(), st.text())
def test_a_position_stays(key, salt):
    assert position(key, salt) == position(key, salt)
    assert 0 <= position(key, salt) < 1


def test_a_position_is_the_same_in_every_version():
    """Threads would change their model with an upgrade."""
    assert [round(float(position(key, "calculator")), 6) for key in ("t1", "t2", "")] == POSITIONS


POSITIONS = [0.826675, 0.354351, 0.709019]


def test_the_share_is_met():
    for share in ("0.1", "0.5", "0.93"):
        new = sum(is_new(f"thread {number}", "x", Decimal(share)) for number in range(20_000))
        assert abs(new / 20_000 - float(share)) < 0.01
    # Another rollout begins with others.
    first, second = (
        {n for n in range(20_000) if is_new(str(n), salt, Decimal("0.1"))} for salt in ("a", "b")
    )
    assert abs(len(first & second) - 200) < 60


def test_without_a_key_it_is_drawn():
    new = sum(is_new(None, "x", Decimal("0.3")) for _ in range(20_000))
    assert abs(new / 20_000 - 0.3) < 0.02


def test_salt_and_key_are_kept_apart():
    assert position("bc", "a") != position("c", "ab")


@pytest.mark.parametrize(
    ("metadata", "key"),
    [
        ({}, None),
        ({"thread_id": ""}, None),
        ({"thread_id": 7}, "7"),
        ({"session_id": "s", "conversation_id": "c"}, "s"),
        ({"conversation_id": "c", "other": "x"}, "c"),
    ],
)
def test_threads_are_named_as_langsmith_reads_them(metadata, key):
    assert thread_key(metadata) == key


def test_steps():
    begun = Rollout(name="bot", target="a")
    assert begun.rollback() is None
    canary = begun.canary("b", Decimal("0.5"))
    assert (canary.target, canary.candidate, canary.models) == ("a", "b", {"a", "b"})
    assert canary.rollback() == begun
    assert begun.shadow("b").rollback() == begun
    promoted = canary.promote("b")
    assert promoted == begun.promote("b")
    assert (promoted.target, promoted.earlier, promoted.models) == ("b", ("a",), {"b"})
    assert promoted.promote("b") == promoted
    assert promoted.promote("c").rollback().rollback() == begun
    # A canary after a promotion ends without it being undone.
    assert promoted.canary("c", Decimal("0.1")).rollback() == promoted
    assert begun.shadow("b").answering("any") == "a"
    assert canary.canary("b", Decimal(1)).answering("any") == "b"


def test_what_was_before_is_bounded():
    rollout = Rollout(name="bot", target="0")
    for number in range(1, 3 * MAX_EARLIER):
        rollout = rollout.promote(str(number))
    assert rollout.earlier[-1] == str(3 * MAX_EARLIER - 2)
    assert len(rollout.earlier) == MAX_EARLIER


@given(SHARES)
def test_it_is_read_as_it_was_written(share):
    rollout = Rollout(name="bot", target="a").promote("b").canary("c", share)
    assert Rollout.model_validate_json(rollout.model_dump_json()) == rollout


@pytest.mark.parametrize("share", [-0.1, 1.01, "NaN", "Infinity", "x"])
def test_a_share_is_from_0_to_1(share):
    with pytest.raises(ValidationError):
        Rollout(name="bot", target="a", candidate="b", mode="canary", share=share)


def test_a_share_is_exact():
    assert Rollout(name="bot", target="a", share=0.1).share == Decimal("0.1")
