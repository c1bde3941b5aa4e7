"""What training takes, and limits that stop before anything is sent."""

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from langchain_finetune import BudgetError, Convert, FineTune
from langchain_finetune.convert.estimate import estimate, price_of
from langchain_finetune.convert.rows import Target
from langchain_finetune.engines import engine_of
from langchain_finetune.errors import InvalidArgumentError
from langchain_finetune.home import HOME_VARIABLE


def chats(count=100, length=400):
    answer = AIMessage("a" * length)
    return [{"messages": [HumanMessage(f"Question {n}"), answer]} for n in range(count)]


def fine_tune(**settings):
    return FineTune(model="gpt-4.1-mini", api_key="k", base_url="http://127.0.0.1:9/v1", **settings)


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    return tmp_path


def openai(model, **settings):
    return Target("openai", model, **settings)


@pytest.mark.parametrize(
    ("target", "prices", "usd"),
    [
        (openai("gpt-4.1"), None, 25.0),
        (openai("gpt-4.1-2025-04-14"), None, 25.0),
        (openai("gpt-4.1-mini-2025-04-14"), None, 5.0),
        (openai("ft:gpt-4o-mini-2024-07-18:org:name:id"), None, 3.0),
        (openai("gpt-4.1", base_url="https://api.openai.com/v1/"), None, 25.0),
        (openai("gpt-4.1", base_url="https://gateway.example/v1"), None, None),
        (openai("gpt-4.1", base_url="https://gateway.example/v1"), {"gpt-4.1": 40}, 40),
        (openai("gpt-4.1-2025-04-14"), {"gpt-4.1": 20}, 20),
        (openai("other"), None, None),
        (openai("gpt-4.1-turbo-max"), None, None),
        (Target("azure", "gpt-4.1"), None, None),
        (Target("local", "nano"), None, 0.0),
        (Target(), None, None),
    ],
)
def test_prices(target, prices, usd):
    price = price_of(target, prices)
    assert (price and price.usd) == usd


@pytest.mark.parametrize(
    ("examples", "epochs"), [(10, 10), (4, 25), (34, 3), (5000, 3), (9000, 2), (100_000, 1)]
)
def test_hosted_epochs_are_assumed_and_said(examples, epochs):
    made = estimate(openai("gpt-4.1"), examples, 1000, tokens_are_estimated=False)
    assert made.n_epochs == epochs
    assert "assumed" in made.epochs_basis
    assert made.trained_tokens == 1000 * epochs


def test_epochs_that_were_asked_for_count():
    made = estimate(openai("gpt-4.1", n_epochs=7), 100, 1_000_000, tokens_are_estimated=False)
    assert (made.n_epochs, made.usd) == (7, 175.0)


@pytest.mark.parametrize("model", engine_of("local").speeds)
def test_the_embedded_engine_costs_time(model):
    made = estimate(Target("local", model), 100, 10_000, tokens_are_estimated=False)
    assert made.usd == 0
    assert made.seconds == pytest.approx(
        made.trained_tokens / engine_of("local").speeds[model].tokens_per_s, abs=0.1
    )


def test_too_costly_is_said_with_its_figures(home):
    examples = Convert().invoke(chats())
    with pytest.raises(BudgetError) as caught:
        fine_tune(
            max_cost_usd=0.1, prices={"gpt-4.1-mini": 5}, hyperparameters={"n_epochs": 2}
        ).invoke(examples)
    said = str(caught.value)
    assert "max_cost_usd=0.1" in said
    assert "100 examples x 2 epochs (as asked for)" in said
    assert "$5 per million trained tokens (given as `prices`)" in said
    assert "estimated from bytes" in said
    assert "aaaa" not in said
    assert list((home / "spool").iterdir()) == []


def test_the_price_list_is_named_with_its_date(home, monkeypatch):
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    step = FineTune(model="gpt-4.1", api_key="k", max_cost_usd=0.01)
    with pytest.raises(BudgetError, match=r"OpenAI's price list, 2026-11.*Nothing was sent"):
        step.invoke(Convert().invoke(chats()))


def test_the_address_of_the_environment_counts(home, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "https://gateway.example/v1")
    step = FineTune(model="gpt-4.1", api_key="k", max_cost_usd=1000)
    with pytest.raises(BudgetError, match="is unknown"):
        step.invoke(Convert().invoke(chats()))


def test_an_unknown_price_says_how_to_give_one(home):
    with pytest.raises(BudgetError, match=r"prices=\{'gpt-4.1-mini': USD per million"):
        fine_tune(max_cost_usd=1000).invoke(Convert().invoke(chats()))


async def test_too_many_tokens_count_each_epoch(home):
    step = fine_tune(max_tokens=20_000, hyperparameters={"n_epochs": 2})
    with pytest.raises(BudgetError, match="max_tokens=20,000"):
        await step.ainvoke(Convert().invoke(chats()))


def test_convert_keeps_limits_too(home):
    # Alone it counts each example once; the engine's epochs count in FineTune.
    limited = Convert(max_tokens=20_000)
    assert len(list(limited.invoke(chats()))) == 100
    with pytest.raises(BudgetError, match="3 epochs"):
        fine_tune().invoke(limited.invoke(chats()))
    with pytest.raises(BudgetError, match="max_tokens=5,000"):
        list(Convert(max_tokens=5000).invoke(chats()))
    costly = Convert(max_cost_usd=0.01, prices={"gpt-4.1-mini": 5})
    assert len(list(costly.invoke(chats()))) == 100
    with pytest.raises(BudgetError, match=r"max_cost_usd=0.01"):
        fine_tune().invoke(costly.invoke(chats()))


def test_only_the_training_part_costs():
    split = {"test": 0.5}
    sessions = chats(200)
    with pytest.raises(BudgetError):
        list(Convert(max_tokens=20_000).invoke(sessions))
    assert len(list(Convert(max_tokens=20_000, split=split).invoke(sessions))) == 200


def test_counted_tokens_count_before_bytes():
    counted = Convert().invoke(chats()).report(engine="local", model="nano")
    rows = list(Convert(model="nano").invoke(chats()).rows())
    assert counted.tokens_counted == 1
    assert counted.tokens.total == sum(row.tokens for row in rows)
    assert counted.target_tokens == sum(row.target_tokens for row in rows)
    report = Convert().invoke(chats()).report(engine="openai", model="some-base")
    assert (report.tokens_counted, report.target_tokens) == (0, None)
    assert report.tokens.total == sum(
        len(row.line) // 4 for row in Convert().invoke(chats()).rows()
    )


@pytest.mark.parametrize(
    "settings", [{"max_cost_usd": -1}, {"max_tokens": -1}, {"prices": {"m": -1}}]
)
def test_limits_are_not_negative(settings):
    with pytest.raises(InvalidArgumentError):
        FineTune(model="m", **settings)
    with pytest.raises(InvalidArgumentError):
        Convert(**settings)
