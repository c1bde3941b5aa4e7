"""OpenAI's wire format as chat templates take it."""

import json

import pytest

from langchain_finetune.local.chat_template import (
    RenderingError,
    render,
    supports_developer,
    to_template_input,
)
from tests.local.tiny_model import CALCULATOR, make_tiny_model


def messages(*given, **body):
    return to_template_input({"messages": given, **body}).messages


def call(arguments, call_id="call_1", name="calculator"):
    function = {"name": name, "arguments": arguments}
    return {"id": call_id, "type": "function", "function": function}


def test_arguments_become_objects():
    given = {"role": "assistant", "content": None, "tool_calls": [call('{"first": 1}')]}
    (message,) = messages(given)
    assert message["content"] == ""
    assert message["tool_calls"][0]["function"]["arguments"] == {"first": 1}
    assert given["tool_calls"][0]["function"]["arguments"] == '{"first": 1}', "the input is kept"


@pytest.mark.parametrize("arguments", ["{", "[1]", '"text"', None])
def test_arguments_that_are_no_object(arguments):
    given = {"role": "assistant", "content": "", "tool_calls": [call(arguments)]}
    with pytest.raises(RenderingError, match="JSON object") as caught:
        messages({"role": "user", "content": "hi"}, given)
    assert caught.value.index == 1


def test_content():
    parts = [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]
    assert messages({"role": "user", "content": parts})[0]["content"] == "one two"
    refusal = {"role": "assistant", "content": None, "refusal": "No."}
    assert messages(refusal)[0]["content"] == "No."
    image = [{"type": "image_url", "image_url": {"url": "data:secret"}}]
    with pytest.raises(RenderingError, match="text parts only"):
        messages({"role": "user", "content": image})


def test_text_beside_a_call_is_kept():
    given = {"role": "assistant", "content": "Let me see.", "tool_calls": [call("{}")]}
    assert messages(given)[0]["content"] == "Let me see."


def test_legacy_functions():
    body = {
        "messages": [
            {"role": "user", "content": "1 plus 2?"},
            {
                "role": "assistant",
                "content": None,
                "function_call": {"name": "calculator", "arguments": '{"first": 1}'},
            },
            {"role": "function", "name": "calculator", "content": "3"},
        ],
        "functions": [CALCULATOR["function"]],
    }
    given = to_template_input(body)
    assert given.tools == [CALCULATOR]
    called, result = given.messages[1:]
    assert called["tool_calls"][0]["function"] == {"name": "calculator", "arguments": {"first": 1}}
    assert result["role"] == "tool"
    assert result["name"] == "calculator"
    assert result["tool_call_id"] == called["tool_calls"][0]["id"]


def test_a_tool_result_gets_the_name_of_its_call():
    called = {"role": "assistant", "content": "", "tool_calls": [call("{}", "call_9")]}
    result = {"role": "tool", "tool_call_id": "call_9", "content": "3"}
    assert messages(called, result)[1]["name"] == "calculator"


def test_names_of_speakers_are_left_out():
    assert messages({"role": "user", "name": "Ada", "content": "hi"})[0] == {
        "role": "user",
        "content": "hi",
    }


def test_developer():
    body = {"messages": [{"role": "developer", "content": "Be brief."}]}
    assert to_template_input(body).messages[0]["role"] == "system"
    assert to_template_input(body, keep_developer=True).messages[0]["role"] == "developer"
    assert supports_developer("{% if message.role == 'developer' %}")
    assert not supports_developer(None)


def test_definitions_have_one_order():
    function = CALCULATOR["function"]
    mixed = {"parameters": function["parameters"], "strict": True} | function
    (tool,) = to_template_input({"messages": [], "tools": [{"function": mixed}]}).tools
    assert json.dumps(tool) == json.dumps(CALCULATOR)


def test_rendered_text(tmp_path):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(make_tiny_model(tmp_path))
    arguments = '{"city": "Zürich", "days": 2}'
    given = to_template_input(
        {
            "messages": [
                {"role": "developer", "content": "Be brief."},
                {"role": "user", "content": "Weather?"},
                {"role": "assistant", "content": None, "tool_calls": [call(arguments)]},
                {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
            ]
        }
    )
    assert render(tokenizer, given, add_generation_prompt=True) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n"
        "<|im_start|>user\nWeather?<|im_end|>\n"
        '<|im_start|>assistant\n<tool_call>\n{"name": "calculator", "arguments": '
        f"{arguments}}}\n</tool_call><|im_end|>\n"
        "<|im_start|>user\n<tool_response>\nsunny\n</tool_response><|im_end|>\n"
        "<|im_start|>assistant\n"
    )
