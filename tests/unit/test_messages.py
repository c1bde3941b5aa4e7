"""The wire form equals what langchain-openai sends, and survives the way there and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_openai.chat_models.base import _convert_message_to_dict

from langchain_finetune.messages import (
    UnreadableChatError,
    WireMessages,
    fields_to_wire,
    message_to_wire,
    wire_to_message,
)

CALL = {"name": "book_table", "args": {"guests": 2.0, "place": "Café"}, "id": "call_7"}
BAD_CALL = {"name": "book_table", "args": "{guests", "id": "call_8", "error": None}
PICTURE = {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}

MESSAGES = [
    HumanMessage("Hello", name="ada"),
    HumanMessage([{"type": "text", "text": "What is it?"}, PICTURE]),
    HumanMessage([{"type": "image", "base64": "QUJD", "mime_type": "image/png"}]),
    HumanMessage([{"type": "image", "url": "https://example.com/dog.png"}]),
    SystemMessage("Be brief."),
    SystemMessage("Be kind.", additional_kwargs={"__openai_role__": "developer"}),
    AIMessage("Good day"),
    AIMessage("", tool_calls=[CALL]),
    AIMessage("I book it.", tool_calls=[CALL]),
    AIMessage("", invalid_tool_calls=[BAD_CALL]),
    AIMessage("", additional_kwargs={"function_call": {"name": "f", "arguments": "{}"}}),
    ToolMessage("booked", tool_call_id="call_7", name="book_table"),
    FunctionMessage("5.0", name="f"),
    ChatMessage("Hm.", role="critic"),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: repr(message)[:60])
def test_wire_form_is_what_langchain_openai_sends(message):
    assert message_to_wire(message) == _convert_message_to_dict(message)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: repr(message)[:60])
def test_wire_form_survives_the_way_there_and_back(message):
    wire = message_to_wire(message)
    assert message_to_wire(wire_to_message(wire)) == wire


@given(st.text(), st.dictionaries(st.text(), st.integers() | st.text() | st.none()))
def test_any_text_and_arguments_survive(text, arguments):
    call = {"name": "f", "args": arguments, "id": "1"}
    wire = message_to_wire(AIMessage(text, tool_calls=[call]))
    again = wire_to_message(wire)
    assert again.content == text
    assert again.tool_calls[0]["args"] == arguments


def test_streamed_arguments_stay_as_the_model_wrote_them():
    written = '{ "guests":2 }'
    chunk = AIMessageChunk(
        "", tool_call_chunks=[{"name": "f", "args": written, "id": "1", "index": 0}]
    )
    assert message_to_wire(chunk)["tool_calls"][0]["function"]["arguments"] == written


def test_calls_of_2023_are_read_from_additional_kwargs():
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    fields = {"content": "", "additional_kwargs": {"tool_calls": [{**call, "index": 0}]}}
    assert fields_to_wire("AIMessage", fields) == {
        "role": "assistant",
        "content": None,
        "tool_calls": [call],
    }


@pytest.mark.parametrize(
    ("kind", "fields", "code"),
    [
        ("PromptTemplate", {"content": "x"}, "unknown_message_type"),
        ("HumanMessage", {"content": 5}, "unsupported_content"),
        ("HumanMessage", {"content": [{"type": "reasoning"}]}, "unsupported_content"),
        ("HumanMessage", {"content": [{"type": "image"}]}, "unsupported_content"),
    ],
)
def test_what_the_wire_form_can_not_say_is_an_error_with_a_code(kind, fields, code):
    with pytest.raises(UnreadableChatError) as caught:
        fields_to_wire(kind, fields)
    assert caught.value.code == code


def test_wire_messages_read_as_a_sequence_of_messages():
    messages = WireMessages([{"role": "user", "content": "a"}, {"role": "system", "content": "b"}])
    assert len(messages) == 2
    assert messages == [HumanMessage("a"), SystemMessage("b")]
    assert messages[1:] == [SystemMessage("b")]
    assert messages[-1].content == "b"


def test_a_repr_shows_no_text():
    assert "secret" not in repr(WireMessages([{"role": "user", "content": "secret"}]))
