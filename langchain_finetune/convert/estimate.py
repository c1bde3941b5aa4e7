"""What a training will take: tokens, money and time, with what was assumed."""

from pydantic import BaseModel, ConfigDict

from langchain_finetune.convert.prices import (
    LOCAL_SPEEDS,
    OPENAI_PRICES,
    SPEED_SOURCE,
    Price,
    Prices,
    families,
    price_of,
)
from langchain_finetune.convert.rows import Row, Target
from langchain_finetune.local.training.plan import Asked, make_plan

_BYTES_PER_TOKEN = 4
"""Of a line of JSON; English text has about as many characters a token."""

_OTHER_PARAMETERS = 600_000_000
"""Taken for a base of unknown size."""


class Estimate(BaseModel):
    """What training on the data takes at one engine.

    Attributes:
        engine: The engine.
        model: The base.
        examples: Examples that train.
        tokens: Their tokens, each counted once.
        tokens_are_estimated: They were not counted with the model's own tokenizer.
        n_epochs: How often each is seen.
        epochs_basis: Who says so.
        trained_tokens: `tokens` times `n_epochs`: what hosted engines charge for.
        price: What they cost, or None where it is not known.
        usd: The cost, or None.
        seconds: How long the training takes, or None where it is not known.
        seconds_basis: Where the speed comes from.
    """

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    engine: str
    model: str
    examples: int
    tokens: int
    tokens_are_estimated: bool
    n_epochs: int
    epochs_basis: str
    trained_tokens: int
    price: Price | None
    usd: float | None
    seconds: float | None
    seconds_basis: str


def tokens_of(row: Row) -> int:
    """Return a row's tokens: as counted, or else a quarter of its bytes."""
    return row.tokens if row.tokens is not None else max(1, len(row.line) // _BYTES_PER_TOKEN)


def estimate(
    target: Target,
    examples: int,
    tokens: int,
    *,
    tokens_are_estimated: bool,
    prices: Prices | None = None,
) -> Estimate:
    """Return what a training takes.

    Args:
        target: Engine and base, and the epochs where they are chosen.
        examples: How many examples train.
        tokens: Their tokens.
        tokens_are_estimated: They were not counted by the model's own tokenizer.
        prices: Prices that the user gives.

    Example:
        >>> made = estimate(
        ...     Target("openai", "gpt-4.1-mini"), 1000, 2_000_000, tokens_are_estimated=False
        ... )
        >>> made.n_epochs, made.usd
        (3, 30.0)
    """
    engine, model = target.engine or "openai", target.model or "?"
    epochs, basis = _epochs(target, examples)
    trained = tokens * epochs
    price = price_of(target, prices)
    speed = LOCAL_SPEEDS.get(model) if engine == "local" else None
    return Estimate(
        engine=engine,
        model=model,
        examples=examples,
        tokens=tokens,
        tokens_are_estimated=tokens_are_estimated,
        n_epochs=epochs,
        epochs_basis=basis,
        trained_tokens=trained,
        price=price,
        usd=None if price is None else round(trained * price.usd / 1e6, 4),
        seconds=None if speed is None else round(trained / speed.tokens_per_s, 1),
        seconds_basis=SPEED_SOURCE if speed else "not known",
    )


def known_targets(target: Target) -> list[Target]:
    """Return the target, if it is known, and all others with known figures, to compare with."""
    known = [Target("local", name) for name in LOCAL_SPEEDS]
    known += [Target("openai", name) for name in OPENAI_PRICES]
    if target.model is None:
        return known
    same = [(target.engine, name) for name in families(target.model)]
    return [target, *(each for each in known if (each.engine, each.model) not in same)]


def _epochs(target: Target, examples: int) -> tuple[int, str]:
    if target.n_epochs is not None:
        return target.n_epochs, "as asked for"
    if target.model is None:
        return 1, "each once: no engine is known yet"
    if target.engine == "local":
        speed = LOCAL_SPEEDS.get(target.model or "")
        parameters = speed.parameters if speed else _OTHER_PARAMETERS
        plan = make_plan(Asked(), examples=max(1, examples), parameters=parameters)
        return plan.hyperparameters.n_epochs, "the engine's own choice"
    return _openai_epochs(examples), "assumed: OpenAI's usual choice (its cookbook)"


def _openai_epochs(examples: int) -> int:
    """Return the epochs that OpenAI chooses: three, more for few examples and fewer for many.

    Source: OpenAI's cookbook, "Data preparation and analysis for chat model fine-tuning".
    """
    usual, fewest_seen, most_seen, most = 3, 100, 25_000, 25
    if examples * usual < fewest_seen:
        return min(most, fewest_seen // max(1, examples))
    if examples * usual > most_seen:
        return max(1, most_seen // examples)
    return usual
