"""Forced and strict tools: even a model that knows nothing calls them with what they take."""

import json

import pytest

from tests.local.chat_server import ChatServer
from tests.local.forms import ASK, MODELS, NANO, TOOLS, Calculator, Joke, Search
from tests.local.test_serving import collected
from tests.local.tiny_model import CALCULATOR, make_tiny_model

LOOSE = [CALCULATOR, {"type": "function", "function": {"name": "ping"}}]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    tiny = make_tiny_model(tmp_path_factory.mktemp("tiny"))
    with ChatServer(tiny=tiny, nano=NANO).running() as server:
        yield server


@pytest.fixture(scope="module")
def client(server):
    with server.client() as client:
        yield client


def ask(client, model="nano", messages=ASK, **options):
    return client.chat.completions.create(model=model, messages=messages, **options)


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
