"""Each instrumentor's run becomes the example that the model saw, or a skip with a true reason."""

import copy
import json
import re

import pytest

from langchain_finetune import Convert, LangSmithRunChatLoader, RunFileChatLoader
from langchain_finetune.dialects.finish_reasons import cut_off
from langchain_finetune.dialects.otel_spans import as_run
from langchain_finetune.dialects.run import read_run
from langchain_finetune.messages import UnreadableChatError
from support.dialects import (
    ITEM_TOLD,
    OTEL_SENT,
    QUESTION,
    TALKING,
    TOLD,
    ai,
    chat,
    span,
    traced,
    wrapped,
)
from support.instrumentors import (
    AI_SDK_CALL,
    ASKING,
    CHOICE,
    DECLARED,
    RUNS_OF_APPS,
    ai_sdk,
    ai_sdk_span,
    gemini,
    js,
    langchain_js,
    litellm,
    openinference,
    pydantic_ai,
)
from support.runs import SENT, TOOL, WIRE_SENT


def converted(*runs, **settings):
    return (LangSmithRunChatLoader(list(runs)) | Convert(**settings)).invoke({})


def code_of(data):
    with pytest.raises(UnreadableChatError) as caught:
        read_run(data)
    return caught.value.code


def wire_of(data):
    [session] = read_run(data)
    return session["messages"].wire


@pytest.mark.parametrize("name", RUNS_OF_APPS)
def test_each_instrumentor_makes_the_example_that_the_model_saw(name):
    data, expected = RUNS_OF_APPS[name]
    before = copy.deepcopy(data)
    examples = converted(data)
    assert list(examples) == [expected]
    assert examples.rejected == []
    assert data == before


@pytest.mark.parametrize("name", RUNS_OF_APPS)
def test_each_instrumentor_reads_the_same_from_a_file(name, tmp_path):
    data, expected = RUNS_OF_APPS[name]
    path = tmp_path / "runs.jsonl"
    path.write_text(json.dumps(data) + "\n")
    assert list((RunFileChatLoader(path) | Convert()).invoke({})) == [expected]


SYSTEM = {"parts": [{"text": "You run "}, {"text": "a hotel."}]}


@pytest.mark.parametrize(
    "inputs",
    [
        {"system": "Be brief."},
        {"system_prompt": "Be brief."},
        {"systemInstruction": "Be brief."},
        {"config": {"system_instruction": ["Be brief."]}},
        {"config": {"system_instruction": {"role": "user", "parts": [{"text": "Be brief."}]}}},
        {"model_parameters": {"instructions": "Be brief."}},
        {"kwargs": {"system": [{"type": "text", "text": "Be brief.", "cache_control": {}}]}},
        {"extra_body": {"system": "Be brief."}},
    ],
    ids=json.dumps,
)
def test_instructions_are_found_wherever_they_stand(inputs):
    expected = [{"role": "system", "content": "Be brief."}, *ASKING, TOLD]
    assert wire_of(wrapped({"messages": ASKING, **inputs}, TOLD)) == expected
    apart = wrapped({"messages": ASKING}, TOLD, invocation_params=inputs)
    assert wire_of(apart) == expected
    traced_run = traced(ai(TOLD["content"]), SENT[1:], tools=(), **inputs)
    assert wire_of(traced_run) == expected


def test_instructions_that_are_among_the_messages_are_not_doubled():
    [system] = [message["content"] for message in WIRE_SENT if message["role"] == "system"]
    data = wrapped({"messages": WIRE_SENT, "system": system}, TOLD)
    assert wire_of(data) == TALKING["messages"]
    parts = [{"type": "text", "text": text} for text in ("You run ", "a hotel.")]
    data = wrapped({"messages": ASKING, "config": {"system_instruction": SYSTEM}}, TOLD)
    assert wire_of(data)[0] == {"role": "system", "content": parts}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("preamble", "Be brief."),
        ("systemPreamble", {"text": "Be brief."}),
        ("tool_definitions", [TOOL]),
        ("developer_prompt", "Be brief."),
        ("documents", [{"text": "Breakfast is at eight."}]),
        ("few_shot_examples", [{"input": "A", "output": "B"}]),
    ],
)
def test_a_setting_with_text_or_tools_that_nobody_reads_is_a_skip(field, value):
    for data in (
        wrapped({"messages": WIRE_SENT, field: value}, TOLD),
        wrapped({"messages": WIRE_SENT, "config": {field: value}}, TOLD),
        wrapped({"messages": WIRE_SENT}, TOLD, invocation_params={field: value}),
        traced(ai("x"), **{field: value}),
        wrapped({"input": QUESTION, field: value}, {"output": [ITEM_TOLD]}),
    ):
        assert code_of(data) == "unread_setting"


def test_text_that_the_messages_contain_is_no_skip():
    [question] = [message["content"] for message in ASKING]
    data = wrapped({"messages": WIRE_SENT, "prompt": question, "user_id": "prompt"}, TOLD)
    assert wire_of(data) == TALKING["messages"]


def test_another_unknown_setting_is_noted_by_name(tmp_path):
    data = wrapped(
        {"messages": WIRE_SENT, "model_parameters": {"temperature": 0, "wittiness": 3}},
        TOLD,
        invocation_params={"toolParallelism": True},
    )
    [session] = read_run(data)
    assert session["source"]["unread_settings"] == "tool_parallelism, wittiness"
    path = tmp_path / "runs.jsonl"
    path.write_text(json.dumps(data))
    for loader in (RunFileChatLoader(path), LangSmithRunChatLoader([data])):
        sessions = loader.invoke({})
        assert len(list(sessions)) == 1
        assert sessions.notes == {"unread_settings": 1}


@pytest.mark.parametrize(
    "function",
    [
        {"name": "f", "parameters_json_schema": {"type": "object"}},
        {"name": "f", "parametersJsonSchema": {"type": "object"}},
        {"name": "f", "input_schema": {"type": "object"}},
        {"name": "f", "inputSchema": {"type": "object"}},
        {"name": "f", "parameters": {"type": "OBJECT"}},
        {"name": "f", "parameters": {"type_": 6}},
        {"name": "f", "parameters": None, "inputSchema": {"type": "object"}},
    ],
    ids=json.dumps,
)
def test_a_tools_schema_is_found_under_every_name(function):
    expected = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    for tool in (
        {"type": "function", "function": function},
        {"type": "function", **function},
        {"function_declarations": [function]},
        {"functionDeclarations": [function]},
    ):
        assert read_run(chat(TOLD, tools=[tool]))[0]["tools"] == expected


def test_a_tool_whose_schema_has_an_unknown_name_is_a_skip():
    tool = {"type": "function", "function": {"name": "f", "arg_schema": {"type": "object"}}}
    assert code_of(chat(TOLD, tools=[tool])) == "unsupported_tools"


def test_geminis_schema_becomes_json_schema():
    declared = {
        "type": "OBJECT",
        "properties": {
            "beds": {"type": "INTEGER", "nullable": True, "title": None},
            "wishes": {"type": "ARRAY", "items": {"type": "STRING"}, "max_items": 3},
            "kind": {"any_of": [{"type": "STRING"}, {"type": "NUMBER"}]},
        },
        "property_ordering": ["beds"],
    }
    tools = [{"function_declarations": [{"name": "f", "parameters": declared}]}]
    [tool] = read_run(gemini({"content": "x", "role": "assistant"}, tools=tools))[0]["tools"]
    assert tool["function"]["parameters"] == {
        "type": "object",
        "properties": {
            "beds": {"type": ["integer", "null"]},
            "wishes": {"type": "array", "items": {"type": "string"}, "maxItems": 3},
            "kind": {"anyOf": [{"type": "string"}, {"type": "number"}]},
        },
    }


@pytest.mark.parametrize(
    "settings",
    [
        {"tools": [{"google_search": {}}]},
        {"tools": [{"function_declarations": [{"name": "f"}], "code_execution": {"x": 1}}]},
        {"tools": [{"type": "provider-defined", "id": "openai.web_search", "name": "w"}]},
        {"mcp_servers": [{"type": "url", "url": "https://example.com", "name": "m"}]},
        {"web_search_options": {"search_context_size": "low"}},
    ],
    ids=json.dumps,
)
def test_tools_that_the_provider_runs_are_a_skip(settings):
    assert code_of(wrapped({"messages": WIRE_SENT, "config": settings}, TOLD)) == (
        "unsupported_tools"
    )


CUT = [
    "length",
    "max_tokens",
    "MAX_TOKENS",
    "content_filter",
    "content-filter",
    "SAFETY",
    "refusal",
]


@pytest.mark.parametrize("reason", [*CUT, "FinishReason.MAX_TOKENS", "lengthlength"])
@pytest.mark.parametrize("keep", [False, True])
def test_a_cut_off_answer_is_left_out_and_counted(reason, keep):
    half = "Room 7 is"
    told = {"role": "assistant", "content": half}
    runs = [
        wrapped({"messages": WIRE_SENT}, {"choices": [{"message": told, "finish_reason": reason}]}),
        wrapped({"messages": WIRE_SENT}, {**told, "stop_reason": reason}),
        ai_sdk({**told, "finishReason": {"unified": reason}}),
        traced(ai(half, response_metadata={"finish_reason": reason})),
        traced(ai(half, response_metadata={"stop_reason": reason})),
        langchain_js(
            js("AIMessage", content=half, additional_kwargs={"finishReason": reason}), "x"
        ),
        span(
            gen_ai__input__messages=json.dumps(OTEL_SENT),
            gen_ai__output__messages=json.dumps(
                [{"role": "assistant", "parts": [{"type": "text", "content": half}]}]
            ),
            gen_ai__response__finish_reasons=[reason],
        ),
    ]
    in_generation = traced(ai(half))
    in_generation["outputs"]["generations"][0][0]["generation_info"] = {"finish_reason": reason}
    runs.append(in_generation)
    examples = converted(*runs, truncated="keep" if keep else "reject")
    assert len(list(examples)) == (len(runs) if keep else 0)
    if keep:
        assert examples.findings.warnings == {"truncated_answer": len(runs)}
    else:
        assert examples.rejected_by_reason() == {"truncated_answer": len(runs)}
        assert "Room" not in examples.rejected[0].reason


def test_an_incomplete_response_is_cut_off():
    data = wrapped(
        {"input": QUESTION},
        {
            "output": [ITEM_TOLD],
            "status": "incomplete",
            "incomplete_details": {"reason": "max_output_tokens"},
        },
    )
    examples = converted(data)
    assert list(examples) == []
    assert examples.rejected_by_reason() == {"truncated_answer": 1}
    assert read_run(data)[0]["source"]["finish_reason"] == "incomplete"
    item = {**ITEM_TOLD, "status": "incomplete"}
    assert read_run(wrapped({"input": QUESTION}, {"output": [item]}))[0]["source"]["finish_reason"]


@pytest.mark.parametrize(
    "reason",
    ["stop", "STOP", "tool_calls", "tool-calls", "end_turn", "tool_use", "stopstop", None, 7],
)
def test_a_whole_answer_is_none(reason):
    assert cut_off({"finish_reason": reason}, {"finishReason": {"unified": reason}}) is None


def test_a_cut_off_answer_of_the_history_is_seen_but_not_learnt():
    half = ai("Room 7 is", response_metadata={"finish_reason": "length"})
    [line] = list(converted(traced(ai("Room 7 is free."), [*SENT, half, SENT[1]])))
    assert line["messages"][2] == {"role": "assistant", "content": "Room 7 is", "weight": 0}
    assert "weight" not in line["messages"][-1]


def test_a_reason_beside_bedrocks_answer_is_read():
    answer = {"message": {"role": "assistant", "content": [{"text": "It is"}]}}
    outputs = {"output": answer, "stopReason": "max_tokens"}
    [session] = read_run(wrapped({"messages": ASKING}, outputs))
    assert session["source"]["finish_reason"] == "max_tokens"


def test_one_of_several_answers_may_be_cut_off():
    data = chat(TOLD)
    data["outputs"]["choices"].append({"message": TOLD, "finish_reason": "length"})
    examples = converted(data)
    assert list(examples) == [TALKING]
    assert examples.rejected_by_reason() == {"truncated_answer": 1}


def test_calls_without_an_id_get_one_the_same_each_time():
    call = {"type": "function", "function": {"name": "find_room", "arguments": '{"beds": 2}'}}
    asked = {"role": "assistant", "content": None, "tool_calls": [dict(call), dict(call)]}
    results = [
        {"role": "tool", "content": "7"},
        {"role": "tool", "content": "8", "tool_call_id": "x"},
    ]
    sent = [*WIRE_SENT, asked, *results]
    data = wrapped({"messages": sent, "tools": [TOOL]}, {"role": "assistant", "tool_calls": [call]})
    for _ in range(2):
        wire = wire_of(data)
        assert [call["id"] for call in wire[2]["tool_calls"]] == ["call_1", "x"]
        assert [result["tool_call_id"] for result in wire[3:5]] == ["call_1", "x"]
        assert wire[-1]["tool_calls"][0]["id"] == "call_2"
    assert len(list(converted(data))) == 1


def test_an_agents_name_with_a_space_was_not_sent():
    sent = [*SENT, ai("Yes?", name="Travel agent"), SENT[1]]
    for kind in ("openai-chat", "chat-google-generative-ai", None):
        wire = wire_of(traced(ai("x"), sent, _type=kind))
        assert "name" not in wire[2]
    [kept] = [
        message
        for message in wire_of(traced(ai("x"), [*SENT, ai("Yes?", name="agent"), SENT[1]]))
        if "name" in message
    ]
    assert kept["name"] == "agent"


@pytest.mark.parametrize("provider", ["google_genai", "amazon_bedrock", "mistral", "ollama"])
def test_providers_without_names_of_messages_saw_none(provider):
    data = traced(ai("x"), [*SENT, ai("Yes?", name="agent"), SENT[1]])
    data["extra"]["metadata"] = {"ls_provider": provider}
    assert all("name" not in message for message in wire_of(data))


DATA = "data:image/png;base64,QUJD"
IMAGE = {"type": "image_url", "image_url": {"url": DATA}}
PNG = "iVBORw0KGgoQUJD"
PNG_IMAGE = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
PDF = {"type": "file", "file": {"file_data": "data:application/pdf;base64,QUJD", "filename": "a"}}
SOUND = {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "mp3"}}


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ({"type": "image_url", "image_url": DATA}, IMAGE),
        ({"type": "file", "file": {"file_data": DATA}}, IMAGE),
        ({"type": "file", "file": {"filename": None, "file_data": DATA}}, IMAGE),
        ({"type": "file", "file": {"file_data": "data:audio/mpeg;base64,QUJD"}}, SOUND),
        ({"type": "inlineData", "inlineData": {"mimeType": "image/png", "data": "QUJD"}}, IMAGE),
        ({"inlineData": {"mimeType": "image/png", "data": "QUJD"}}, IMAGE),
        ({"type": "media", "mime_type": "image/png", "data": "QUJD"}, IMAGE),
        (
            {"type": "fileData", "fileData": {"mimeType": "image/png", "fileUri": "https://a/b"}},
            {"type": "image_url", "image_url": {"url": "https://a/b"}},
        ),
        ({"type": "file", "mediaType": "image/png", "data": "QUJD"}, IMAGE),
        ({"type": "file", "mediaType": "audio/mp3", "data": "QUJD"}, SOUND),
        ({"type": "file", "mediaType": "image/*", "data": PNG}, PNG_IMAGE),
        (
            {"type": "file", "mediaType": "image", "data": "https://a/b"},
            {"type": "image_url", "image_url": {"url": "https://a/b"}},
        ),
        ({"type": "file", "mediaType": "application/pdf", "filename": "a", "data": "QUJD"}, PDF),
        ({"text": "Hi"}, {"type": "text", "text": "Hi"}),
        ({"type": "text-plain", "text": "Hi"}, {"type": "text", "text": "Hi"}),
    ],
)
def test_blocks_of_every_instrumentor_are_read(block, expected):
    data = wrapped({"messages": [{"role": "user", "content": [block]}]}, TOLD)
    assert wire_of(data)[0]["content"] == [expected]


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ({"type": "blob", "modality": "image", "mime_type": "image/png", "content": "QUJD"}, IMAGE),
        ({"type": "binary", "media_type": "image/png", "content": "QUJD"}, IMAGE),
        ({"type": "blob", "modality": "image", "mime_type": None, "content": PNG}, PNG_IMAGE),
        ({"type": "blob", "modality": "image", "mime_type": None, "content": DATA}, IMAGE),
        ({"type": "uri", "modality": "image", "uri": DATA}, IMAGE),
        ({"type": "image-url", "url": DATA}, IMAGE),
        ({"type": "blob", "mime_type": "audio/mp3", "content": "QUJD"}, SOUND),
        ({"type": "file", "file_id": "f"}, {"type": "file", "file": {"file_id": "f"}}),
        ({"type": "text", "content": "Hi"}, {"type": "text", "text": "Hi"}),
    ],
)
def test_media_of_spans_are_read(part, expected):
    question = {"role": "user", "parts": [part, {"type": "text", "content": "What is it?"}]}
    wire = wire_of(pydantic_ai([question], [{"type": "text", "content": "A dot."}]))
    assert wire[0]["content"][0] == expected


def test_what_a_span_says_is_no_longer_visible_was_not_seen():
    parts = [
        {"type": "text", "content": "Old.", "visible": False},
        {"type": "text", "content": "A"},
    ]
    wire = wire_of(
        pydantic_ai([{"role": "user", "parts": parts}], [{"type": "text", "content": "B"}])
    )
    assert wire[0] == {"role": "user", "content": "A"}


@pytest.mark.parametrize(
    "data",
    [
        ai_sdk({"role": "assistant", "content": [{**AI_SDK_CALL, "providerExecuted": True}]}),
        gemini({"role": "assistant", "content": [{"type": "executable_code"}]}),
        pydantic_ai(OTEL_SENT, [{"type": "tool_call", "id": "1", "name": "w", "builtin": True}]),
    ],
)
def test_the_use_of_a_providers_own_tool_is_a_skip(data):
    assert code_of(data) == "builtin_tool_call"


@pytest.mark.parametrize(
    "data",
    [
        gemini({"content": "x"}, tools=DECLARED),
        gemini({"content": "x", "role": "assistant"}, [*ASKING, {"role": "model", "content": ""}]),
        gemini({"content": "x", "role": "assistant"}, thinking_config={"include_thoughts": True}),
        litellm(CHOICE, WIRE_SENT[1:], call_type="anthropic_messages"),
    ],
)
def test_what_an_instrumentor_is_known_to_leave_out_is_a_skip(data):
    assert code_of(data) == "incomplete_trace"


@pytest.mark.parametrize("call_type", ["anthropic_messages", "aanthropic_messages"])
def test_litellm_keeps_instructions_that_are_a_text(call_type):
    assert list(converted(litellm(CHOICE, WIRE_SENT, call_type=call_type))) == [TALKING]
    assert code_of(litellm(CHOICE, WIRE_SENT[1:], call_type=call_type)) == "incomplete_trace"


def test_history_at_gemini_is_a_skip():
    data = gemini({"content": "x", "role": "assistant"}, cached_content="cachedContents/1")
    assert code_of(data) == "hidden_history"


def test_no_outputs_are_pending_only_until_the_run_has_ended():
    data = {**wrapped({"messages": WIRE_SENT}, None), "status": "pending"}
    assert code_of(data) == "pending_run"
    for outputs in (None, {}):
        hidden = {**data, "status": "success", "end_time": "2026-11-01", "outputs": outputs}
        assert code_of(hidden) == "no_outputs"
    assert code_of(wrapped({}, CHOICE)) == "no_chat"
    told = json.dumps([{"role": "assistant", "parts": [{"type": "text", "content": "x"}]}])
    assert code_of(span(gen_ai__output__messages=told)) == "no_chat"
    asked = json.dumps(OTEL_SENT)
    assert code_of(span(gen_ai__input__messages=asked)) == "no_outputs"


@pytest.mark.parametrize("text", ["redacted-by-litellm", "__REDACTED__"])
def test_text_that_was_not_recorded_is_not_learnt(text):
    assert code_of(chat({"role": "assistant", "content": text})) == "hidden_content"
    question = [{"role": "user", "content": text}]
    assert code_of(litellm(CHOICE, question)) == "hidden_content"
    assert code_of(pydantic_ai([{"role": "user", "parts": [{"type": "text"}]}], [])) != "malformed"


@pytest.mark.parametrize(
    "attributes",
    [
        {"gen_ai__operation__name": "execute_tool", "gen_ai__tool__name": "f"},
        {"gen_ai__operation__name": "invoke_agent", "gen_ai__input__messages": "[]"},
        {"openinference__span__kind": "AGENT", "input__value": "x"},
        {"openinference__span__kind": "TOOL", "output__value": "x"},
        {"traceloop__span__kind": "workflow"},
        {"http__method": "GET"},
    ],
    ids=json.dumps,
)
def test_spans_of_agents_and_tools_are_no_model_calls(attributes, tmp_path):
    data = span(**attributes)
    assert code_of(data) == "not_an_llm_run"
    path = tmp_path / "spans.jsonl"
    path.write_text(json.dumps(data))
    sessions = RunFileChatLoader(path).invoke({})
    assert (list(sessions), sessions.skipped) == ([], [])
    assert sessions.notes == {"not_an_llm_run": 1}


def test_a_pdf_is_no_image_whatever_the_ai_sdk_calls_it():
    parts = [{"type": "blob", "modality": "image", "mime_type": "application/pdf", "content": "QQ"}]
    wire = wire_of(
        pydantic_ai([{"role": "user", "parts": parts}], [{"type": "text", "content": "B"}])
    )
    assert wire[0]["content"][0]["type"] == "file"


def test_notes_of_the_ai_sdk_beside_an_answer_are_no_part_of_it():
    note = {"type": "custom", "kind": "anthropic.message_start", "providerMetadata": {}}
    answer = {"role": "assistant", "content": [note, {"type": "text", "text": "Hi"}]}
    asked = {"messages": [{"role": "user", "content": "Hello"}]}
    assert wire_of(wrapped(asked, answer))[-1] == {"role": "assistant", "content": "Hi"}
    answer["content"][0] = {**note, "kind": "openai.compaction"}
    assert code_of(wrapped(asked, answer)) == "unsupported_content"


@pytest.mark.parametrize(
    ("attributes", "kind"),
    [
        ({"ai__operationId": "ai.generateText", "ai__prompt": '{"prompt":"Hi"}'}, "chain"),
        ({"ai__operationId": "ai.toolCall", "ai__toolCall__args": '{"beds":2}'}, "tool"),
        ({"ai__operationId": "ai.embed.doEmbed"}, "embedding"),
    ],
)
def test_other_spans_of_the_ai_sdk_are_no_model_calls(attributes, kind):
    data = span(**attributes)
    assert code_of(data) == "not_an_llm_run"
    assert as_run(data)["run_type"] == kind


def test_the_ai_sdks_spans_have_a_thread_and_say_that_an_object_was_asked_for():
    data, _ = RUNS_OF_APPS["AI SDK's spans, an object"]
    data = copy.deepcopy(data)
    data["attributes"]["ai.telemetry.metadata.thread_id"] = "talk-1"
    [session] = read_run(data)
    assert session["response_format"] == {"type": "unknown"}
    assert session["source"]["thread_id"] == "talk-1"


def test_the_ai_sdks_spans_without_content_are_a_skip():
    hidden = span(ai__operationId="ai.streamText.doStream", ai__response__finishReason="stop")
    assert code_of(hidden) == "no_outputs"
    files = json.dumps([{"type": "file", "mediaType": "image/png", "data": "QUJD"}])
    drawn = ai_sdk_span([{"role": "user", "content": "Draw"}], ai__response__files=files)
    examples = converted(drawn)
    assert list(examples) == []
    assert [skip.code for skip in examples.rejected] == ["image_outside_user"]


def langsmiths_span(status="OK", **attributes):
    """A span of LangSmith's exporter, of a call of a LangChain model."""
    sent = [{"type": "human", "content": "Hi"}]
    answer = {"generations": [[{"message": {"type": "ai", "content": "Hello"}}]]}
    found = span(
        langsmith__span__kind="llm",
        langsmith__metadata__ls_model_type="chat",
        gen_ai__operation__name="chat",
        gen_ai__prompt=json.dumps({"messages": [sent]}),
        gen_ai__completion=json.dumps(answer),
        **attributes,
    )
    return {**found, "status": {"status_code": status}}


def test_settings_that_langsmiths_exporter_has_only_in_the_metadata():
    choice = json.dumps({"type": "function", "function": {"name": "find_room"}})
    data = langsmiths_span(
        langsmith__metadata__parallel_tool_calls=False,
        langsmith__metadata__tool_choice=choice,
        langsmith__metadata__instructions="Be brief.",
    )
    [session] = read_run(data)
    assert session["parallel_tool_calls"] is False
    assert session["sampling"]["tool_choice"] == json.loads(choice)
    assert session["messages"].wire[0] == {"role": "system", "content": "Be brief."}
    hidden = langsmiths_span(langsmith__metadata__previous_response_id="resp_1")
    assert code_of(hidden) == "hidden_history"


def test_a_call_that_failed_after_langsmiths_exporter_called_it_ok():
    event = {"name": "exception", "attributes": {"exception.message": "no quota"}}
    assert code_of({**langsmiths_span(), "events": [event]}) == "errored_run"
    # Others may note an exception that they handled.
    other = span(gen_ai__prompt__0__role="user", gen_ai__completion__0__content="Hello")
    assert wire_of({**other, "events": [event]})[-1]["content"] == "Hello"


def as_otlp(*spans):
    """Spans as the collector's file exporter writes them."""

    def typed(value):
        if isinstance(value, list):
            return {"arrayValue": {"values": [typed(each) for each in value]}}
        return {"stringValue": value}

    made = [
        {
            "traceId": "AA==",
            "spanId": "AQ==",
            "attributes": [
                {"key": key, "value": typed(value)} for key, value in each["attributes"].items()
            ],
        }
        for each in spans
    ]
    return {"resourceSpans": [{"scopeSpans": [{"spans": made}]}]}


def test_requests_of_otlp_are_files_of_spans(tmp_path):
    names = ("pydantic-ai", "OpenInference", "OpenInference, messages only")
    spans = [RUNS_OF_APPS[name][0] for name in names]
    spans[0]["attributes"]["gen_ai.conversation.id"] = "talk-1"
    path = tmp_path / "spans.jsonl"
    path.write_text(json.dumps(as_otlp(*spans)) + "\n" + json.dumps(as_otlp(spans[0])) + "\n")
    sessions = RunFileChatLoader(path).invoke({})
    expected = [RUNS_OF_APPS[name][1] for name in (*names, names[0])]
    assert list(Convert().invoke(sessions)) == expected
    assert next(iter(sessions))["source"]["thread_id"] == "talk-1"


def test_requests_of_otlp_may_have_the_names_of_protobufs_fields(tmp_path):
    data, line = RUNS_OF_APPS["pydantic-ai"]
    text = json.dumps(as_otlp(data))
    names = ("resourceSpans", "scopeSpans", "traceId", "spanId", "stringValue")
    for name in names:
        text = text.replace(name, re.sub("([A-Z])", r"_\1", name).lower())
    path = tmp_path / "spans.json"
    path.write_text(text)
    assert list(Convert().invoke(RunFileChatLoader(path).invoke({}))) == [line]


def test_an_answer_of_openinference_may_itself_be_json():
    answer = '{"output": 8}'
    data = openinference(
        {"messages": ASKING},
        {"output": 8},
        output__mime_type="application/json",
        llm__output_messages__0__message__role="assistant",
        llm__output_messages__0__message__content=answer,
    )
    assert wire_of(data)[-1] == {"role": "assistant", "content": answer}


def test_agents_that_never_tell_their_tools_are_noted():
    data = wrapped(
        {"input": WIRE_SENT},
        TOLD,
        invocation_params={"model": "gpt-4.1", "model_config": {"tool_choice": None}},
        metadata={"ls_integration": "openai-agents-sdk"},
    )
    sessions = LangSmithRunChatLoader([data]).invoke({})
    assert len(list(sessions)) == 1
    assert sessions.notes == {"tools_unknown": 1}
