"""Penalties and biases of chat completions and completions, over real models."""

import json
from collections import Counter

import openai
import pytest
from langchain_openai import ChatOpenAI

from tests.local.chat_server import ChatServer
from tests.local.forms import NANO
from tests.local.tiny_model import make_tiny_model

ASK = [{"role": "user", "content": "Say something."}]
ROUTES = ("chat", "completion")


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


@pytest.fixture(scope="module")
def tokenizer(server):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(server.models["tiny"])


@pytest.fixture(scope="module")
def letters(tokenizer):
    """A bias that leaves a choice among eight letters."""
    return {str(tokenizer.encode(letter)[0]): 50 for letter in "abcdefgh"}


def written(client, route, model="tiny", **options):
    """The text of an answer, without chance."""
    options = {"temperature": 0, "max_tokens": 40} | options
    if route == "chat":
        answer = client.chat.completions.create(model=model, messages=ASK, **options)
        return answer.choices[0].message.content
    return client.completions.create(model=model, prompt="Once", **options).choices[0].text


def test_scores_are_adjusted_as_documented():
    import torch

    from langchain_finetune.local.serving.protocol import SampledRequest
    from langchain_finetune.local.serving.structured.constraint import Adjustment

    fields = {"presence_penalty": 0.5, "frequency_penalty": 0.25, "logit_bias": {"3": -100, "4": 7}}
    adjust = Adjustment(SampledRequest(model="tiny", **fields))
    prompt = [2, 2, 2]
    answer = [1, 1, 0]
    scores = torch.ones(1, 5)
    assert adjust(torch.tensor([prompt]), scores).tolist() == [[1, 1, 1, -99, 8]]
    for length in range(1, 4):
        adjusted = adjust(torch.tensor([prompt + answer[:length]]), scores)
    assert adjusted.tolist() == [[0.25, 0, 1, -99, 8]]
    assert scores.tolist() == [[1] * 5]


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("name", ["presence_penalty", "frequency_penalty"])
def test_a_penalty_makes_an_answer_repeat_less(client, route, name, letters):
    def most(penalty):
        text = written(client, route, logit_bias=letters, **{name: penalty})
        return max(Counter(text).values())

    # A model that knows nothing says the same over and over.
    assert most(2) < most(0) <= most(-2)


@pytest.mark.parametrize("route", ROUTES)
def test_a_bias_chooses_or_bans_a_token(client, route, letters, tokenizer):
    liked = written(client, route, logit_bias=letters)
    assert len(liked) == 40
    assert set(liked) <= set("abcdefgh")
    [token] = tokenizer.encode(liked[0])
    banned = written(client, route, logit_bias=letters | {str(token): -100})
    assert set(banned) <= set("abcdefgh") - {liked[0]}


def test_a_form_is_kept_whatever_the_bias(client, tokenizer):
    [bracket] = tokenizer.encode("{")
    options = {"response_format": {"type": "json_object"}, "frequency_penalty": 2}
    text = written(client, "chat", logit_bias={str(bracket): -100}, **options)
    assert isinstance(json.loads(text), dict)


def test_streams_and_logprobs(client, tokenizer):
    [a] = tokenizer.encode("a")
    options = {"logit_bias": {str(a): 100}, "max_tokens": 4, "logprobs": True}
    chunks = client.chat.completions.create(model="tiny", messages=ASK, stream=True, **options)
    tokens = [t for c in chunks if c.choices[0].logprobs for t in c.choices[0].logprobs.content]
    assert [token.token for token in tokens] == ["a"] * 4
    # They are the model's own, before the bias.
    assert all(token.logprob < -1 for token in tokens)


def test_chat_openai(server, tokenizer):
    [a] = tokenizer.encode("a")
    model = ChatOpenAI(
        model="tiny",
        base_url=server.url,
        api_key="none",
        max_tokens=3,
        frequency_penalty=0.1,
        presence_penalty=0.1,
        logit_bias={a: 100},
    )
    assert model.invoke("hi").content == "aaa"


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    "options",
    [
        {"presence_penalty": 2.1},
        {"frequency_penalty": -3},
        {"frequency_penalty": "much"},
        {"logit_bias": {"word": 1}},
        {"logit_bias": {"-1": 1}},
        {"logit_bias": {"9" * 5000: 1}},
        {"logit_bias": {"400": 1}},
        {"logit_bias": {"5": 101}},
        {"logit_bias": {"5": "much"}},
        {"logit_bias": [5]},
        {"logit_bias": {str(token): 1 for token in range(2000)}},
    ],
    ids=lambda options: str(options)[:30],
)
def test_what_is_refused(client, route, options):
    with pytest.raises(openai.BadRequestError) as caught:
        written(client, route, **options)
    assert caught.value.param in options
    assert len(caught.value.message) < 300
