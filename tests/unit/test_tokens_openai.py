"""Tokens as OpenAI counts them, with tiktoken's real vocabulary, and without any."""

import inspect
import json

import pytest
import requests
import tiktoken_ext.openai_public
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage
from tiktoken import registry

from langchain_finetune import Convert, ConvertError
from langchain_finetune.convert.rows import Target
from langchain_finetune.convert.tokens.count import Count
from langchain_finetune.convert.tokens.counter import counter_of
from langchain_finetune.convert.tokens.openai import OpenAICounter, byte_length
from tests.support.vocabulary import ADDRESS, fill_cache

MODEL = "gpt-4.1-mini-2025-04-14"
GOOD = {"messages": [HumanMessage("Hi"), AIMessage("Hello there")]}
LINE = {
    "messages": [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello there"},
    ]
}
TOOL = {
    "type": "function",
    "function": {
        "name": "book",
        "description": "Books a seat.",
        "parameters": {
            "type": "object",
            "properties": {
                "row": {"type": "integer", "description": "Row"},
                "side": {"type": "string", "enum": ["left", "right"]},
            },
        },
    },
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A filled cache, and the encodings in memory, which tests of other files must not find."""
    return fill_cache(tmp_path_factory.mktemp("tiktoken")), {}


@pytest.fixture
def vocabulary(cache, monkeypatch):
    folder, encodings = cache
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(folder))
    monkeypatch.setattr(registry, "ENCODINGS", encodings)


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """Nothing in the cache, nothing in memory, and no network."""
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(registry, "ENCODINGS", {})

    def get(url, **_):
        raise requests.ConnectionError(url)

    monkeypatch.setattr(requests, "get", get)


def count(example, model=MODEL):
    [found] = counter_of(Target("openai", model), "offline").count([example])
    return found


def test_messages_and_the_reply(vocabulary):
    # Each message: 3, its role 1, and its text ("Hi" 1, "Hello there" 2); the reply's beginning 3.
    assert count(LINE) == Count(total=14, longest=14, targets=2)


def test_a_name_costs_one_token_more(vocabulary):
    named = {"messages": [{**LINE["messages"][0], "name": "Ada"}, LINE["messages"][1]]}
    assert count(named).total == 14 + 1 + 1


def test_weight_zero_is_paid_for_and_not_learnt(vocabulary):
    messages = [*LINE["messages"], {"role": "user", "content": "Hi"}]
    muted = {"role": "assistant", "content": "Hello there", "weight": 0}
    assert count({"messages": [*messages, muted]}) == Count(25, 25, targets=2)


def test_calls_count_name_and_arguments(vocabulary):
    call = {"id": "c", "type": "function", "function": {"name": "book", "arguments": "{}"}}
    called = {
        "messages": [
            LINE["messages"][0],
            {"role": "assistant", "content": None, "tool_calls": [call]},
        ]
    }
    assert count(called) == Count(3 + 5 + 4 + 5, 17, targets=5)


def test_tools_count_as_the_cookbook_says(vocabulary):
    # book:Books a seat (5); row:integer:Row (5); side:string: (3); left and right (1 each).
    name, row, side, values = 5, 5, 3, 2
    expected = 12 + 7 + name + 3 + (3 + row) + (3 + side) + (-3 + 2 * 3 + values)
    assert count({**LINE, "tools": [TOOL]}).total - 14 == expected
    assert count({**LINE, "functions": [TOOL["function"]]}).total - 14 == expected


def test_older_models_pay_more_for_a_tool(vocabulary):
    new, old = (count({**LINE, "tools": [TOOL]}, model).total for model in (MODEL, "gpt-3.5-turbo"))
    assert old - new == 3


@pytest.mark.parametrize(
    ("model", "detail", "tokens"),
    [("gpt-4o", "low", 85), ("gpt-4o", "high", 765), ("gpt-4o-mini", "low", 2833)],
)
def test_an_image_is_estimated_and_not_its_data_counted(vocabulary, model, detail, tokens):
    url = "data:image/png;base64," + "A" * 400_000
    image = {"type": "image_url", "image_url": {"url": url, "detail": detail}}
    shown = [{"role": "user", "content": [{"type": "text", "text": "Hi"}, image]}]
    assert count({"messages": [*shown, LINE["messages"][1]]}, model).total == 14 + tokens


def test_preferences_and_completions(vocabulary):
    answers = [[{"role": "assistant", "content": text}] for text in ("Hello there", "No")]
    preference = {
        "input": {"messages": LINE["messages"][:1]},
        "preferred_output": answers[0],
        "non_preferred_output": answers[1],
    }
    assert count(preference) == Count(total=14 + 13, longest=14, targets=3)
    assert count({"prompt": "Hi", "completion": "Hello there"}) == Count(3, 3, 2)


def test_text_that_tiktoken_itself_gives_up_on(vocabulary):
    blank = {"messages": [{"role": "user", "content": " " * 1_000_000}, LINE["messages"][1]]}
    assert 5_000 < count(blank).total < 20_000


def test_special_tokens_in_text_are_text(vocabulary):
    special = {"messages": [{"role": "user", "content": "<|endoftext|>"}, LINE["messages"][1]]}
    assert count(special).total > 14


@given(st.text(), st.text())
def test_a_bound_is_never_less_than_the_count(cache, question, answer):
    with pytest.MonkeyPatch.context() as patch:
        folder, encodings = cache
        patch.setenv("TIKTOKEN_CACHE_DIR", str(folder))
        patch.setattr(registry, "ENCODINGS", encodings)
        exact = counter_of(Target("openai", MODEL), "offline")
    arguments = json.dumps({"seat": answer})
    call = {"id": "c", "type": "function", "function": {"name": "book", "arguments": arguments}}
    example = {
        "messages": [
            {"role": "user", "content": question},
            {"role": "assistant", "content": answer, "tool_calls": [call]},
        ],
        "tools": [TOOL],
    }
    bounds = OpenAICounter(byte_length, None, exact=False)
    assert exact.exact
    assert exact.count([example])[0].total <= bounds.count([example])[0].total


def test_offline_short_examples_pass_uncounted(offline):
    [row] = Convert(model=MODEL).invoke([GOOD]).rows()
    assert row.tokens is None


def test_offline_a_long_example_can_not_be_known_to_fit(offline):
    long = {"messages": [HumanMessage("a" * 70_000), AIMessage("Hello")]}
    examples = Convert(model=MODEL).invoke([GOOD, long])
    assert len(list(examples)) == 1
    assert [(skip.id, skip.code) for skip in examples.rejected] == [("session 1", "length_unknown")]
    assert "count_tokens='always'" in examples.rejected[0].reason


def test_with_the_vocabulary_the_long_example_fits(vocabulary):
    long = {"messages": [HumanMessage("a" * 70_000), AIMessage("Hello")]}
    first, second = Convert(model=MODEL).invoke([GOOD, long]).rows()
    assert (first.tokens, first.target_tokens) == (14, 2)
    assert 8_000 < second.tokens < 10_000


def test_offline_an_exact_count_is_an_error_that_says_what_to_do(offline, caplog):
    with pytest.raises(ConvertError, match="TIKTOKEN_CACHE_DIR") as caught:
        list(Convert(model=MODEL, count_tokens="always").invoke([GOOD]))
    assert isinstance(caught.value.__cause__, requests.ConnectionError)
    assert "Downloading tiktoken's vocabulary o200k_base" in caplog.text


def test_nothing_is_counted_without_a_model(offline):
    [row] = Convert().invoke([GOOD]).rows()
    assert row.tokens is None
    with pytest.raises(ConvertError, match="The model is needed"):
        list(Convert(count_tokens="always").invoke([GOOD]))
    with pytest.raises(ConvertError, match="No tokenizer is known for 'my-deployment'"):
        list(Convert(count_tokens="always").invoke([GOOD]).rows(Target("openai", "my-deployment")))


def test_a_limit_of_ones_own_needs_no_model(offline):
    examples = Convert(max_example_tokens=100).invoke(
        [GOOD, {"messages": [HumanMessage("a" * 200), AIMessage("Hello")]}]
    )
    assert len(list(examples)) == 1
    assert examples.rejected_by_reason() == {"length_unknown": 1}


def test_the_model_that_convert_names_counts(vocabulary):
    [row] = Convert(model=MODEL).invoke([GOOD]).rows(Target("openai", "my-deployment"))
    assert row.tokens == 14
    [row] = Convert().invoke([GOOD]).rows(Target("openai", MODEL))
    assert row.tokens == 14


def test_tiktoken_still_gets_its_vocabularies_from_there():
    source = inspect.getsource(tiktoken_ext.openai_public)
    assert all(ADDRESS.format(name) in source for name in ("cl100k_base", "o200k_base"))
