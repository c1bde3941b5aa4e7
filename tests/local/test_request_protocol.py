"""Requests to models: what is read, and how OpenAI's errors report what is refused."""

import pytest

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.serving.chat.protocol import ChatRequest
from langchain_finetune.local.serving.completions.protocol import CompletionRequest
from langchain_finetune.local.serving.responses.protocol import ResponseRequest

SECRET = "my secret"
CHAT = {"model": "nano", "messages": [{"role": "user", "content": SECRET}]}
PROMPT = {"model": "nano", "prompt": SECRET}
RESPONSE = {"model": "nano", "input": SECRET}
TOOL = {"type": "function", "function": {"name": "add"}}
NAMED = {"type": "function", "function": {"name": "add"}}


def read(kind, body):
    """A request that is read as far as it is before a model answers."""
    request = kind.read(body)
    return request.chat if kind is ResponseRequest else request


def refused(kind, body):
    with pytest.raises(ApiError) as caught:
        read(kind, body)
    error = caught.value
    assert error.status == 400
    assert SECRET not in error.message
    assert len(error.message) < 300
    return error.code, error.param


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"model": None}, "missing_required_parameter", "model"),
        ({"messages": None}, "missing_required_parameter", "messages"),
        ({"model": 1}, "invalid_value", "model"),
        ({SECRET[:2]: SECRET}, "unknown_parameter", "my"),
        ({"temperature": "1"}, "invalid_value", "temperature"),
        ({"temperature": True}, "invalid_value", "temperature"),
        ({"temperature": float("nan")}, "invalid_value", "temperature"),
        ({"temperature": 10**400}, "invalid_value", "temperature"),
        ({"n": 1.0}, "invalid_value", "n"),
        ({"n": True}, "invalid_value", "n"),
        ({"stream": "yes"}, "invalid_value", "stream"),
        ({"stream": True, "stream_options": []}, "invalid_value", "stream_options"),
        (
            {"stream": True, "stream_options": {SECRET[:2]: 1}},
            "unknown_parameter",
            "stream_options.my",
        ),
        ({"stream": False, "stream_options": {}, "seed": SECRET}, "invalid_value", "seed"),
        ({"stop": [SECRET] * 5}, "invalid_value", "stop"),
        ({"stop": 1}, "invalid_value", "stop"),
        ({"logit_bias": {"9" * 5000: 1}}, "invalid_value", "logit_bias"),
        ({"logit_bias": {SECRET: 1}}, "invalid_value", "logit_bias"),
        ({"modalities": ["audio"]}, "unsupported_value", "modalities"),
        ({"response_format": SECRET}, "invalid_value", "response_format"),
        ({"response_format": {"type": SECRET}}, "unsupported_value", "response_format.type"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a"}}},
            "missing_required_parameter",
            "response_format.json_schema.schema",
        ),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": SECRET, "schema": {}},
                }
            },
            "invalid_value",
            "response_format.json_schema.name",
        ),
        ({"tool_choice": SECRET}, "invalid_value", "tool_choice"),
        ({"tool_choice": NAMED}, "invalid_value", "tool_choice"),
        (
            {"tools": [TOOL], "tool_choice": {"type": "allowed_tools", "allowed_tools": {}}},
            "invalid_value",
            "tool_choice",
        ),
        ({"functions": [{"name": "f"}], "function_call": "required"}, "invalid_value", None),
    ],
    ids=lambda value: str(value)[:40],
)
def test_chats_that_are_refused(fields, code, param):
    assert refused(ChatRequest, CHAT | fields) == (code, param or "function_call")


def test_null_counts_as_not_given():
    names = set(ChatRequest.model_fields) - {"model", "messages"}
    request = ChatRequest.read(CHAT | dict.fromkeys(names))
    assert request == ChatRequest.read(CHAT)
    assert (request.n, request.stops, request.alternatives) == (1, [], None)
    assert (request.shape, request.calls, request.one_call) == (None, True, False)


def test_the_newer_limit_of_tokens_counts():
    request = ChatRequest.read(CHAT | {"max_tokens": 5, "max_completion_tokens": 7})
    assert request.token_limit == 7
    assert ChatRequest.read(CHAT | {"max_tokens": 5}).token_limit == 5
    assert CompletionRequest.read(PROMPT).token_limit == 16


@pytest.mark.parametrize(
    ("choice", "free", "names", "named"),
    [
        ("required", False, ["add", "sub"], False),
        (NAMED, False, ["add"], True),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [NAMED]}},
            True,
            ["add"],
            False,
        ),
    ],
)
def test_the_form_that_a_choice_of_tools_asks_for(choice, free, names, named):
    other = {"type": "function", "function": {"name": "sub", "strict": True}}
    request = ChatRequest.read(CHAT | {"tools": [TOOL, other], "tool_choice": choice})
    assert (request.shape.free, request.named) == (free, named)
    assert [tool.name for tool in request.shape.tools] == names
    assert request.shape.parallel is not named
    none = ChatRequest.read(CHAT | {"tools": [TOOL, other], "tool_choice": "none"})
    assert (none.shape, none.calls, none.chat) == (None, False, {"messages": CHAT["messages"]})


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"prompt": None}, "missing_required_parameter", "prompt"),
        ({"prompt": [True]}, "invalid_value", "prompt"),
        ({"prompt": [[]]}, "invalid_value", "prompt"),
        ({"prompt": {"a": 1}}, "invalid_value", "prompt"),
        ({"best_of": 2}, "invalid_value", "best_of"),
        ({"suffix": SECRET}, "unsupported_value", "suffix"),
        ({"metadata": {}}, "unknown_parameter", "metadata"),
    ],
)
def test_completions_that_are_refused(fields, code, param):
    assert refused(CompletionRequest, PROMPT | fields) == (code, param)


@pytest.mark.parametrize(
    ("prompt", "prompts"),
    [("a", ["a"]), ([1, 2], [[1, 2]]), (["a", [3]], ["a", [3]]), ([[1], [2]], [[1], [2]])],
)
def test_prompts_are_texts_or_tokens(prompt, prompts):
    assert CompletionRequest.read(PROMPT | {"prompt": prompt}).prompts == prompts


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"input": None}, "missing_required_parameter", "input"),
        ({"input": [SECRET]}, "unsupported_value", "input[0]"),
        ({"input": [{"type": [SECRET]}]}, "unsupported_value", "input[0]"),
        ({"input": [{"role": "user"}]}, "missing_required_parameter", "input[0].content"),
        (
            {"input": [{"type": "function_call_output", "call_id": 1, "output": SECRET}]},
            "invalid_value",
            "input[0].call_id",
        ),
        ({"tools": [{"type": SECRET}]}, "unsupported_value", "tools"),
        ({"text": {"format": SECRET}}, "invalid_value", "text.format"),
        ({"top_logprobs": 2}, "invalid_value", "top_logprobs"),
        ({"background": True}, "unsupported_value", "background"),
    ],
)
def test_responses_that_are_refused(fields, code, param):
    assert refused(ResponseRequest, RESPONSE | fields) == (code, param)


def test_a_response_comes_back_with_what_was_asked():
    tool = {"type": "function", "name": "add", "parameters": {"type": "object", "default": None}}
    request = ResponseRequest.read(
        RESPONSE | {"tools": [tool], "instructions": "Add.", "text": {"format": None}}
    )
    echoed = request.echoed()
    assert echoed["tools"] == [tool | {"strict": None}]
    assert (echoed["tool_choice"], echoed["text"]) == ("auto", {"format": {"type": "text"}})
    assert request.chat.messages[0] == {"role": "system", "content": "Add."}
    inner = {name: value for name, value in tool.items() if name != "type"}
    assert request.chat.tools == [{"type": "function", "function": inner}]
