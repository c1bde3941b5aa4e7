"""An engine that hands its answers to another engine, driven by the openai SDK and ChatOpenAI."""

import sys

import openai
import pytest
from langchain_openai import ChatOpenAI

from tests.local.conftest import running_engine
from tests.local.tiny_model import CALCULATOR

ENGINE = (sys.executable, "-m", "langchain_finetune.local")
ASK = [{"role": "user", "content": "What's 56/7? Answer in JSON."}]
SCHEMA = {
    "type": "object",
    "properties": {"value": {"type": "integer"}},
    "required": ["value"],
    "additionalProperties": False,
}
JSON = {"type": "json_schema", "json_schema": {"name": "sum", "schema": SCHEMA, "strict": True}}
LIKELIEST = {"temperature": 0, "max_tokens": 40}


@pytest.fixture(scope="module")
def behind(tmp_path_factory):
    """The engine that really answers; it knows a model that the other one does not."""
    command = (*ENGINE, "--alias", "their-model=nano", "--home")
    with running_engine(tmp_path_factory.mktemp("behind"), command=command) as engine:
        yield engine


@pytest.fixture(scope="module")
def front(tmp_path_factory, behind):
    command = (*ENGINE, "--upstream", f"{behind.url}/v1")
    names = ("--upstream-model", "our-model=their-model")
    variables = {"LCFT_UPSTREAM_API_KEY": behind.key}
    home = tmp_path_factory.mktemp("front")
    with running_engine(home, command=(*command, *names, "--home"), variables=variables) as engine:
        yield engine


@pytest.fixture(scope="module")
def client(front):
    with front.client() as client:
        yield client


@pytest.fixture(scope="module")
def direct(behind):
    with behind.client() as client:
        yield client


def without_ids(answer):
    """An answer's data without what differs between any two answers."""
    data = answer.model_dump()
    for field in ("id", "created", "created_at", "completed_at"):
        data.pop(field, None)
    for choice in data.get("choices", ()):
        for token in (choice.get("logprobs") or {}).get("content") or ():
            # The second answer finds the prompt's keys and values: the last digits may differ.
            token["logprob"] = pytest.approx(token["logprob"], abs=1e-4)
        for call in (choice.get("message") or {}).get("tool_calls") or ():
            call.pop("id")
    for item in data.get("output", ()):
        item.pop("id")
    return data


REQUESTS = {
    "chat": lambda client: client.chat.completions.create(
        model="their-model", messages=ASK, response_format=JSON, logprobs=True, **LIKELIEST
    ),
    "tools": lambda client: client.chat.completions.create(
        model="their-model",
        messages=ASK,
        tools=[CALCULATOR],
        tool_choice="required",
        **LIKELIEST,
    ),
    "completion": lambda client: client.completions.create(
        model="their-model", prompt="Once", n=2, logit_bias={"40": 2}, **LIKELIEST
    ),
    "response": lambda client: client.responses.create(
        model="their-model", input="What's 56/7?", temperature=0, max_output_tokens=40
    ),
}


@pytest.mark.parametrize("request_to", REQUESTS.values(), ids=REQUESTS)
def test_answers_are_the_upstreams(client, direct, request_to):
    assert without_ids(request_to(client)) == without_ids(request_to(direct))


def test_streams_are_the_upstreams(client, direct):
    def chunks(client):
        return [
            without_ids(chunk)
            for chunk in client.chat.completions.create(
                model="their-model",
                messages=ASK,
                response_format=JSON,
                stream=True,
                stream_options={"include_usage": True},
                **LIKELIEST,
            )
        ]

    ours = chunks(client)
    assert ours == chunks(direct)
    assert len(ours) > 5


def test_response_streams_are_the_upstreams(client, direct):
    def events(client):
        stream = client.responses.create(
            model="their-model", input="Hi", temperature=0, max_output_tokens=20, stream=True
        )
        return [(event.type, getattr(event, "delta", None)) for event in stream]

    assert events(client) == events(direct)
    assert len(events(client)) > 5


async def test_async_clients(front):
    async with openai.AsyncOpenAI(base_url=f"{front.url}/v1", api_key=front.key) as client:
        stream = await client.completions.create(
            model="our-model", prompt="Once", stream=True, max_tokens=5
        )
        assert [chunk async for chunk in stream][-1].choices[0].finish_reason
        answer = await client.chat.completions.create(
            model="our-model", messages=ASK, response_format=JSON
        )
        assert '"value"' in answer.choices[0].message.content


async def test_chat_openai(front):
    model = ChatOpenAI(
        model="our-model", base_url=f"{front.url}/v1", api_key=front.key, temperature=0
    ).bind_tools([CALCULATOR], tool_choice="any")
    (call,) = model.invoke("What's 56/7?").tool_calls
    assert call["name"] == "calculator"
    for message in (
        sum_of(list(model.stream("What's 56/7?"))),
        await model.ainvoke("What's 56/7?"),
        sum_of([chunk async for chunk in model.astream("What's 56/7?")]),
    ):
        assert [each["args"] for each in message.tool_calls] == [call["args"]]


def sum_of(chunks):
    return sum(chunks[1:], chunks[0])


@pytest.mark.parametrize(
    ("fields", "status", "code", "param"),
    [
        ({"model": "nobody"}, 404, "model_not_found", "model"),
        ({"reasoning_effort": "low"}, 400, "unsupported_value", "reasoning_effort"),
        ({"temperature": 3}, 400, "invalid_value", "temperature"),
        (
            {"messages": [{"role": "user", "content": "1 " * 5000}]},
            400,
            "context_length_exceeded",
            "messages",
        ),
        ({"model": 5}, 400, "invalid_value", "model"),
        ({"model": None}, 400, "missing_required_parameter", "model"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_errors_are_the_upstreams(client, fields, status, code, param, stream):
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(
            **({"model": "their-model", "messages": ASK, "stream": stream} | fields)
        )
    error = caught.value
    assert (error.status_code, error.code, error.param) == (status, code, param)
    assert ("--upstream-model" in error.message) == (status == 404)


def test_models_of_both(client):
    listed = {model.id: model for model in client.models.list()}
    assert {"nano", "their-model", "our-model"} == set(listed)
    assert listed["nano"].owned_by == "local"
    assert client.models.retrieve("our-model").root == "their-model"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nobody")


def test_half_a_character_goes_on_to_the_upstream(client):
    text = b'{"model": "our-model", "messages": [{"role": "user", "content": "\\ud83d"}]}'
    with pytest.raises(openai.BadRequestError, match="unpaired surrogate"):
        client.post("/chat/completions", cast_to=object, content=text)
