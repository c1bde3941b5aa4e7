"""What a training will take: tokens, money and time, with what was assumed; limits on it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from langchain_finetune.convert.rows import Row, Target
from langchain_finetune.display.text import counted
from langchain_finetune.engines import all_engines, engine_of
from langchain_finetune.engines.prices import Price
from langchain_finetune.errors import BudgetError

Prices = Mapping[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]]
"""USD per million trained tokens, by base model; takes the place of the known ones."""


def price_of(target: Target, prices: Prices | None = None) -> Price | None:
    """Return the price of training at an engine, or None where it is not known.

    Example:
        >>> price_of(Target("openai", "gpt-4.1-mini-2025-04-14")).usd
        5.0
        >>> price_of(Target("openai", "my-model"), {"my-model": 0.5}).usd
        0.5
    """
    if target.model is None:
        return None
    names = families(target.model)
    for name in names:
        if prices and name in prices:
            return Price(usd=prices[name], source="given as `prices`")
    return engine_of(target.engine or "openai").price(names, target.base_url)


def families(model: str) -> list[str]:
    """Return the names that a model's price may stand under: its own, its base's, without date.

    Example:
        >>> families("ft:gpt-4o-mini-2024-07-18:org::id")
        ['ft:gpt-4o-mini-2024-07-18:org::id', 'gpt-4o-mini-2024-07-18', 'gpt-4o-mini']
    """
    base = model.split(":")[1] if model.startswith("ft:") else model
    family, *date = base.rsplit("-", 3)
    dated = [family] if [len(part) for part in date] == [4, 2, 2] else []
    return list(dict.fromkeys([model, base, *dated]))


_BYTES_PER_TOKEN = 4
"""Of a line of JSON; English text has about as many characters a token."""


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
    """Return what a training on some examples and their tokens takes; see `Estimate`.

    Example:
        >>> made = estimate(
        ...     Target("openai", "gpt-4.1-mini"), 1000, 2_000_000, tokens_are_estimated=False
        ... )
        >>> made.n_epochs, made.usd
        (3, 30.0)
    """
    engine, model = engine_of(target.engine or "openai"), target.model or "?"
    epochs, basis = _epochs(target, examples)
    trained = tokens * epochs
    price = price_of(target, prices)
    speed = engine.speeds.get(model)
    return Estimate(
        engine=engine.name,
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
        seconds_basis=speed.source if speed else "not known",
    )


def known_targets(target: Target) -> list[Target]:
    """Return the target, if it is known, and all others with known figures, to compare with."""
    known = [Target(each.name, base) for each in all_engines() for base in each.speeds]
    known += [Target(each.name, base) for each in all_engines() for base in each.prices]
    if target.model is None:
        return known
    same = [(target.engine, name) for name in families(target.model)]
    return [target, *(each for each in known if (each.engine, each.model) not in same)]


def _epochs(target: Target, examples: int) -> tuple[int, str]:
    if target.n_epochs is not None:
        return target.n_epochs, "as asked for"
    if target.model is None:
        return 1, "each once: no engine is known yet"
    return engine_of(target.engine or "openai").usual_epochs(target.model, examples)


@dataclass(frozen=True)
class Budget:
    """Limits of a training; `max_tokens` counts those of all epochs. See `Convert`."""

    max_cost_usd: float | None = None
    max_tokens: int | None = None
    prices: Prices | None = None

    def limits(self) -> bool:
        """Return whether there is a limit."""
        return self.max_cost_usd is not None or self.max_tokens is not None

    def check(self, made: Estimate) -> None:
        """Check an estimate against the limits.

        Raises:
            BudgetError: It exceeds one, or nobody knows the price.
        """
        if self.max_tokens is not None and made.trained_tokens > self.max_tokens:
            raise BudgetError(
                f"Training would use {_sum(made)}, more than max_tokens={self.max_tokens:,}. "
                f"{_ADVICE} max_tokens."
            )
        if self.max_cost_usd is None:
            return
        if made.price is None and engine_of(made.engine).quotes:
            return  # It is asked once the files are uploaded.
        if made.usd is None or made.price is None:
            raise BudgetError(
                f"The price of training {made.model} with this engine is unknown, so "
                f"max_cost_usd={self.max_cost_usd:g} can't be checked; nothing was sent. Set the "
                f"price: prices={{{made.model!r}: USD per million trained tokens}}."
            )
        if made.usd > self.max_cost_usd:
            raise BudgetError(
                f"Training would cost about ${made.usd:,.2f}, more than "
                f"max_cost_usd={self.max_cost_usd:g}: {_sum(made)} at {made.price}. "
                f"{_ADVICE} max_cost_usd."
            )


_ADVICE = "Nothing was sent. Select fewer chats, set fewer epochs, or raise"


def within_budget(rows: Iterator[Row], budget: Budget, target: Target) -> Iterator[Row]:
    """Yield the rows; after the last, check them against the limits.

    The cost depends on engine and base, so `max_cost_usd` applies once they are known.

    Raises:
        BudgetError: The training rows exceed a limit.
    """
    examples = tokens = 0
    is_estimated = False
    for row in rows:
        if row.part == "train":
            examples += 1
            tokens += tokens_of(row)
            is_estimated = is_estimated or row.tokens is None
        yield row
    made = estimate(
        target, examples, tokens, tokens_are_estimated=is_estimated, prices=budget.prices
    )
    if target.model is None:
        budget = Budget(max_tokens=budget.max_tokens)
    budget.check(made)


def _sum(made: Estimate) -> str:
    about = "about " if made.tokens_are_estimated else ""
    how = " (estimated from bytes)" if made.tokens_are_estimated else ""
    return (
        f"{about}{made.trained_tokens:,} trained tokens: {made.tokens:,} tokens{how} in "
        f"{counted(made.examples, 'example')} x {counted(made.n_epochs, 'epoch')} "
        f"({made.epochs_basis})"
    )
