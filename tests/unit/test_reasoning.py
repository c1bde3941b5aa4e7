"""A model's reasoning is left out and counted, or kept, wherever it stands."""

import json

import pytest

from langchain_finetune import LangSmithRunChatLoader, RunFileChatLoader
from langchain_finetune.dialects.run import read_run
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


@pytest.mark.parametrize(
    "row",
    [
        chat({"role": "assistant", "content": "x", "reasoning_content": "Two beds."}),
        {
            "messages": [
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": "x", "reasoning_content": "Two beds."},
            ]
        },
    ],
    ids=["run", "training line"],
)
def test_files_drop_and_count_it_or_keep_it(tmp_path, row):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row) + "\n")
    sessions = RunFileChatLoader(path).invoke({})
    [session] = sessions
    assert "reasoning_content" not in session["messages"].wire[-1]
    assert sessions.notes["dropped_reasoning"] == 1
    kept = RunFileChatLoader(path, reasoning="keep").invoke({})
    assert [each["messages"].wire[-1]["reasoning_content"] for each in kept] == ["Two beds."]
    assert list(RunFileChatLoader(path).invoke({"reasoning": "keep"})) == list(kept)
