"""What a training will take: tokens, money and time, with what was assumed."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field

from langchain_finetune.convert.rows import Row, Target
from langchain_finetune.local.training.plan import make_plan
from langchain_finetune.methods import Hyperparameters

Prices = Mapping[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]]
"""USD per million trained tokens, by base model; takes the place of the known ones."""

OPENAI_HOST = "api.openai.com"

_SOURCE = "OpenAI's price list"
_AS_OF = "2026-11"

OPENAI_PRICES: Mapping[str, float] = MappingProxyType(
    {"gpt-4.1": 25.0, "gpt-4.1-mini": 5.0, "gpt-4o": 25.0, "gpt-4o-mini": 3.0}
)
"""USD per million trained tokens of OpenAI's fine-tuning (price list, November 2026).

These are all bases that can still be trained: gpt-4.1-nano (1.50), gpt-3.5-turbo (8) and the
completion models were shut down by October 2026, and o4-mini was paid by the hour. Azure's prices
depend on the region and the type of training, and Nebius' on the size of the base: they are for the
user to give.
"""


class Price(BaseModel):
    """What a million trained tokens cost.

    Attributes:
        usd: Per million.
        source: Who says so.
        as_of: The month of the source, `YYYY-MM`; None where the user gave the price.
    """

    model_config = ConfigDict(frozen=True)

    usd: float
    source: str
    as_of: str | None = None

    def __str__(self) -> str:
        when = f", {self.as_of}" if self.as_of else ""
        return f"${self.usd:g} per million trained tokens ({self.source}{when})"


@dataclass(frozen=True)
class Speed:
    """How fast the embedded engine trains a base.

    Attributes:
        tokens_per_s: Trained tokens a second.
        parameters: Of the base; the engine's own choice of epochs depends on it.
    """

    tokens_per_s: float
    parameters: int


LOCAL_SPEEDS: Mapping[str, Speed] = MappingProxyType(
    {
        "nano": Speed(2500.0, 1_200_000),
        "HuggingFaceTB/SmolLM2-135M-Instruct": Speed(415.0, 135_000_000),
        "Qwen/Qwen3-0.6B": Speed(139.0, 600_000_000),
    }
)
"""Measured in November 2026; above 100 M parameters with LoRA."""

SPEED_SOURCE = "measured on 2 CPU cores without a GPU, 2026-11; a GPU is many times as fast"


def price_of(target: Target, prices: Prices | None = None) -> Price | None:
    """Return the price of training at an engine, or None where it is not known.

    Only OpenAI's own address has OpenAI's prices: another server that takes the same names may
    ask for more.

    Args:
        target: The engine, its address and the base.
        prices: Prices that the user gives.

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
        if name in (prices or {}):
            return Price(usd=(prices or {})[name], source="given as `prices`")
    if target.engine == "local":
        return Price(usd=0.0, source="your own machine; its power is not counted")
    host = urlsplit(target.base_url).hostname if target.base_url else OPENAI_HOST
    if target.engine not in {"openai", None} or host != OPENAI_HOST:
        return None
    for name in names:
        if name in OPENAI_PRICES:
            return Price(usd=OPENAI_PRICES[name], source=_SOURCE, as_of=_AS_OF)
    return None


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
        plan = make_plan(Hyperparameters(), examples=max(1, examples), parameters=parameters)
        return plan.n_epochs, "the engine's own choice"
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
