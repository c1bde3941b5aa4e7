"""Which answers of a chat are learnt."""

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from langchain_finetune import Convert
from langchain_finetune.convert.supervised import weighted
from langchain_finetune.errors import InvalidArgumentError
from langchain_finetune.messages import WireMessages

CALL = {"id": "1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
WIRE = [
    {"role": "user", "content": "5+2?"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "content": "7", "tool_call_id": "1"},
    {"role": "assistant", "content": "7"},
    {"role": "user", "content": "Thanks"},
    {"role": "assistant", "content": "Bye"},
]
TOOLS = [{"type": "function", "function": {"name": "add", "parameters": {}}}]


def chat(wire=WIRE):
    return {"messages": WireMessages(wire), "tools": TOOLS}


def weights(targets, wire=WIRE):
    [example] = Convert(targets=targets).invoke([chat(wire)])
    return [message.get("weight") for message in example["messages"]]


def with_weight(index, weight, wire=WIRE):
    return [
        {**message, "weight": weight} if position == index else message
        for position, message in enumerate(wire)
    ]


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        ("all", [None] * 6),
        ("last", [None, 0, None, 0, None, None]),
        (lambda message, index: "tool_calls" in message, [None, None, None, 0, None, 0]),
        (lambda message, index: index == 3, [None, 0, None, None, None, 0]),
    ],
)
def test_the_others_weigh_nothing(targets, expected):
    assert weights(targets) == expected


@pytest.mark.parametrize(
    ("targets", "index", "weight", "expected"),
    [
        ("all", 1, 0, [None, 0, None, None, None, None]),
        ("last", 1, 1, [None, 1, None, 0, None, None]),
        ("last", 3, 0, [None, 0, None, 0, None, None]),
        (lambda message, index: False, 5, 1, [None, 0, None, 0, None, 1]),
    ],
)
def test_a_weight_of_the_data_stays(targets, index, weight, expected):
    assert weights(targets, with_weight(index, weight)) == expected


def test_a_function_is_asked_only_where_the_data_is_silent():
    asked = []
    weighted(with_weight(3, 0), lambda message, index: asked.append(index))
    assert asked == [1, 5]


def test_a_function_sees_a_copy():
    def spoil(message, index):
        message["content"] = "spoilt"
        for call in message.get("tool_calls", ()):
            call["id"] = "spoilt"
        return True

    [example] = Convert(targets=spoil).invoke([chat()])
    assert example["messages"] == WIRE
    assert WIRE[1]["tool_calls"][0]["id"] == "1"


def test_the_sessions_own_messages_stay_as_they_are():
    session = chat([dict(message) for message in WIRE])
    list(Convert(targets="last").invoke([session]))
    assert session["messages"].wire == WIRE


@pytest.mark.parametrize(
    ("targets", "wire"),
    [(lambda message, index: False, WIRE), ("last", with_weight(5, 0))],
)
def test_a_chat_without_a_target_is_rejected(targets, wire):
    examples = Convert(targets=targets).invoke([{**chat(wire), "source": {"run_id": "r-1"}}])
    assert list(examples) == []
    assert [(skip.id, skip.code) for skip in examples.rejected] == [("r-1", "no_target")]


def test_the_last_answer_is_that_of_the_example():
    trailing = [HumanMessage("Hi"), AIMessage("Hello"), AIMessage("Hm"), HumanMessage("Bye")]
    [example] = Convert(targets="last").invoke([{"messages": trailing}])
    assert [message.get("weight") for message in example["messages"]] == [None, 0, None]


@pytest.mark.parametrize("settings", [{"targets": "first"}, {"targets": 1}, {"method": "dpo"}])
def test_unknown_settings_are_refused(settings):
    with pytest.raises(InvalidArgumentError):
        Convert(**settings)


@pytest.mark.parametrize("method", ["preference", "completion"])
def test_targets_are_of_supervised_lines(method):
    for name, setting in (("targets", "last"), ("fix", True)):
        with pytest.raises(InvalidArgumentError, match=f"{name} belongs to method='supervised'"):
            Convert(method=method, **{name: setting})
