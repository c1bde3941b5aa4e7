"""The Responses API through the openai SDK and ChatOpenAI, over a real socket."""

import json

import openai
import pytest
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI
from openai import AsyncOpenAI
from openai.types.responses import Response
from pydantic import BaseModel

from tests.local.chat_server import ChatServer
from tests.local.tiny_model import CALCULATOR, make_tiny_model

ARGUMENTS = '{"first": 5, "operation": "add", "second": 8}'
CALL = f'<tool_call>\n{{"name": "calculator", "arguments": {ARGUMENTS}}}\n</tool_call>'
END = "<|im_end|>"
TOOL = {"type": "function"} | CALCULATOR["function"]


class Sum(BaseModel):
    total: int
    words: list[str]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    tiny = make_tiny_model(tmp_path_factory.mktemp("tiny"), context=1024)
    with ChatServer(tiny=tiny).running() as server:
        yield server


@pytest.fixture(scope="module")
def client(server):
    with server.client() as client:
        yield client


def respond(client, given="5 plus 8?", **options):
    return client.responses.create(model="tiny", input=given, **options)


def test_a_model_really_responds(client):
    response = respond(client, max_output_tokens=12, temperature=0)
    Response.model_validate(response.model_dump(), strict=True)
    assert response.status in {"completed", "incomplete"}
    if response.status == "incomplete":
        assert response.incomplete_details.reason == "max_output_tokens"
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens
    assert respond(client, max_output_tokens=12, temperature=0).output_text == response.output_text


def test_what_the_model_reads(client, script):
    script.text = f"Thirteen.{END}"
    call = {"type": "function_call", "call_id": "c1", "name": "calculator", "arguments": ARGUMENTS}
    given = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "input_text", "text": "5 plus 8?"}]},
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"role": "assistant", "content": [{"type": "output_text", "text": "Let me see."}]},
        call,
        {"type": "function_call_output", "call_id": "c1", "output": "13"},
    ]
    response = respond(client, given, instructions="You add.", tools=[TOOL], metadata={"a": "b"})
    assert response.output_text == "Thirteen."
    assert response.metadata == {"a": "b"}
    read = script.prompt
    for earlier, later in [
        ("You add.", "Be brief."),
        ("# Tools", "5 plus 8?"),
        ("Let me see.\n<tool_call>", ARGUMENTS),
        (ARGUMENTS, "<tool_response>\n13"),
    ]:
        assert 0 <= read.index(earlier) < read.rindex(later)


def test_a_function_call(client, script):
    script.text = f"Let me see.\n{CALL}\n{CALL}{END}"
    message, *calls = respond(client, tools=[TOOL]).output
    assert message.content[0].text == "Let me see."
    assert [json.loads(call.arguments) for call in calls] == [json.loads(ARGUMENTS)] * 2
    assert len({call.call_id for call in calls}) == 2
    _, call = respond(client, tools=[TOOL], parallel_tool_calls=False).output
    assert call.name == "calculator"


def test_events(client, script):
    script.text = f"Let me see.\n{CALL}{END}"
    events = list(respond(client, tools=[TOOL], stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = [event.type.removeprefix("response.") for event in events]
    text = kinds.count("output_text.delta")
    assert kinds == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        *["output_text.delta"] * text,
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]
    whole = events[-1].response
    assert "".join(e.delta for e in events if e.type.endswith("text.delta")) == whole.output_text
    assert [item.type for item in whole.output] == ["message", "function_call"]
    with client.responses.stream(model="tiny", input="hi", tools=[TOOL]) as stream:
        assert stream.get_final_response().output_text == "Let me see."


def test_a_schema_is_kept(client):
    parsed = client.responses.parse(
        model="tiny", input="hi", text_format=Sum, max_output_tokens=60, temperature=1
    )
    assert isinstance(parsed.output_parsed, Sum)
    response = respond(client, text={"format": {"type": "json_object"}}, max_output_tokens=30)
    assert isinstance(json.loads(response.output_text), dict)


@pytest.mark.parametrize(
    "choice",
    [
        "required",
        {"type": "function", "name": "calculator"},
        {
            "type": "allowed_tools",
            "mode": "required",
            "tools": [{"type": "function", "name": "calculator"}],
        },
    ],
)
def test_a_call_that_has_to_be_made(client, choice):
    response = respond(
        client, tools=[TOOL], tool_choice=choice, parallel_tool_calls=False, max_output_tokens=120
    )
    (call,) = response.output
    assert json.loads(call.arguments).keys() == {"first", "operation", "second"}


def test_logprobs(client):
    response = respond(
        client,
        include=["message.output_text.logprobs"],
        top_logprobs=2,
        max_output_tokens=12,
        temperature=1,
    )
    told = response.output[0].content[0].logprobs
    assert told
    assert all(len(each.top_logprobs) == 2 for each in told)


def test_an_answer_that_is_cut_off(client, script):
    script.text = f"abcdef{END}"
    response = respond(client, max_output_tokens=3)
    assert (response.status, response.output_text) == ("incomplete", "abc")
    assert list(respond(client, max_output_tokens=3, stream=True))[-1].type == "response.incomplete"


def test_a_model_that_breaks_off(client, monkeypatch):
    from transformers import LlamaForCausalLM

    def break_off(*_, **__):
        raise ValueError("a secret prompt")

    monkeypatch.setattr(LlamaForCausalLM, "forward", break_off)
    with pytest.raises(openai.InternalServerError):
        respond(client)
    last = list(respond(client, stream=True))[-1]
    assert (last.type, last.response.status) == ("response.failed", "failed")
    assert "secret" not in last.response.error.message


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"background": True}, "background"),
        ({"reasoning": {"effort": "low"}}, "reasoning"),
        ({"truncation": "auto"}, "truncation"),
        ({"tools": [{"type": "web_search"}]}, "tools"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"extra_body": {"speed": 1}}, "speed"),
        ({"given": [{"type": "item_reference", "id": "msg_1"}]}, "input[0]"),
        ({"given": [{"role": "wizard", "content": "x"}]}, "input"),
        ({"given": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input[0].content"),
        ({"given": [{"type": "function_call", "call_id": "1", "name": "f"}]}, "input[0].arguments"),
        (
            {
                "text": {
                    "format": {
                        "type": "json_schema",
                        "name": "a",
                        "schema": {"type": "array", "uniqueItems": True},
                    }
                }
            },
            "text.format",
        ),
    ],
)
def test_what_is_refused(client, options, param):
    with pytest.raises(openai.BadRequestError) as caught:
        respond(client, **options)
    assert caught.value.param == param


def test_a_prompt_that_is_too_long(client):
    with pytest.raises(openai.BadRequestError) as caught:
        respond(client, "x" * 1024)
    assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "input")


async def test_async_clients(server):
    async with AsyncOpenAI(base_url=server.url, api_key="none") as client:
        parsed = await client.responses.parse(
            model="tiny", input="hi", text_format=Sum, max_output_tokens=60
        )
        assert isinstance(parsed.output_parsed, Sum)
        stream = await client.responses.create(
            model="tiny", input="hi", stream=True, max_output_tokens=5
        )
        assert [event async for event in stream][-1].response.usage.output_tokens <= 5


def test_chat_openai(server, script):
    model = ChatOpenAI(
        model="tiny", base_url=server.url, api_key="none", max_retries=0, use_responses_api=True
    )
    calculator = model.bind_tools([CALCULATOR])
    question = HumanMessage("5 plus 8?")
    script.text = f"{CALL}{END}"
    answer = calculator.invoke([question])
    (call,) = answer.tool_calls
    assert call["args"] == json.loads(ARGUMENTS)
    assert answer.usage_metadata["output_tokens"] > 0
    pieces = list(calculator.stream([question]))
    assert sum(pieces[1:], pieces[0]).tool_calls[0]["args"] == json.loads(ARGUMENTS)
    script.text = f"It is 13.{END}"
    result = ToolMessage("13", tool_call_id=call["id"])
    assert calculator.invoke([question, answer, result]).text == "It is 13."
    assert "<tool_response>\n13\n</tool_response>" in script.prompt


def test_chat_openai_with_a_schema(server):
    model = ChatOpenAI(
        model="tiny", base_url=server.url, api_key="none", max_tokens=80, use_responses_api=True
    )
    assert isinstance(model.with_structured_output(Sum).invoke("hi"), Sum)
    by_call = model.with_structured_output(Sum, method="function_calling")
    assert isinstance(by_call.invoke("hi"), Sum)
