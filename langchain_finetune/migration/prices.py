"""What answers of fine-tuned models cost: data, with source and month."""

from typing import Annotated

from pydantic import ConfigDict, Field

from langchain_finetune.arguments import CheckedArguments
from langchain_finetune.convert.estimate import families
from langchain_finetune.engines import engine_of
from langchain_finetune.engines.openai import is_openai

_Usd = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class InferencePrice(CheckedArguments):
    """Price of a model's answers, in USD per million tokens.

    Attributes:
        input_usd: Of the prompt.
        output_usd: Of the answer.
        cached_usd: Of the part of the prompt that the provider had cached; by default as
            `input_usd`.
        longest_answer: Most tokens of an answer, for the most that a request can cost.
        source: Where the price is from.
        as_of: Month of that source, `YYYY-MM`; None if the price was given.

    Example:
        >>> price = InferencePrice(input_usd=3, output_usd=12)
        >>> price.cost(input_tokens=1_000_000, output_tokens=500_000)
        9.0
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    input_usd: _Usd
    output_usd: _Usd
    cached_usd: _Usd | None = None
    longest_answer: int = 32_768
    source: str = "given as `price`"
    as_of: str | None = None

    def cost(self, input_tokens: int, output_tokens: int, cached_tokens: int = 0) -> float:
        """Return the cost in USD; `cached_tokens` are some of the input tokens."""
        cached = self.input_usd if self.cached_usd is None else self.cached_usd
        full = (input_tokens - cached_tokens) * self.input_usd
        return (full + cached_tokens * cached + output_tokens * self.output_usd) / 1e6

    def __str__(self) -> str:
        when = f", {self.as_of}" if self.as_of else ""
        return (
            f"${self.input_usd:g} per million tokens of prompts and ${self.output_usd:g} of "
            f"answers ({self.source}{when})"
        )


_SOURCE, _MONTH = "OpenAI's price list of fine-tuned models, as LiteLLM repeats it", "2026-11"
# Input, cached input, output; longest answer (OpenAI's pages on these models).
_FINE_TUNED = {
    "gpt-4.1": (3.0, 0.75, 12.0, 32_768),
    "gpt-4.1-mini": (0.8, 0.2, 3.2, 32_768),
    "gpt-4o": (3.75, 1.875, 15.0, 16_384),
    "gpt-4o-mini": (0.3, 0.15, 1.2, 16_384),
}


def inference_price(model: str, engine: str, base_url: str) -> InferencePrice | None:
    """Return the price of a model's answers, or None if it is not known.

    Known are the fine-tuned models of gpt-4o and gpt-4.1 at OpenAI's own address, at standard
    speed. The embedded engine costs nothing.

    Example:
        >>> inference_price("ft:gpt-4.1-mini-2025-04-14:acme::abc", "openai",
        ...                 "https://api.openai.com/v1").output_usd
        3.2
    """
    if not engine_of(engine).takes_base_url:
        return InferencePrice(input_usd=0, output_usd=0, source="your own machine")
    if engine != "openai" or not is_openai(base_url) or not model.startswith("ft:"):
        return None
    for name in families(model):
        if name in _FINE_TUNED:
            asked, cached, said, longest = _FINE_TUNED[name]
            return InferencePrice(
                input_usd=asked,
                cached_usd=cached,
                output_usd=said,
                longest_answer=longest,
                source=_SOURCE,
                as_of=_MONTH,
            )
    return None


def unpriced(model: str) -> str:
    """Return what to do where the price of a model's answers is not known.

    Example:
        >>> unpriced("ft:gpt-4o-mini-2024-07-18:acme::abc").split(". ")[1]
        "At OpenAI's own address it is 0.3 1.2; a gateway may ask for more."
    """
    told = "The price is not known: give it in USD per million tokens with --price PROMPT ANSWER "
    told += "(in Python `price`)."
    price = inference_price(model, "openai", "https://api.openai.com/v1")
    if price is None:
        return told
    figures = f"{price.input_usd:g} {price.output_usd:g}"
    return f"{told} At OpenAI's own address it is {figures}; a gateway may ask for more."


def dollars(usd: float) -> str:
    """Return an amount; small ones with two digits that count.

    >>> dollars(1234.5), dollars(0.00123)
    ('$1,234.50', '$0.0012')
    """
    return f"${usd:,.2f}" if usd >= 0.1 or usd == 0 else f"${usd:.2g}"  # noqa: PLR2004


def plain_number(value: float) -> str:
    """Return a number as people type it.

    >>> plain_number(5.0), plain_number(0.00001)
    ('5', '0.00001')
    """
    return f"{value:.10f}".rstrip("0").rstrip(".")
