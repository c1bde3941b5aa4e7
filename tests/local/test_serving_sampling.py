"""Several answers, log-probabilities and completions, over real models."""

import math

import openai
import pytest
from openai import AsyncOpenAI

from tests.local.chat_server import ChatServer
from tests.local.forms import NANO
from tests.local.tiny_model import CALCULATOR, make_tiny_model

ASK = [{"role": "user", "content": "Say something."}]
ARGUMENTS = '{"first": 5, "operation": "add", "second": 8}'
CALL = f'<tool_call>\n{{"name": "calculator", "arguments": {ARGUMENTS}}}\n</tool_call>'


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    tiny = make_tiny_model(tmp_path_factory.mktemp("tiny"), context=256)
    with ChatServer(tiny=tiny, nano=NANO).running() as server:
        yield server


@pytest.fixture(scope="module")
def client(server):
    with server.client() as client:
        yield client


def ask(client, model="tiny", **options):
    return client.chat.completions.create(model=model, messages=ASK, **options)


def test_several_answers(client):
    def answers():
        return ask(client, n=3, temperature=1.5, seed=5, max_tokens=10)

    first = answers()
    assert [choice.index for choice in first.choices] == [0, 1, 2]
    texts = [choice.message.content for choice in first.choices]
    assert len(set(texts)) == 3
    assert [choice.message.content for choice in answers().choices] == texts
    one = ask(client, temperature=1.5, seed=5, max_tokens=10)
    assert one.choices[0].message.content == texts[0]
    assert first.usage.prompt_tokens == one.usage.prompt_tokens
    assert first.usage.completion_tokens >= one.usage.completion_tokens
    assert first.usage.completion_tokens <= 30


def test_several_answers_in_a_stream(client):
    options = {"n": 2, "temperature": 1.5, "seed": 5, "max_tokens": 10}
    whole = [choice.message.content for choice in ask(client, **options).choices]
    texts, reasons = ["", ""], {}
    usage = {"include_usage": True}
    *chunks, last = list(ask(client, stream=True, stream_options=usage, **options))
    for chunk in chunks:
        (choice,) = chunk.choices
        texts[choice.index] += choice.delta.content or ""
        reasons |= {choice.index: choice.finish_reason} if choice.finish_reason else {}
    assert texts == whole
    assert reasons.keys() == {0, 1}
    assert last.usage.completion_tokens <= 20


def test_logprobs(client):
    answer = ask(client, logprobs=True, top_logprobs=3, temperature=1, seed=1, max_tokens=12)
    (choice,) = answer.choices
    tokens = choice.logprobs.content
    assert (
        b"".join(bytes(token.bytes) for token in tokens)
        .decode(errors="replace")
        .startswith(choice.message.content)
    )
    for token in tokens:
        assert token.logprob <= 0
        assert len(token.top_logprobs) == 3
        best = [each.logprob for each in token.top_logprobs]
        assert best == sorted(best, reverse=True)
        assert best[0] >= token.logprob
        assert sum(math.exp(each) for each in best) <= 1


def test_the_likeliest_token_is_taken_at_no_temperature(client):
    (choice,) = ask(client, "nano", logprobs=True, top_logprobs=1, temperature=0).choices
    assert choice.message.content
    assert all(token.top_logprobs[0].token == token.token for token in choice.logprobs.content)


def test_logprobs_in_a_stream(client):
    options = {"logprobs": True, "temperature": 1, "seed": 1, "max_tokens": 12}
    whole = ask(client, **options).choices[0].logprobs.content
    streamed = [
        token
        for chunk in ask(client, stream=True, **options)
        if chunk.choices[0].logprobs
        for token in chunk.choices[0].logprobs.content
    ]
    assert [token.bytes for token in streamed] == [token.bytes for token in whole]
    assert [token.top_logprobs for token in streamed] == [[]] * len(whole)


def test_logprobs_of_a_constrained_answer_are_the_models_own(client):
    (choice,) = ask(
        client, logprobs=True, response_format={"type": "json_object"}, max_tokens=20
    ).choices
    text = "".join(token.token for token in choice.logprobs.content)
    assert text == choice.message.content
    # A model that knows nothing gives no token of some 260 a large share.
    assert all(math.exp(token.logprob) < 0.2 for token in choice.logprobs.content)


def test_logprobs_are_those_of_the_text(client):
    choice = ask(client, "nano", tools=[CALCULATOR], tool_choice="required", logprobs=True).choices[
        0
    ]
    assert choice.message.tool_calls
    assert choice.logprobs.content == []


def test_a_completion(client, script):
    script.text = " and so on.<|im_end|>"
    answer = client.completions.create(model="tiny", prompt="Once", stop=" on")
    assert answer.choices[0].text == " and so"
    assert answer.choices[0].finish_reason == "stop"
    assert script.prompt == "Once"
    script.text = "x" * 50
    long = client.completions.create(model="tiny", prompt="Once")
    assert long.usage.completion_tokens == 16
    script.text = " and so on.<|im_end|>"
    echoed = client.completions.create(model="tiny", prompt="Once", echo=True)
    assert echoed.choices[0].text == "Once and so on."


def test_calls_in_a_completion_are_text(client, script):
    script.text = f"{CALL}<|im_end|>"
    answer = client.completions.create(model="tiny", prompt="Once", max_tokens=120)
    assert answer.choices[0].text == CALL


def test_completions_of_several_prompts(client):
    options = {"prompt": ["One", "Two"], "n": 2, "max_tokens": 5, "temperature": 1, "seed": 4}
    whole = client.completions.create(model="tiny", **options)
    assert [choice.index for choice in whole.choices] == [0, 1, 2, 3]
    assert whole.usage.completion_tokens <= 20
    assert whole.usage.prompt_tokens == 6
    texts = [""] * 4
    for chunk in client.completions.create(model="tiny", stream=True, **options):
        texts[chunk.choices[0].index] += chunk.choices[0].text
    assert texts == [choice.text for choice in whole.choices]


def test_a_completion_of_tokens(client):
    tokens = [40, 41, 42]
    answer = client.completions.create(model="tiny", prompt=tokens, max_tokens=4, logprobs=2)
    assert answer.usage.prompt_tokens == 3
    told = answer.choices[0].logprobs
    assert len(told.tokens) == len(told.token_logprobs) == len(told.top_logprobs)
    assert all(len(top) <= 2 for top in told.top_logprobs)


async def test_async_clients(server):
    async with AsyncOpenAI(base_url=server.url, api_key="none") as client:
        stream = await client.completions.create(
            model="tiny",
            prompt="Once",
            max_tokens=5,
            stream=True,
            stream_options={"include_usage": True},
        )
        assert [chunk async for chunk in stream][-1].usage.completion_tokens <= 5
        answer = await client.chat.completions.create(model="tiny", messages=ASK, n=2, max_tokens=3)
        assert len(answer.choices) == 2


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"prompt": []}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": [[1], "a", 3]}, "prompt"),
        ({"prompt": [100_000]}, "prompt"),
        ({"prompt": "x" * 300}, "prompt"),
        ({"prompt": ["a"] * 70, "n": 2}, "prompt"),
        ({"suffix": "end"}, "suffix"),
        ({"best_of": 3}, "best_of"),
        ({"logprobs": 6}, "logprobs"),
        ({"logprobs": 1, "echo": True}, "echo"),
        ({"frequency_penalty": 3}, "frequency_penalty"),
        ({"extra_body": {"speed": 1}}, "speed"),
    ],
)
def test_completions_that_are_refused(client, options, param):
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(**({"model": "tiny", "prompt": "a"} | options))
    assert caught.value.param == param
