"""The spool: one pass, named by content, all or nothing."""

import hashlib

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from langchain_finetune import Convert, ConvertError
from langchain_finetune.convert.rows import Target
from langchain_finetune.finetune.spool import spool


def chats(count):
    return [{"messages": [HumanMessage(f"Question {n}"), AIMessage("Yes")]} for n in range(count)]


def spooled(folder, count=40, *, share=0.0, seed=1):
    examples = Convert().invoke(chats(count))
    return spool(examples, folder, target=Target(), validation_share=share, seed=seed)


def test_the_file_is_named_by_its_content(tmp_path):
    training, validation = spooled(tmp_path)
    data = training.path.read_bytes()
    assert validation is None
    assert training.examples == 40
    assert hashlib.sha256(data).hexdigest() == training.sha256
    assert training.path.name == f"{training.sha256[:16]}.jsonl"
    assert training.path.stat().st_mode & 0o077 == 0
    assert list(tmp_path.iterdir()) == [training.path]


def test_the_same_data_gives_the_same_files(tmp_path):
    assert spooled(tmp_path, share=0.3) == spooled(tmp_path, share=0.3)


def test_the_validation_share_is_kept_from_training(tmp_path):
    training, validation = spooled(tmp_path, 200, share=0.25)
    lines = training.path.read_bytes().splitlines(), validation.path.read_bytes().splitlines()
    assert training.examples + validation.examples == 200
    assert not set(lines[0]) & set(lines[1])
    assert 25 <= validation.examples <= 75


def test_the_choice_stays_as_the_data_grows(tmp_path):
    _, small = spooled(tmp_path, 100, share=0.25)
    _, large = spooled(tmp_path, 200, share=0.25)
    kept = set(small.path.read_bytes().splitlines())
    assert kept <= set(large.path.read_bytes().splitlines())


def test_the_seed_changes_the_choice(tmp_path):
    _, one = spooled(tmp_path, 100, share=0.25, seed=1)
    _, two = spooled(tmp_path, 100, share=0.25, seed=2)
    assert one.sha256 != two.sha256


@pytest.mark.parametrize("count", [0, 9])
def test_too_few_examples_are_an_error_that_leaves_nothing(tmp_path, count):
    with pytest.raises(ConvertError, match="at least 10 are needed"):
        spooled(tmp_path, count)
    assert list(tmp_path.iterdir()) == []


def test_the_error_says_what_was_left_out(tmp_path):
    unanswered = [{"messages": [HumanMessage("Anybody?")]}] * 3
    examples = Convert().invoke([*chats(2), *unanswered])
    with pytest.raises(ConvertError, match="Left out: 3 no_assistant_message"):
        spool(examples, tmp_path, target=Target(), validation_share=0, seed=None)
