"""Tools of each provider's form become tools of OpenAI's."""

import pytest

from langchain_finetune.dialects.run import read_run
from support.dialects import ANTHROPIC_TOOL, FLAT_TOOL, ai, traced
from support.runs import TOOL


@pytest.mark.parametrize(
    "tool", [TOOL, FLAT_TOOL, ANTHROPIC_TOOL, {**ANTHROPIC_TOOL, "type": "custom"}]
)
def test_tools_of_each_provider_become_openais(tool):
    [session] = read_run(traced(ai("x"), tools=[tool]))
    assert session["tools"] == [TOOL]
    assert list(session["tools"][0]["function"]["parameters"]) == ["type", "properties"]


def test_bedrocks_tools_are_read():
    spec = {"name": "find_room", "description": "Find a room."}
    schema = {"json": TOOL["function"]["parameters"]}
    [session] = read_run(traced(ai("x"), tools=[{"toolSpec": {**spec, "inputSchema": schema}}]))
    assert session["tools"] == [TOOL]


def test_anthropics_word_for_one_call_at_a_time_is_read():
    choice = {"type": "auto", "disable_parallel_tool_use": True}
    [session] = read_run(traced(ai("x"), tools=[ANTHROPIC_TOOL], tool_choice=choice))
    assert session["parallel_tool_calls"] is False
