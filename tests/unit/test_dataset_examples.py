"""A dataset's example reads like a run's chat, whichever provider's form it is in."""

from langchain_finetune.dialects.chat_example import read_example
from support.dialects import ANTHROPIC_TOOL, FOUND, THINKING, TOLD, TOOL_USE
from support.runs import TOOL, WIRE_SENT


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
