"""Forms that few tracers write, of messages, settings and spans: read, or a skip with a reason."""

import json

import pytest

from langchain_finetune import Convert, RunFileChatLoader
from langchain_finetune.content import wire_content
from langchain_finetune.dialects.corrections import corrected
from langchain_finetune.dialects.finish_reasons import cut_off
from langchain_finetune.dialects.opik import is_trace
from langchain_finetune.dialects.otel_spans import spans_of
from langchain_finetune.dialects.response_formats import (
    UNKNOWN_FORMAT,
    response_format,
    strict_schema,
)
from langchain_finetune.dialects.run import read_run
from langchain_finetune.dialects.stored_trace import hex_id
from langchain_finetune.display.messages import read_message
from langchain_finetune.messages import UnreadableChatError
from support.dialects import ASKED, FOUND, ITEM_CALL, ITEM_TOLD, QUESTION, TOLD, span, wrapped
from support.runs import TOOL, WIRE_SENT
from unit.test_stored_rows import mlflow_trace, observation

ASKS = {"role": "user", "content": "A room?"}
SCHEMA = {"type": "object", "properties": {"beds": {"type": "integer"}}}


def wire_of(data):
    [session] = read_run(data)
    return session["messages"].wire


def code_of(data):
    with pytest.raises(UnreadableChatError) as caught:
        read_run(data)
    return caught.value.code


def openinference(**numbered):
    given = {"openinference.span.kind": "LLM"}
    for prefix, messages in numbered.items():
        for place, message in enumerate(messages):
            for key, value in message.items():
                given[f"llm.{prefix}_messages.{place}.message.{key}"] = value
    return span(**given)


def test_openinference_spells_out_parts_names_and_results():
    call = {
        "role": "assistant",
        "tool_calls.0.tool_call.id": "call_5",
        "tool_calls.0.tool_call.function.name": "find_room",
        "tool_calls.0.tool_call.function.arguments": '{"beds": 2}',
    }
    parts = {
        "role": "user",
        "name": "ann",
        "contents.0.message_content.type": "text",
        "contents.0.message_content.text": "Like this?",
        "contents.1.message_content.type": "image",
        "contents.1.message_content.image.image.url": "https://example.com/a.png",
    }
    told = {"role": "tool", "tool_call_id": "call_5", "content": "Room 7"}
    data = openinference(input=[parts, call, told], output=[TOLD])
    data["attributes"]["llm.tools.0.tool.json_schema"] = json.dumps(TOOL)
    asked, called, found, answer = wire_of(data)
    assert asked["name"] == "ann"
    assert asked["content"] == [
        {"type": "text", "text": "Like this?"},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
    ]
    assert called["tool_calls"][0]["function"]["name"] == "find_room"
    assert (found["tool_call_id"], answer) == ("call_5", TOLD)


def test_an_attribute_below_a_text_does_not_hide_the_text():
    data = openinference(input=[{**ASKS, "content.extra": "x"}], output=[TOLD])
    assert wire_of(data) == [ASKS, TOLD]


def test_content_of_numbered_attributes_may_be_a_list_as_json():
    parts = json.dumps([{"type": "text", "text": "A room?"}])
    prompt = {"gen_ai.prompt.0.role": "user", "gen_ai.prompt.0.content": parts}
    data = span(**prompt, gen_ai__completion__0__content="Yes.")
    assert wire_of(data)[0]["content"] == [{"type": "text", "text": "A room?"}]


def conventions(**attributes):
    sent = [{"role": "user", "parts": [{"type": "text", "content": "A room?"}]}]
    came = [{"role": "assistant", "parts": [{"type": "text", "content": "Yes."}]}]
    given = {"gen_ai__input__messages": sent, "gen_ai__output__messages": came} | attributes
    return span(**{key: json.dumps(value) for key, value in given.items()})


def test_a_message_of_the_conventions_may_have_content_in_place_of_parts():
    assert wire_of(conventions(gen_ai__input__messages=[ASKS]))[0] == ASKS


def test_tools_that_pydantic_ais_provider_runs_are_a_skip():
    request = {"native_tools": [{"kind": "web_search"}]}
    assert code_of(conventions(model_request_parameters=request)) == "unsupported_tools"


@pytest.mark.parametrize(
    ("attributes", "named"),
    [
        (
            {"gen_ai.request.structured_output_schema": {**SCHEMA, "title": "Room"}},
            {"name": "Room", "schema": {**SCHEMA, "title": "Room"}},
        ),
        (
            {
                "model_request_parameters": {
                    "output_mode": "native",
                    "output_object": {"name": "Room", "strict": True, "json_schema": SCHEMA},
                }
            },
            {"name": "Room", "strict": True, "schema": SCHEMA},
        ),
    ],
)
def test_a_response_format_of_a_span_is_read(attributes, named):
    [session] = read_run(conventions(**attributes))
    assert session["response_format"] == {"type": "json_schema", "json_schema": named}


def test_attributes_of_otlp_may_be_objects(tmp_path):
    pairs = [
        {"key": "role", "value": {"stringValue": "user"}},
        {"key": "content", "value": {"stringValue": "A room?"}},
    ]
    message = {"kvlistValue": {"values": pairs}}
    attributes = [
        {"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}},
        {"key": "gen_ai.input.messages", "value": {"arrayValue": {"values": [message]}}},
        {
            "key": "gen_ai.output.messages",
            "value": {
                "stringValue": json.dumps(
                    [{"role": "assistant", "parts": [{"type": "text", "content": "Yes."}]}]
                )
            },
        },
    ]
    made = {"traceId": "AA==", "spanId": "AQ==", "attributes": attributes}
    path = tmp_path / "spans.jsonl"
    path.write_text(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [made]}]}]}))
    [line] = Convert().invoke(RunFileChatLoader(path).invoke({}))
    assert line["messages"] == [ASKS, {"role": "assistant", "content": "Yes."}]


def test_what_is_no_request_of_otlp_is_a_span_itself():
    assert spans_of({"resourceSpans": "many"}) == [{"resourceSpans": "many"}]


def ai_sdk(**attributes):
    messages = json.dumps([ASKS])
    given = {"ai.prompt.messages": messages, "ai.operationId": "ai.generateText.doGenerate"}
    return span(**given, **attributes)


def test_spans_of_the_ai_sdk_that_lack_an_answer_are_skips():
    assert code_of(ai_sdk()) == "no_outputs"
    broken = ai_sdk(ai__response__text="Yes.", ai__response__toolCalls="[{")
    assert wire_of(broken)[-1] == {"role": "assistant", "content": "Yes."}


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"response_format": {"type": "json"}}, {"type": "json_object"}),
        (
            {"response_format": {"properties": SCHEMA["properties"]}},
            {"type": "json_schema", "json_schema": {"schema": SCHEMA, "name": "response"}},
        ),
        ({"response_format": {"strict": True}}, UNKNOWN_FORMAT),
        (
            {"text_format": {"title": "A", "properties": {"b": {"$ref": "#/x", "title": "B"}}}},
            UNKNOWN_FORMAT,
        ),
    ],
)
def test_response_formats_are_read_or_known_to_be_unknown(params, expected):
    found = response_format(params)
    assert found["type"] == expected["type"]
    if "json_schema" in expected:
        assert found["json_schema"]["schema"]["properties"] == SCHEMA["properties"]


def test_a_schema_that_allows_anything_stays_as_it_is():
    assert strict_schema({"type": "object", "properties": {"a": True}})["properties"]["a"] is True


@pytest.mark.parametrize(
    ("holder", "reason"),
    [
        ({"incomplete_details": {"reason": "max_output_tokens"}}, "max_output_tokens"),
        ({"incomplete_details": {"reason": "other"}}, "incomplete"),
        ({"finish_reasons": ["stop", "length"]}, "length"),
        ({"finish_reasons": ["stop"]}, None),
    ],
)
def test_why_an_answer_is_incomplete(holder, reason):
    assert cut_off(holder) == reason


def rows_of(tmp_path, *rows):
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return RunFileChatLoader(path, score="ok")


def test_langfuse_may_have_a_requests_tools_in_the_metadata(tmp_path):
    row = observation(input=[*WIRE_SENT, ASKED, FOUND], output=TOLD, metadata={"tools": [TOOL]})
    [line] = (rows_of(tmp_path, row) | Convert()).invoke({})
    assert line["tools"] == [TOOL]


def test_a_message_of_langfuse_with_an_unknown_role_is_a_skip(tmp_path):
    asked = [{"role": "narrator", "content": "It rains."}, ASKS]
    row = observation(input=asked, output=TOLD, metadata={"ls_model_type": "chat"})
    examples = (rows_of(tmp_path, row) | Convert()).invoke({})
    assert list(examples) == []
    assert [(skip.id, skip.code) for skip in examples.rejected] == [("o-1", "unknown_role")]


def ai_sdk_result(output, **more):
    result = {"type": "tool-result", "toolCallId": "call_5", "output": output, **more}
    called = {
        "role": "assistant",
        "content": [
            {"type": "tool-call", "toolCallId": "call_5", "toolName": "find_room", "input": {}}
        ],
    }
    sent = [ASKS, called, {"role": "tool", "content": [result]}]
    return wrapped({"messages": sent, "tools": [TOOL]}, TOLD)


def test_what_the_ai_sdk_tells_of_a_call_that_was_not_allowed():
    assert wire_of(ai_sdk_result({"type": "execution-denied", "reason": "Ask first."}))[2] == {
        "role": "tool",
        "content": "Ask first.",
        "tool_call_id": "call_5",
    }
    denied = wire_of(ai_sdk_result({"type": "execution-denied"}))
    assert denied[2]["content"] == "Tool execution denied."


def test_what_a_providers_own_tool_returned_is_a_skip():
    assert code_of(ai_sdk_result("7", providerExecuted=True)) == "builtin_tool_call"


def test_assessments_of_mlflow_that_were_replaced_do_not_count(tmp_path):
    trace = mlflow_trace(
        mlflow__spanType="CHAT_MODEL",
        mlflow__spanInputs={"model": "m", "messages": WIRE_SENT},
        mlflow__spanOutputs={"choices": [{"message": TOLD}]},
    )
    old, new = (
        {"assessment_name": "ok", "feedback": {"value": value}, "valid": value == 1}
        for value in (0, 1)
    )
    trace["info"]["assessments"] = [new, old]
    [session] = rows_of(tmp_path, trace).load()
    assert session["score"] == 1


def test_a_call_of_mlflow_whose_arguments_are_no_object_is_kept_as_it_is(tmp_path):
    function = {"name": "find_room", "arguments": "two beds"}
    call = {"id": "call_5", "type": "function", "function": function}
    trace = mlflow_trace(
        mlflow__spanType="CHAT_MODEL",
        mlflow__message__format="langchain",
        mlflow__spanInputs={"messages": [ASKS, {**ASKED, "tool_calls": [call]}, FOUND]},
        mlflow__spanOutputs={"choices": [{"message": TOLD}]},
        invocation_params={"tools": [TOOL]},
    )
    [session] = rows_of(tmp_path, trace).load()
    assert session["messages"].wire[1]["tool_calls"][0]["function"]["arguments"] == "two beds"


def test_an_answer_of_several_messages_is_one():
    output = [ITEM_TOLD, {**ITEM_TOLD, "id": "msg_2"}, ITEM_CALL]
    answer = wire_of(wrapped({"input": QUESTION, "tools": [TOOL]}, {"output": output}))[-1]
    assert answer["content"].endswith("Room 7 is free.Room 7 is free.")
    assert [call["id"] for call in answer["tool_calls"]] == ["call_5"]


def test_an_answer_of_several_messages_with_media_is_a_skip():
    image = {**ITEM_TOLD, "content": [{"type": "image_url", "image_url": {"url": "https://a/b"}}]}
    data = wrapped({"input": QUESTION}, {"output": [ITEM_TOLD, image]})
    assert code_of(data) == "unsupported_content"


def test_instructions_of_an_unknown_form_are_a_skip():
    assert code_of(wrapped({"messages": [ASKS], "instructions": 5}, TOLD)) == "unread_setting"


def test_texts_in_the_options_of_a_provider_are_not_passed_over():
    options = {"providerOptions": {"openai": {"instructions": "Rhyme."}}}
    data = wrapped({"messages": [ASKS], **options}, TOLD)
    assert {"role": "system", "content": "Rhyme."} in wire_of(data)


def test_an_id_that_only_looks_like_base64_stays():
    assert hex_id("not-base64!!") == "not-base64!!"


def test_a_better_answer_is_complete():
    [session] = read_run(wrapped({"messages": WIRE_SENT}, TOLD))
    session["source"] = {**session["source"], "finish_reason": "length"}
    assert "finish_reason" not in corrected(session, "Room 8.")["source"]


def test_parts_of_gemini_without_a_role_are_one_message():
    data = wrapped({"contents": ["A room?", "For two."]}, TOLD)
    assert wire_of(data)[0] == {
        "role": "user",
        "content": [{"type": "text", "text": "A room?"}, {"type": "text", "text": "For two."}],
    }


def test_a_trace_of_opik_is_known_by_its_spans():
    assert is_trace({"trace": {}, "spans": []})
    assert not is_trace({"trace": {}})


def test_a_tool_whose_parameters_are_no_schema_is_kept_for_the_checks():
    tool = {"name": "find_room", "description": "Find a room.", "input_schema": "any"}
    [session] = read_run(wrapped({"messages": [ASKS], "tools": [tool]}, TOLD))
    assert session["tools"][0]["function"]["parameters"] == "any"


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (
            {"type": "non_standard", "value": {"type": "text", "text": "Hi"}},
            {"type": "text", "text": "Hi"},
        ),
        (
            {"type": "file", "source_type": "id", "id": "file-1"},
            {"type": "file", "file": {"file_id": "file-1"}},
        ),
    ],
)
def test_blocks_of_langchain_are_read(block, expected):
    assert wire_content([block]) == [expected]


@pytest.mark.parametrize(
    "block",
    [
        {"type": "media", "mime_type": "application/pdf", "file_uri": "gs://a/b"},
        {"type": "file", "file": {"file_data": "https://example.com/a.pdf"}},
    ],
)
def test_files_that_are_elsewhere_are_a_skip(block):
    with pytest.raises(UnreadableChatError, match="A file without data"):
        wire_content([block])


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ({"type": "chat", "data": {"role": "user", "content": "Hi"}}, ("user", "Hi")),
        ({"type": "AIMessageChunk", "content": "Hi"}, ("assistant", "Hi")),
        (
            {
                "role": "user",
                "content": [
                    {"type": "image", "source": {"data": "QUJD", "media_type": "image/png"}}
                ],
            },
            ("user", "Image (image/png, 3 bytes)"),
        ),
        (
            {"role": "user", "content": [{"type": "image", "base64": "QUJD"}]},
            ("user", "Image (unknown type, 3 bytes)"),
        ),
    ],
)
def test_messages_of_older_forms_are_shown(message, shown):
    found = read_message(message)
    assert (found.role, found.parts[0].text) == shown


def test_the_calls_of_2023_are_shown():
    call = {"name": "find_room", "arguments": '{"beds": 2}'}
    found = read_message({"role": "assistant", "content": None, "function_call": call})
    assert [(each.name, each.arguments) for each in found.calls] == [("find_room", '{"beds": 2}')]
