"""Response formats and forced tools: even a model that knows nothing answers in the form asked for.

`tiny` has random weights, `nano` is the base that comes with the package; both really write here.
"""

import json
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Literal

import openai
import pytest
from openai import AsyncOpenAI, pydantic_function_tool
from pydantic import BaseModel, Field

import langchain_finetune
from tests.local.chat_server import ChatServer
from tests.local.test_serving import collected
from tests.local.tiny_model import CALCULATOR, make_tiny_model

NANO = Path(langchain_finetune.__file__).parent / "local" / "nano"
MODELS = ("tiny", "nano")
ASK = [{"role": "user", "content": "What's 56/7? Answer in JSON."}]


class Colour(StrEnum):
    RED = "red"
    DARK_BLUE = "dark blue"


class Joke(BaseModel):
    setup: str
    punchline: str = Field(min_length=3)
    rating: int | None = Field(ge=1, le=10)
    colour: Colour


class Tree(BaseModel):
    value: float
    kind: Literal["leaf", "branch"]
    children: list["Tree"]


class Event(BaseModel):
    day: date
    address: str = Field(pattern=r"^[a-z]+@[a-z]+\.com$")
    guests: list[Joke] = Field(min_length=1, max_length=2)
    outside: bool


class Calculator(BaseModel):
    """Calculate."""

    num1: float
    num2: float
    operation: Literal["+", "-", "*", "/"]


class Search(BaseModel):
    """Search."""

    query: str
    limit: int


TOOLS = [pydantic_function_tool(Calculator), pydantic_function_tool(Search)]
LOOSE = [CALCULATOR, {"type": "function", "function": {"name": "ping"}}]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = ChatServer()
    server.models["tiny"] = make_tiny_model(tmp_path_factory.mktemp("tiny"))
    server.models["nano"] = NANO
    with server.running():
        yield server


@pytest.fixture(scope="module")
def client(server):
    with server.client() as client:
        yield client


def ask(client, model="nano", messages=ASK, **options):
    return client.chat.completions.create(model=model, messages=messages, **options)


def json_schema(schema, **more):
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema} | more}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("form", [Joke, Tree, Event])
@pytest.mark.parametrize("sampling", [{"temperature": 0}, {"temperature": 1.5, "seed": 3}])
def test_a_schema_is_kept(client, model, form, sampling):
    parsed = client.chat.completions.parse(
        model=model, messages=ASK, response_format=form, max_tokens=300, **sampling
    )
    (choice,) = parsed.choices
    assert choice.finish_reason == "stop"
    assert isinstance(choice.message.parsed, form)
    assert parsed.usage.completion_tokens <= 300


@pytest.mark.parametrize("model", MODELS)
def test_a_schema_is_kept_in_a_stream(client, model):
    with client.chat.completions.stream(
        model=model, messages=ASK, response_format=Joke, max_tokens=120
    ) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_completion()
    assert kinds.count("content.delta") > 5
    assert isinstance(final.choices[0].message.parsed, Joke)


async def test_a_schema_is_kept_for_async_clients(server):
    async with AsyncOpenAI(base_url=server.url, api_key="none") as client:
        parsed = await client.chat.completions.parse(
            model="nano", messages=ASK, response_format=Joke, max_tokens=120
        )
    assert isinstance(parsed.choices[0].message.parsed, Joke)


@pytest.mark.parametrize("model", MODELS)
def test_any_json_object(client, model):
    for seed in range(5):
        answer = ask(
            client,
            model,
            response_format={"type": "json_object"},
            temperature=1,
            seed=seed,
            max_tokens=60,
        ).choices[0]
        assert answer.finish_reason == "stop"
        assert isinstance(json.loads(answer.message.content), dict)


@pytest.mark.parametrize("strict", [True, False, None])
def test_no_field_that_the_schema_does_not_name(client, strict):
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    answer = ask(client, response_format=json_schema(schema, strict=strict), max_tokens=60)
    assert json.loads(answer.choices[0].message.content).keys() == {"a"}


@pytest.mark.parametrize("room", [4, 8])
def test_a_budget_that_is_too_small_is_told(client, room):
    with pytest.raises(openai.LengthFinishReasonError) as caught:
        client.chat.completions.parse(
            model="nano", messages=ASK, response_format=Event, max_tokens=room
        )
    assert caught.value.completion.usage.completion_tokens == room


def test_a_budget_that_is_just_enough(client):
    schema = {"type": "array", "items": {"type": "string"}}
    for room in range(2, 30):
        answer = ask(client, "tiny", response_format=json_schema(schema), max_tokens=room)
        assert answer.choices[0].finish_reason == "stop"
        assert isinstance(json.loads(answer.choices[0].message.content), list)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("parallel", [True, False])
@pytest.mark.parametrize("temperature", [0, 1.2])
def test_a_call_is_made_where_one_is_required(client, model, stream, parallel, temperature):
    answer = ask(
        client,
        model,
        tools=TOOLS,
        tool_choice="required",
        parallel_tool_calls=parallel,
        temperature=temperature,
        seed=2,
        max_tokens=200,
        stream=stream,
    )
    if stream:
        text, calls, reasons, _ = collected(answer)
    else:
        (choice,) = answer.choices
        text, reasons = choice.message.content or "", [choice.finish_reason]
        calls = [
            (index, call.function.name, json.loads(call.function.arguments))
            for index, call in enumerate(choice.message.tool_calls)
        ]
    assert (text, reasons) == ("", ["tool_calls"])
    assert len(calls) >= 1
    assert len(calls) == 1 or parallel
    for index, (number, name, arguments) in enumerate(calls):
        assert number == index
        {"Calculator": Calculator, "Search": Search}[name].model_validate(arguments)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", ["calculator", "ping"])
def test_a_named_tool_is_called(client, model, name):
    choice = {"type": "function", "function": {"name": name}}
    (answer,) = ask(client, model, tools=LOOSE, tool_choice=choice, max_tokens=150).choices
    (call,) = answer.message.tool_calls
    assert call.function.name == name
    arguments = json.loads(call.function.arguments)
    assert arguments.keys() == ({"first", "operation", "second"} if name != "ping" else set())
    assert answer.finish_reason == "stop"  # OpenAI's rule for a tool that was named


def test_a_named_legacy_function_is_called(client):
    (answer,) = ask(
        client, functions=[CALCULATOR["function"]], function_call={"name": "calculator"}
    ).choices
    assert answer.message.function_call.name == "calculator"
    assert "operation" in json.loads(answer.message.function_call.arguments)


@pytest.mark.parametrize("mode", ["required", "auto"])
def test_allowed_tools(client, mode):
    allowed = [{"type": "function", "function": {"name": "Search"}}]
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": allowed}}
    system = {"role": "system", "content": "Always call a tool."}
    (answer,) = ask(
        client, messages=[system, *ASK], tools=TOOLS, tool_choice=choice, max_tokens=150
    ).choices
    calls = answer.message.tool_calls or []
    assert {call.function.name for call in calls} <= {"Search"}
    assert calls or mode == "auto"


def test_calls_or_json(client):
    """With both, it is the model that chooses, and whichever it is keeps its schema."""
    cue = {"role": "system", "content": "Always call a tool."}
    for messages in (ASK, [cue, *ASK]):
        parsed = client.chat.completions.parse(
            model="nano", messages=messages, tools=TOOLS, response_format=Joke, max_tokens=200
        )
        (choice,) = parsed.choices
        if choice.message.tool_calls:
            assert choice.message.tool_calls[0].function.parsed_arguments is not None
        else:
            assert isinstance(choice.message.parsed, Joke)


def test_a_strict_tool_keeps_its_schema_when_the_model_calls_it(client):
    cue = {"role": "system", "content": "Always call a tool."}
    made = 0
    for seed in range(6):
        parsed = client.chat.completions.parse(
            model="nano",
            messages=[cue, {"role": "user", "content": "What is the weather in Paris?"}],
            tools=TOOLS,
            temperature=1,
            seed=seed,
            max_tokens=150,
        )
        for call in parsed.choices[0].message.tool_calls or ():
            assert isinstance(call.function.parsed_arguments, Calculator | Search)
            made += 1
    assert made


def test_a_strict_tool_leaves_text_alone(client):
    plain = ask(client, tools=TOOLS, temperature=0, max_tokens=30).choices[0]
    assert plain.message.content
    assert plain.message.tool_calls is None


@pytest.mark.parametrize(
    ("options", "param", "code", "said"),
    [
        (
            {"response_format": json_schema({"type": "array", "uniqueItems": True})},
            "response_format",
            "invalid_json_schema",
            "uniqueItems",
        ),
        (
            {"response_format": json_schema({"type": "nothing"})},
            "response_format",
            "invalid_json_schema",
            "nothing",
        ),
        (
            {"response_format": json_schema({"$ref": "https://example.com/x.json"})},
            "response_format",
            "invalid_json_schema",
            "example.com",
        ),
        (
            {
                "response_format": json_schema(
                    {"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/A"}}}
                )
            },
            "response_format",
            "invalid_json_schema",
            "Unsatisfiable",
        ),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}},
            "response_format.json_schema.name",
            "missing_required_parameter",
            "name",
        ),
        (
            {"response_format": {"type": "json_schema"}},
            "response_format.json_schema",
            "missing_required_parameter",
            "json_schema",
        ),
        (
            {"response_format": {"type": "json_object"}, "stop": "a"},
            "stop",
            "invalid_value",
            "stop",
        ),
        ({"tools": TOOLS, "tool_choice": "required", "stop": "a"}, "stop", "invalid_value", "stop"),
        (
            {
                "tools": [
                    {
                        "type": "function",
                        "function": {
                            "name": "f",
                            "strict": True,
                            "parameters": {"type": "object", "propertyNames": {"pattern": "a"}},
                        },
                    }
                ]
            },
            "tools[0].function.parameters",
            "invalid_function_parameters",
            "propertyNames",
        ),
        (
            {
                "tools": [
                    {"type": "function", "function": {"name": "f", "parameters": {"type": "array"}}}
                ],
                "tool_choice": "required",
            },
            "tools[0].function.parameters",
            "invalid_value",
            "object",
        ),
        (
            {"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "nobody"}}},
            "tool_choice",
            "invalid_value",
            "nobody",
        ),
    ],
)
def test_what_is_refused(client, options, param, code, said):
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, **options)
    assert (caught.value.param, caught.value.code) == (param, code)
    assert said in caught.value.message
    assert caught.value.type == "invalid_request_error"


def test_what_a_loose_tool_can_not_enforce_is_left_to_the_model(client):
    loose = {
        "type": "function",
        "function": {
            "name": "f",
            "parameters": {
                "properties": {
                    "a": {"type": "array", "items": {"type": "integer"}, "uniqueItems": True}
                },
                "required": ["a"],
            },
        },
    }
    (answer,) = ask(client, tools=[loose], tool_choice="required", max_tokens=100).choices
    arguments = json.loads(answer.message.tool_calls[0].function.arguments)
    assert all(isinstance(each, int) for each in arguments["a"])
