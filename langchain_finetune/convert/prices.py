"""What training costs and how fast it goes: dated figures with their sources. Data, not code."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field

from langchain_finetune.convert.rows import Target

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
