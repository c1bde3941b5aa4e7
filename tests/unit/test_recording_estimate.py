"""What recording a model's answers takes: tokens by the model's own counts, and a bound in USD."""

from types import SimpleNamespace

import pytest
from tiktoken import registry

from langchain_finetune.migration.estimate import make_tasks
from langchain_finetune.migration.prices import InferencePrice
from langchain_finetune.migration.prompts import RecordedPrompt
from support.vocabulary import fill_cache

PRICE = InferencePrice(input_usd=1_000_000, output_usd=1_000_000, longest_answer=50)
JOURNAL = SimpleNamespace(
    answered={}, failed={}, unknown=set(), open={}, usage=SimpleNamespace(cost=lambda price: 0.0)
)


def prompt(**request):
    asked = {"messages": [{"role": "user", "content": "Is 12 even?"}]} | request
    return RecordedPrompt(
        id="p", request=asked, origin="traffic", stratum="no tools", answer_tokens=5
    )


def estimated(model, *prompts):
    return make_tasks(model, prompts, 1, JOURNAL, PRICE)


@pytest.mark.parametrize(
    ("settings", "longest"),
    [({}, 50), ({"max_tokens": 7}, 7), ({"max_completion_tokens": 9}, 9), ({"max_tokens": -1}, 50)],
)
def test_an_answer_is_at_most_as_long_as_the_request_allows(settings, longest):
    tasks, estimate = estimated("other", prompt(**settings))
    assert estimate.requests == len(tasks) == 2
    least = estimate.input_tokens + 2 * longest
    assert least <= estimate.at_most_usd < least + 500


def test_a_model_of_openai_has_its_own_counts(tmp_path, monkeypatch):
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(fill_cache(tmp_path)))
    monkeypatch.setattr(registry, "ENCODINGS", {})
    _, exact = estimated("gpt-4o-mini", prompt())
    assert exact.tokens_are_estimated is False
    assert 20 <= exact.input_tokens <= 30


def test_without_a_vocabulary_the_bytes_are_a_bound(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "ENCODINGS", {})
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    _, bound = estimated("gpt-4o-mini", prompt())
    assert bound.tokens_are_estimated is True
    assert bound.at_most_usd > bound.usd


def test_a_request_that_no_training_file_has_is_estimated_by_its_bytes(tmp_path, monkeypatch):
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(fill_cache(tmp_path)))
    monkeypatch.setattr(registry, "ENCODINGS", {})
    _, estimate = estimated("gpt-4o-mini", prompt(tools=[{"type": "custom"}]))
    assert estimate.tokens_are_estimated is True
