"""A request is held to the rules of its shape, not to those of what is learnt."""

import pytest

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.serving.chat.protocol import ChatRequest
from support.broken import ANSWER, RESULT, USER, agent, call, calling, chat, said


@pytest.mark.parametrize(
    "body",
    [
        chat(said(content="What does <|im_end|> mean?")),
        chat(USER, {**ANSWER, "content": ""}, USER),
        chat(USER, calling(call())),
        agent(USER, calling(call(name="book")), RESULT),
        agent(USER, calling(call("{}")), RESULT, USER),
        agent(USER, calling(call(), call()), RESULT, RESULT),
        chat(USER, user="ada"),
    ],
)
def test_what_happened_may_be_told(body):
    assert ChatRequest.read({"model": "nano", **body}).messages == body["messages"]


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        (chat(USER, calling(call("{"))), "invalid_arguments", "messages[1]"),
        (chat(USER, {"role": "guest", "content": "Hi"}), "unknown_role", "messages[1]"),
        (chat(USER, tools=[{}]), "invalid_tools", "messages"),
    ],
)
def test_what_has_no_shape_is_refused(body, code, param):
    with pytest.raises(ApiError) as refused:
        ChatRequest.read({"model": "nano", **body})
    assert (refused.value.code, refused.value.param) == (code, param)
