"""Response formats: even a model that knows nothing answers in the form that was asked for.

`tiny` has random weights, `nano` is the base that comes with the package; both really write here.
"""

import json

import openai
import pytest
from openai import AsyncOpenAI

from tests.local.chat_server import ChatServer
from tests.local.forms import ASK, MODELS, NANO, TOOLS, Event, Joke, Tree
from tests.local.tiny_model import make_tiny_model


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
            {"response_format": json_schema({"type": "string", "pattern": "(?=a)b"})},
            "response_format",
            "invalid_json_schema",
            "look-around",
        ),
        (
            {
                "response_format": json_schema(
                    {"type": "string", "pattern": "^((a{1,999}){1,999}){1,999}$"}
                )
            },
            None,
            "schema_too_complex",
            "too complex",
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
