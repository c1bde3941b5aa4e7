"""What is surely too long is not counted to its end, and what may fit is counted as ever."""

from copy import copy
from dataclasses import replace
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage
from trl.chat_template_utils import qwen3_chat_template

from langchain_finetune import Convert
from langchain_finetune.convert.rows import Target
from langchain_finetune.convert.tokens.count import Count, Over, Unfit
from langchain_finetune.convert.tokens.counter import counter_of
from langchain_finetune.convert.tokens.local import LocalCounter
from langchain_finetune.local.training import encoding
from langchain_finetune.local.training.text_tokens import TextTokens
from langchain_finetune.local.training.token_bound import LeastTokens

OVER = "It has more than 4096 tokens; the limit is 4096."


@pytest.fixture(scope="module")
def counter():
    return counter_of(Target("local", "nano"), "offline")


@pytest.fixture
def rendered(monkeypatch):
    """How many messages each rendering had."""
    sizes = []
    render = encoding.render

    def counting(tokenizer, given, **how):
        sizes.append(len(given.messages))
        return render(tokenizer, given, **how)

    monkeypatch.setattr(encoding, "render", counting)
    return sizes


@pytest.fixture
def tokenized(monkeypatch):
    """The lengths of the texts that the tokenizer got."""
    lengths = []
    tokens = TextTokens._encoded

    def counting(self, texts):
        lengths.extend(map(len, texts))
        return tokens(self, texts)

    monkeypatch.setattr(TextTokens, "_encoded", counting)
    return lengths


def of_chat(sizes):
    """Without the invented chats that tell whether the template only appends."""
    return [size for size in sizes if size > 50]


def turns(number):
    return [m for n in range(number) for m in (HumanMessage(f"Question {n}?"), AIMessage("Yes."))]


def wire(*texts):
    roles = ("user", "assistant")
    return [{"role": roles[n % 2], "content": text} for n, text in enumerate(texts)]


def test_a_chat_far_over_the_limit_is_rendered_for_its_last_answer_only(rendered, tokenized):
    examples = Convert(model="nano").invoke([{"messages": turns(3000)}])
    assert list(examples) == []
    assert [(skip.code, skip.reason) for skip in examples.rejected] == [("too_long", OVER)]
    assert of_chat(rendered) == [6000]
    assert tokenized == []


def test_a_chat_somewhat_over_the_limit_is_rendered_up_to_the_limit_only(rendered, tokenized):
    examples = Convert(model="nano").invoke([{"messages": turns(450)}])
    assert list(examples) == []
    assert [skip.reason for skip in examples.rejected] == [OVER]
    assert of_chat(rendered) == [900, 900]  # The first one for the bound.
    assert 0 < sum(tokenized) < 30_000  # of 36_000 characters


@pytest.mark.parametrize("too_long", ["reject", "drop_oldest"])
def test_a_huge_text_never_reaches_the_tokenizer(tokenized, too_long):
    huge = "word " * 400_000
    chat = {"messages": [HumanMessage("Hi"), AIMessage("Ho"), HumanMessage(huge), AIMessage("Yes")]}
    examples = Convert(model="nano", too_long=too_long).invoke([chat])
    assert list(examples) == []
    assert [skip.reason for skip in examples.rejected] == [OVER]
    assert sum(tokenized) < 1000


def test_old_turns_are_dropped_from_a_long_chat_as_from_a_short_one(rendered):
    chats = [{"messages": turns(3000)[start:]} for start in (0, 2 * 2700)]
    examples = Convert(model="nano", too_long="drop_oldest").invoke(chats[:1])
    [row] = examples.rows()
    assert sum(size > 1000 for size in rendered) <= 2 * 14  # twice a probe
    [same] = Convert(model="nano", too_long="drop_oldest").invoke(chats[1:]).rows()
    assert (row.example, row.tokens) == (same.example, same.tokens)


def test_a_huge_completion_and_preference_are_over(counter, tokenized):
    huge = "word " * 400_000
    preference = {
        "input": {"messages": wire("Hi")},
        "preferred_output": wire("", huge)[1:],
        "non_preferred_output": wire("", "No")[1:],
    }
    completion = {"prompt": huge, "completion": "Yes"}
    assert counter.count([preference, completion]) == [Over(), Over()]
    assert sum(tokenized) == 0


def test_what_is_not_trained_is_not_held_against_an_example(counter):
    """Behind the last answer that is trained nothing decides by the bound."""
    muted = wire(*["Hi", "Ho"] * 20, "So", "word " * 40_000)
    muted[-1]["weight"] = 0
    [count] = counter.count([{"messages": muted}])
    assert isinstance(count, Over)  # nano goes on with one sequence
    for message in muted[1::2]:
        message["weight"] = 0
    [count] = counter.count([{"messages": muted}])
    assert isinstance(count, Unfit)
    assert count.code == "no_answer"


def test_a_long_chat_that_fits_has_the_engines_count(counter):
    chat = {"messages": wire(*["Hi", "Ho"] * 60)}
    [sequence] = counter.encoder.sequences(chat)
    total = len(sequence.input_ids)
    assert counter.count([chat]) == [Count(total, total, sequence.trained)]
    with_limit = counter_of(Target("local", "nano"), "offline", most=total)
    assert with_limit.count([chat]) == counter.count([chat])


@st.composite
def weighted(draw):
    chat = {"messages": wire(*draw(st.lists(st.text(max_size=20), min_size=2, max_size=12)))}
    for message in chat["messages"][1::2]:
        message["weight"] = draw(st.integers(0, 1))
    return chat


@pytest.mark.parametrize("rewrites", [False, True])
@settings(deadline=None, max_examples=60)
@given(chat=weighted(), limit=st.integers(5, 150))
def test_only_what_is_over_is_not_counted(counter, rewrites, chat, limit):
    """Also where the template rewrites earlier turns, so that a chat is many sequences."""
    encoder = counter.encoder
    if rewrites:
        tokenizer = copy(encoder.tokenizer)
        tokenizer.chat_template = qwen3_chat_template
        encoder = replace(encoder, tokenizer=tokenizer)
    [exact] = LocalCounter(replace(encoder, max_length=None)).count([chat])
    with (
        patch("langchain_finetune.convert.tokens.local._MANY", 0),
        patch("langchain_finetune.convert.tokens.local._STEP", 1),
    ):
        [found] = LocalCounter(encoder, most=limit).count([chat])
    if isinstance(found, Over):
        assert exact.longest > limit
    else:
        assert found == exact


ADDED = ["<|im_start|>", "</tool_response>", '", "parameters": {"properties": {"', '": {"type": "']
TEXT = st.lists(st.one_of(st.text(), st.sampled_from([*ADDED, " " * 40, "e\u0301"]))).map("".join)


@settings(deadline=None, max_examples=200)
@given(TEXT, TEXT)
def test_the_bound_is_never_above_the_tokens(counter, first, second):
    """However the text is cut into the parts that are put into tokens."""
    least = LeastTokens.of(counter.encoder.tokenizer)
    tokens = sum(
        len(counter.encoder.tokenizer(part, add_special_tokens=False)["input_ids"])
        for part in (first, second)
    )
    assert not least.is_over(first + second, tokens)


def test_the_bound_says_something(counter):
    least = LeastTokens.of(counter.encoder.tokenizer)
    assert least.is_over("a" * 16, 1)
    assert not least.is_over(max(least.added, key=len), 1)


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("normalizer", {"type": "Lowercase"}),
        ("pre_tokenizer", {"type": "Whitespace"}),
        ("added_tokens", [{"content": "a", "lstrip": False, "rstrip": True}]),
        ("model", {"type": "WordPiece", "vocab": {"a": 0}}),
    ],
)
def test_nothing_is_known_of_a_tokenizer_that_may_lose_text(counter, part, change):
    import json
    from types import SimpleNamespace

    parts = json.loads(counter.encoder.tokenizer.backend_tokenizer.to_str()) | {part: change}
    backend = SimpleNamespace(to_str=lambda: json.dumps(parts))
    assert LeastTokens.of(SimpleNamespace(backend_tokenizer=backend)) is None
    assert LeastTokens.of(SimpleNamespace()) is None
