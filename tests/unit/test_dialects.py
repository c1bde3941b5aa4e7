"""Each dialect of llm runs becomes the example that the model saw, or a skip with a reason."""

import copy
import json

import pytest

from langchain_finetune import Convert, LangSmithRunChatLoader
from langchain_finetune.dialects.run import read_run
from langchain_finetune.dialects.untrusted import readable
from langchain_finetune.messages import UnreadableChatError
from support.dialects import (
    ANTHROPIC_TOOL,
    ASKED,
    CALLING,
    ITEM_CALL,
    ITEM_TOLD,
    QUESTION,
    RUNS,
    TALKING,
    TOLD,
    TOOL_USE,
    ai,
    chat,
    span,
    traced,
    wrapped,
)
from support.runs import CALL, SENT, WIRE_SENT, constructor, run


def code_of(data):
    with pytest.raises(UnreadableChatError) as caught:
        read_run(data)
    assert "beds" not in str(caught.value)
    return caught.value.code


def messages_of(data, **options):
    [session] = read_run(data, **options)
    return session["messages"].wire


@pytest.mark.parametrize("name", RUNS)
def test_each_dialect_makes_the_example_that_the_model_saw(name):
    data, expected = RUNS[name]
    before = copy.deepcopy(data)
    convert = Convert(method="completion" if "prompt" in expected else "supervised")
    examples = (LangSmithRunChatLoader([data]) | convert).invoke({})
    assert list(examples) == [expected]
    assert examples.rejected == []
    assert data == before


@pytest.mark.parametrize("field", ["system", "preamble", "suffix"])
@pytest.mark.parametrize("name", [name for name, (data, _) in RUNS.items() if "inputs" in data])
def test_a_text_beside_the_messages_is_read_or_the_run_is_skipped(name, field):
    data = copy.deepcopy(RUNS[name][0])
    data["inputs"][field] = "Speak like a pirate."
    skips = []
    sessions = list(readable(name, lambda: read_run(data), skips.append))
    assert skips or "Speak like a pirate." in str(sessions[0]["messages"].wire)


def test_each_of_several_answers_makes_a_session():
    one, two = ai("One"), ai("Two")
    data = traced(one)
    data["outputs"]["generations"][0].append({"message": two})
    sessions = read_run(data)
    assert [session["messages"].wire[-1]["content"] for session in sessions] == ["One", "Two"]
    assert [session["source"]["answer"] for session in sessions] == ["0", "1"]
    data = chat(TOLD)
    data["outputs"]["choices"].append({"message": {"role": "assistant", "content": "Two"}})
    assert len(read_run(data)) == 2


def test_each_chat_of_a_batch_makes_a_session():
    data = run()
    data["inputs"]["messages"].append(SENT[1:])
    data["outputs"]["generations"].append([{"message": ai("Two")}])
    first, second = read_run(data)
    assert first["messages"].wire[:2] == WIRE_SENT
    assert second["messages"].wire == [WIRE_SENT[1], {"role": "assistant", "content": "Two"}]
    prompts = {"prompts": ["a", "b"]}
    texts = {"generations": [[{"text": "A"}], [{"text": "B"}, {"text": "C"}]]}
    assert len(read_run(wrapped(prompts, texts))) == 3


def test_a_completion_says_that_it_is_one():
    [session] = read_run(RUNS["completion by LangChain"][0])
    assert session["source"]["kind"] == "completion"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (wrapped({"input": QUESTION}, {"output": [ITEM_CALL, {"type": "web_search_call"}]}), None),
        (traced(ai([{"type": "web_search_call", "id": "w"}])), None),
        (traced(ai([{"type": "server_tool_use", "id": "w"}])), None),
        (traced(ai([{"type": "server_tool_call", "id": "w"}])), None),
        (traced(ai("x", additional_kwargs={"tool_outputs": [{"type": "w"}]})), None),
        (traced(ai("x"), tools=[{"type": "web_search"}]), "unsupported_tools"),
        (
            traced(ai("x"), tools=[{"type": "web_search_20250305", "name": "w"}]),
            "unsupported_tools",
        ),
        (traced(ai("x"), tools=["find_room"]), "unsupported_tools"),
        (traced(ai("x"), previous_response_id="resp_0"), "hidden_history"),
        (
            wrapped({"input": "x", "previous_response_id": "r"}, {"output": [ITEM_TOLD]}),
            "hidden_history",
        ),
        (
            wrapped({"input": [{"type": "item_reference", "id": "i"}]}, {"output": [ITEM_TOLD]}),
            "hidden_history",
        ),
        (wrapped({"input": "x"}, {"output": [ITEM_TOLD], "status": "failed"}), "errored_run"),
        (wrapped({"input": "x"}, {"output": []}), "no_answer"),
        (wrapped({"input": "x"}, {"output": [{**ITEM_TOLD, "role": "user"}]}), "no_answer"),
        (wrapped({"text": "x"}, {"output": "y"}), "no_chat"),
        (
            wrapped({"messages": WIRE_SENT}, {"output": {"role": "user", "content": "y"}}),
            "no_answer",
        ),
        (wrapped({"messages": WIRE_SENT}, {"messages": [ASKED, TOLD]}), "no_answer"),
        (wrapped({"prompts": ["a", "b"]}, {"generations": [[{"text": "A"}]]}), "no_chat"),
        (wrapped({"prompts": ["Human: a"]}, {"generations": [[{"message": ai("A")}]]}), "no_chat"),
        (chat({"role": "assistant", "audio": {"id": "a"}}), "unsupported_content"),
        (
            chat(
                {"role": "assistant", "tool_calls": [{"id": "1", "type": "custom", "custom": {}}]}
            ),
            "unsupported_call",
        ),
        (
            traced(ai("x"), [constructor("HumanMessage", content=[{"type": "video"}])]),
            "unsupported_content",
        ),
        (
            traced(ai("x"), [constructor("HumanMessage", content=[{"type": "file", "url": "u"}])]),
            "unsupported_content",
        ),
        (
            wrapped({"messages": [{"role": "user", "content": [{"type": "document"}]}]}, TOLD),
            "unsupported_content",
        ),
        (span(gen_ai__operation__name="embeddings", gen_ai__prompt="{}"), "not_an_llm_run"),
        (span(gen_ai__prompt="{}", gen_ai__completion="{}"), "no_outputs"),
        (span(gen_ai__prompt__0__content="x"), "no_outputs"),
        ({**RUNS["OTel, numbered"][0], "status": {"status_code": "ERROR"}}, "errored_run"),
    ],
)
def test_what_the_wire_form_can_not_say_is_skipped(data, code):
    assert code_of(data) == (code or "builtin_tool_call")


def test_a_refusal_stays_one():
    refusal = {"role": "assistant", "content": None, "refusal": "No."}
    block = {"type": "refusal", "refusal": "No."}
    assert messages_of(chat(refusal))[-1] == refusal
    assert messages_of(traced(ai([block], id="resp_1")))[-1] == refusal
    item = {"type": "message", "role": "assistant", "content": [block]}
    assert messages_of(wrapped({"input": "x"}, {"output": [item]}))[-1] == refusal


def test_images_sounds_and_files_stay_in_openais_form():
    data = "data:image/png;base64,QUJD"
    image = {"type": "image_url", "image_url": {"url": data}}
    sound = {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "wav"}}
    pdf = "data:application/pdf;base64,QUJD"
    paper = {"type": "file", "file": {"file_data": pdf, "filename": "a.pdf"}}
    kinds = {"source_type": "base64", "data": "QUJD", "mime_type": "application/pdf"}
    source = {"type": "base64", "media_type": "image/png", "data": "QUJD"}
    blocks = {
        "image": (image, image),
        "Anthropic's image": ({"type": "image", "source": source}, image),
        "Responses' image": ({"type": "input_image", "image_url": data}, image),
        "sound": (sound, sound),
        "LangChain's sound": (
            {"type": "audio", "base64": "QUJD", "mime_type": "audio/wav"},
            sound,
        ),
        "file": (paper, paper),
        "LangChain's file": ({"type": "file", **kinds, "filename": "a.pdf"}, paper),
        "Responses' file": ({"type": "input_file", "file_data": pdf, "filename": "a.pdf"}, paper),
        "file's id": (
            {"type": "input_file", "file_id": "f"},
            {"type": "file", "file": {"file_id": "f"}},
        ),
    }
    for name, (block, expected) in blocks.items():
        sent = constructor("HumanMessage", content=[block])
        assert messages_of(traced(ai("x"), [sent]))[0]["content"] == [expected], name


def test_what_is_sent_differs_from_what_the_app_said_as_the_integration_has_it():
    sent = [SENT[0], constructor("HumanMessage", content="x", name="ada")]
    chat_run = traced(ai("y"), sent, _type="openai-chat", model="o3-mini")
    assert messages_of(chat_run)[0]["role"] == "developer"
    assert messages_of(chat_run)[1]["name"] == "ada"
    responses = traced(ai("y", id="resp_1"), sent, _type="openai-chat", model="gpt-5")
    assert messages_of(responses)[0]["role"] == "system"
    assert "name" not in messages_of(responses)[1]
    chunk = {"name": "find_room", "args": '{"beds":2}', "id": "call_5", "index": 0}
    streamed = ai("", "AIMessageChunk", tool_calls=[CALL], tool_call_chunks=[chunk])
    anew = messages_of(traced(ai("y"), [*SENT, streamed], _type="openai-chat"))
    assert anew[2]["tool_calls"][0]["function"]["arguments"] == '{"beds": 2}'
    as_written = messages_of(traced(streamed))
    assert as_written[2]["tool_calls"][0]["function"]["arguments"] == '{"beds":2}'


def test_parts_of_text_stay_in_a_history_and_are_one_text_in_an_answer():
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    data = traced(ai(parts), [*SENT, ai(parts)], _type="openai-chat")
    assert [message["content"] for message in messages_of(data)[2:]] == [parts, "ab"]


def test_a_call_that_did_not_parse_stays_as_it_was():
    broken = {"name": "find_room", "args": '{"beds', "id": "call_6", "type": "invalid_tool_call"}
    data = traced(ai("x"), [*SENT, ai("", invalid_tool_calls=[broken])])
    [call] = messages_of(data)[2]["tool_calls"]
    assert call["function"]["arguments"] == '{"beds'


def test_a_user_may_speak_after_a_result_in_one_message():
    result = {
        "type": "tool_result",
        "tool_use_id": "call_5",
        "content": [{"type": "text", "text": "7"}],
    }
    user = {"role": "user", "content": [result, {"type": "text", "text": "And?"}]}
    sent = [*WIRE_SENT, {"role": "assistant", "content": [TOOL_USE]}, user]
    wire = messages_of(wrapped({"messages": sent, "tools": [ANTHROPIC_TOOL]}, TOLD))
    assert wire[3:5] == [
        {"role": "tool", "content": [{"type": "text", "text": "7"}], "tool_call_id": "call_5"},
        {"role": "user", "content": [{"type": "text", "text": "And?"}]},
    ]


def test_attributes_may_stand_in_otlps_list_and_in_metadata():
    data, _ = RUNS["OTel, numbered"]
    pairs = [
        {"key": key, "value": {"stringValue": value}} for key, value in data["attributes"].items()
    ]
    assert messages_of({**data, "attributes": pairs}) == CALLING["messages"]
    inside = wrapped({}, {}, metadata=data["attributes"])
    assert messages_of(inside) == CALLING["messages"]


def test_a_span_may_hold_bare_lists_of_messages():
    data = span(gen_ai__prompt=json.dumps(WIRE_SENT), gen_ai__completion=json.dumps([TOLD]))
    assert messages_of(data) == TALKING["messages"]


def test_a_spans_results_and_reasoning_are_read():
    asked = {"role": "assistant", "parts": [{"type": "tool_call", "id": "c", "name": "f"}]}
    result = {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c", "response": [7]}]}
    parts = [{"type": "reasoning", "content": "Hm."}, {"type": "text", "content": "Seven."}]
    data = span(
        gen_ai__input__messages=[asked, result],
        gen_ai__output__messages=[{"role": "assistant", "parts": parts}],
        gen_ai__system_instructions=[{"type": "text", "content": "Count."}],
    )
    wire = messages_of(data)
    assert wire[0] == {"role": "system", "content": "Count."}
    assert wire[2:] == [
        {"role": "tool", "content": "[7]", "tool_call_id": "c"},
        {"role": "assistant", "content": "Seven."},
    ]


def test_a_lone_message_is_a_request_too():
    assert messages_of(wrapped(WIRE_SENT[1], TOLD)) == [WIRE_SENT[1], TOLD]
    inputs = {"messages": [WIRE_SENT[1]], "system": WIRE_SENT[0]["content"]}
    assert messages_of(wrapped(inputs, TOLD)) == TALKING["messages"]
