"""A dataset's example reads like a run's chat, whichever provider's form it is in."""

import pytest

from langchain_finetune.dialects.chat_example import read_example
from langchain_finetune.messages import UnreadableChatError
from support.dialects import (
    ANTHROPIC_TOOL,
    FLAT_TOOL,
    FOUND,
    INSTRUCTIONS,
    ITEM_TOLD,
    QUESTION,
    TALKING,
    THINKING,
    TOLD,
    TOOL_USE,
    ai,
)
from support.runs import CALL, SENT, TOOL, WIRE_ANSWER, WIRE_SENT


def test_tools_and_blocks_of_other_providers_become_openais():
    result = {"type": "tool_result", "tool_use_id": "call_5", "content": "Room 7"}
    sent = [
        *WIRE_SENT,
        {"role": "assistant", "content": [THINKING, TOOL_USE]},
        {"role": "user", "content": [result]},
    ]
    [session] = read_example({"messages": sent, "tools": [ANTHROPIC_TOOL]}, {"message": TOLD})
    assert session["tools"] == [TOOL]
    wire = session["messages"].wire
    assert wire[2].keys() == {"role", "content", "tool_calls"}
    assert wire[3:] == [FOUND, TOLD]


def test_the_flat_form_and_pairs_are_read():
    inputs = {
        "input": [{"type": "human", "data": {"content": "Hi"}}, ["ai", "Yes?"], ["user", "A"]]
    }
    [session] = read_example(inputs, {"output": {"type": "ai", "data": {"content": "B"}}})
    assert [message["role"] for message in session["messages"].wire] == [
        "user",
        "assistant",
        "user",
        "assistant",
    ]


def test_reasoning_is_counted_or_kept():
    answer = {"role": "assistant", "content": "4", "reasoning_content": "Two beds."}
    inputs = {"messages": WIRE_SENT}
    [session] = read_example(inputs, {"message": answer})
    assert session["source"] == {"dropped_reasoning": "1"}
    assert "reasoning_content" not in session["messages"].wire[-1]
    [session] = read_example(inputs, {"message": answer}, "keep")
    assert "source" not in session
    assert session["messages"].wire[-1] == answer


FLAT_SENT = [
    {"type": "system", "content": INSTRUCTIONS},
    {"type": "human", "content": QUESTION, "id": "1", "additional_kwargs": {}},
]
FLAT_TOLD = {"type": "ai", "content": TOLD["content"], "name": "agent", "id": "2"}


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        ({"messages": WIRE_SENT}, {"choices": [{"message": TOLD, "finish_reason": "stop"}]}),
        ({"messages": WIRE_SENT}, TOLD),
        ({"messages": WIRE_SENT}, {"messages": [TOLD]}),
        ({"messages": WIRE_SENT}, {"output": TOLD["content"]}),
        ({"messages": WIRE_SENT}, {"output": {"choices": [{"message": TOLD}]}}),
        ({"messages": WIRE_SENT[1:], "system": INSTRUCTIONS}, {"output": TOLD}),
        ({"messages": [SENT]}, {"generations": [[{"message": ai(TOLD["content"], name="agent")}]]}),
        ({"input": WIRE_SENT[1:], "instructions": INSTRUCTIONS}, {"output": [ITEM_TOLD]}),
        ({"input": QUESTION, "instructions": INSTRUCTIONS}, {"output": [ITEM_TOLD]}),
        ({"messages": FLAT_SENT}, {"messages": [*FLAT_SENT, FLAT_TOLD]}),
    ],
)
def test_examples_made_of_runs_are_read_as_runs_are(inputs, outputs):
    [session] = read_example(inputs, outputs)
    assert session["messages"].wire == TALKING["messages"]


def test_the_state_of_a_graph_is_its_messages_and_what_the_agent_added():
    asked = {"type": "ai", "content": "", "name": "agent", "tool_calls": [CALL]}
    found = {"type": "tool", "content": "Room 7", "tool_call_id": "call_5", "name": "find_room"}
    outputs = {"messages": [*FLAT_SENT, asked, found, FLAT_TOLD], "structured_response": None}
    [session] = read_example({"messages": FLAT_SENT, "tools": [FLAT_TOOL]}, outputs)
    assert session["messages"].wire == [*WIRE_SENT, WIRE_ANSWER, FOUND, TOLD]
    assert session["tools"] == [TOOL]


def test_each_answer_of_a_run_is_a_session():
    choices = [{"message": TOLD}, {"message": {**TOLD, "content": "B"}, "finish_reason": "length"}]
    first, second = read_example({"messages": WIRE_SENT}, {"choices": choices})
    assert (first["source"], second["source"]) == (
        {"answer": "0"},
        {"answer": "1", "finish_reason": "length"},
    )


@pytest.mark.parametrize(
    ("inputs", "outputs", "code"),
    [
        ({"question": "A"}, {"answer": "B"}, "no_chat"),
        ({"input": "A"}, {"output": "B"}, "no_chat"),
        ({"messages": WIRE_SENT}, {}, "no_answer"),
        ({"messages": WIRE_SENT}, {"verdict": True}, "no_answer"),
        ({"messages": WIRE_SENT, "documents": ["Breakfast is at 8."]}, TOLD, "unread_setting"),
    ],
)
def test_other_examples_have_a_true_reason(inputs, outputs, code):
    with pytest.raises(UnreadableChatError) as caught:
        read_example(inputs, outputs)
    assert caught.value.code == code
    assert "run" not in str(caught.value)
