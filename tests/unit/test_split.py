"""A split by conversation: whole groups, stable as data grows, and never by position."""

import random

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from langchain_finetune import Convert, ConvertError, Split
from langchain_finetune.errors import InvalidArgumentError


def chat(number, **source):
    messages = [HumanMessage(f"Question {number}"), AIMessage(f"Answer {number}")]
    return {"messages": messages, "source": source}


def parts(sessions, **settings):
    rows = Convert(split=Split(**settings)).invoke(sessions).rows()
    return {row.example["messages"][0]["content"]: row.part for row in rows}


MANY = [chat(number, run_id=f"r{number}", trace_id=f"t{number}") for number in range(1000)]


def test_shares_are_about_as_asked():
    found = list(parts(MANY, validation=0.1, test=0.2).values())
    assert 160 < found.count("test") < 240
    assert 70 < found.count("validation") < 130


@pytest.mark.parametrize(
    ("by", "source"),
    [
        ("auto", {"group": "a"}),
        ("auto", {"thread_id": "a"}),
        ("auto", {"trace_id": "a"}),
        ("auto", {"example_id": "a"}),
        ("thread", {"thread_id": "a"}),
        ("trace", {"trace_id": "a"}),
        (lambda source: source["tenant"], {"tenant": "a"}),
    ],
)
def test_a_group_stays_together(by, source):
    [key] = source
    sessions = [chat(number, **{key: f"group {number // 20}"}) for number in range(1000)]
    found = parts(sessions, test=0.3, validation=0.3, by=by)
    for group in range(50):
        assert len({found[f"Question {20 * group + n}"] for n in range(20)}) == 1
    assert set(found.values()) == {"train", "validation", "test"}


def test_the_thread_counts_before_the_trace():
    sessions = [chat(n, thread_id=f"thread {n // 2}", trace_id=f"trace {n}") for n in range(200)]
    found = list(parts(sessions, test=0.5).values())
    assert found[::2] == found[1::2]


def test_chats_without_ids_go_by_their_request():
    examples = Convert(split=Split(test=0.5)).invoke(
        [chat(number, run_id=f"file.jsonl:{number}") for number in range(100)]
    )
    first = {row.line: row.part for row in examples.rows()}
    moved = [chat(n, run_id=f"file.jsonl:{n + 7}") for n in reversed(range(100))]
    assert {row.line: row.part for row in Convert(split=examples.split).invoke(moved).rows()} == (
        first
    )
    assert examples.notes == {"split_by_request": 100}
    again = [{**chat(n), "messages": [*chat(n)["messages"][:1], AIMessage("Else")]} for n in (1, 2)]
    assert parts(again, test=0.5).items() <= parts([chat(1), chat(2)], test=0.5).items()


def test_the_choice_stays_as_data_grows_or_moves():
    shuffled = random.Random(1).sample(MANY, 500)
    assert (
        parts(shuffled, test=0.2, validation=0.1).items()
        <= parts(MANY, test=0.2, validation=0.1).items()
    )


def test_another_validation_share_leaves_the_test_part():
    small, large = parts(MANY, test=0.2), parts(MANY, test=0.2, validation=0.3)
    assert {key for key in small if small[key] == "test"} == {
        key for key in large if large[key] == "test"
    }


def test_the_seed_changes_the_choice():
    assert parts(MANY, test=0.2, seed=1) != parts(MANY, test=0.2, seed=2)


def test_the_choice_is_the_same_in_every_version():
    split = Split(validation=0.3, test=0.3)
    found = [split.part_of(f"thread_id:{number}") for number in range(6)]
    assert found == ["validation", "validation", "validation", "train", "validation", "test"]


@pytest.mark.parametrize("name", [None, "", 5])
def test_a_function_must_name_the_group(name):
    examples = Convert(split=Split(test=0.1, by=lambda source: name)).invoke([chat(1, run_id="r1")])
    with pytest.raises(ConvertError, match="the group of r1"):
        list(examples)


@pytest.mark.parametrize(
    "settings",
    [
        {"validation": 1.0},
        {"test": -0.1},
        {"validation": 0.5, "test": 0.5},
        {"test": float("nan")},
        {"by": "user"},
        {"share": 0.1},
    ],
)
def test_wrong_settings_are_refused(settings):
    with pytest.raises(InvalidArgumentError):
        Split(**settings)


def test_it_is_data():
    split = Split(test=0.1, by="thread", seed=3)
    assert Split.model_validate_json(split.model_dump_json()) == split
    assert Convert(split={"test": 0.1}).split == Split(test=0.1)


def test_parts_are_read_again_and_again():
    examples = Convert(split=Split(test=0.3, validation=0.1)).invoke(MANY)
    test, train = examples.part("test"), examples.part("train")
    assert list(test) == list(test)
    whole = [message["messages"][0]["content"] for message in examples]
    counts = [len(list(part)) for part in (test, train, examples.part("validation"))]
    assert sum(counts) == len(whole) == 1000
    assert not {str(each) for each in test} & {str(each) for each in train}


def test_a_part_can_be_written(tmp_path):
    examples = Convert(split=Split(test=0.3)).invoke(MANY)
    written = examples.part("test").write_jsonl(tmp_path / "test.jsonl")
    assert written.examples == len(list(examples.part("test")))


def test_a_part_that_was_not_asked_for_is_an_error():
    examples = Convert().invoke(MANY)
    with pytest.raises(ConvertError, match=r"Split\(test=0.1\)"):
        examples.part("test")
    with pytest.raises(ConvertError, match="not 'dev'"):
        examples.part("dev")
    assert len(list(examples.part("train"))) == 1000


def test_a_file_of_all_parts_is_refused(tmp_path):
    examples = Convert(split={"test": 0.2}).invoke(MANY[:50])
    with pytest.raises(ConvertError, match="choose the part"):
        examples.write_jsonl(tmp_path / "all.jsonl")
    assert not list(tmp_path.iterdir())
    written = examples.part("train").write_jsonl(tmp_path / "train.jsonl")
    assert written.examples == len(list(examples.part("train"))) < 50
