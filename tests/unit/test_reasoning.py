"""A model's reasoning is left out and counted, or kept, wherever it stands."""

import pytest

from langchain_finetune import LangSmithRunChatLoader
from langchain_finetune.loaders.payloads.run import read_run
from support.dialects import ITEM_TOLD, ITEMS, THINKING, THOUGHT, ai, chat, traced, wrapped


def test_reasoning_is_dropped_and_counted_or_kept():
    hidden = {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "xyz"}
    data = wrapped({"input": ITEMS}, {"output": [THOUGHT, hidden, ITEM_TOLD]})
    [session] = read_run(data)
    assert session["source"]["dropped_reasoning"] == "3"
    assert "reasoning" not in str(session["messages"].wire)
    sessions = LangSmithRunChatLoader([data]).invoke({})
    assert len(list(sessions)) == 1
    assert sessions.notes == {"dropped_reasoning": 3}
    [session] = LangSmithRunChatLoader([data], reasoning="keep").load()
    assert session["source"]["dropped_reasoning"] == "1"
    assert [message.get("reasoning_content") for message in session["messages"].wire] == [
        None,
        None,
        "Two.",
        None,
        "Two.",
    ]
    assert session["messages"][-1].additional_kwargs["reasoning_content"] == "Two."


@pytest.mark.parametrize(
    "data",
    [
        traced(ai([THINKING, {"type": "text", "text": "x"}])),
        traced(ai("x", additional_kwargs={"reasoning_content": "Two beds."})),
        traced(ai("x", additional_kwargs={"reasoning": {"summary": [{"text": "Two beds."}]}})),
        chat({"role": "assistant", "content": "x", "reasoning_content": "Two beds."}),
        chat({"role": "assistant", "content": "x", "reasoning": "Two beds."}),
    ],
)
def test_reasoning_is_found_wherever_it_stands(data):
    kept = {"role": "assistant", "content": "x", "reasoning_content": "Two beds."}
    [session] = read_run(data, "keep")
    assert session["messages"].wire[-1] == kept
