"""What a user's own function raises is told with the chat and the function, without any text."""

import json

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from langchain_finetune import (
    Convert,
    ConvertError,
    LangSmithRunChatLoader,
    LoadError,
    RunFileChatLoader,
    Split,
)
from support.runs import run

SESSION = {
    "messages": [HumanMessage("It is Zebulon."), AIMessage("Hello")],
    "source": {"run_id": "run-7", "trace_id": "trace-7"},
}


class MineError(Exception):
    pass


def broken(*given):
    raise MineError(f"I can not read {given}")


def told(make, kind, function, chat_id):
    with pytest.raises(kind) as caught:
        list(make())
    said = str(caught.value)
    assert f"Your function `{function}` failed for chat {chat_id}" in said
    assert "Zebulon" not in said
    assert isinstance(caught.value.__cause__, MineError)


@pytest.mark.parametrize(
    ("function", "settings"),
    [
        ("redact", {"redact": broken}),
        ("targets", {"targets": broken}),
        ("by", {"split": Split(test=0.1, by=broken)}),
    ],
)
def test_functions_of_convert(function, settings):
    told(lambda: Convert(**settings).invoke([SESSION]), ConvertError, function, "run-7")


def test_the_condition_of_a_loader(tmp_path):
    data = run()
    path = tmp_path / "runs.jsonl"
    path.write_text(json.dumps(data))
    for loader in (
        RunFileChatLoader(path, where=broken),
        LangSmithRunChatLoader([data], where=broken),
    ):
        told(lambda loader=loader: loader.invoke({}), LoadError, "where", data["id"])


def test_ctrl_c_in_a_function_goes_through():
    def stop(text):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(Convert(redact=stop).invoke([SESSION]))
