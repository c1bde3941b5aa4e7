"""How the tokens of an answer are drawn; chats, completions and responses share it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from langchain_finetune.local.serving.fields import (
    Fields,
    take,
    take_logit_bias,
    take_number,
    take_penalty,
    take_stops,
)

_HOTTEST = 2


@dataclass(frozen=True)
class Sampling:
    """How the tokens of an answer are drawn.

    Attributes:
        max_tokens: Most tokens of the answer; None for the engine's own limit.
        temperature: 0 for the likeliest token; None for what the model's makers advise.
        top_p: Share of likeliest tokens to draw from; None as above.
        seed: Start of the random numbers.
        stop: Strings that end the answer.
        logprobs: Tell each token's log-probability, beside so many alternatives; None for not.
        presence_penalty: Taken from the score of each token that the answer has already.
        frequency_penalty: The same, for each time that the answer has it.
        logit_bias: Added to the scores of these tokens.
    """

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    logprobs: int | None = None
    presence_penalty: float = 0
    frequency_penalty: float = 0
    logit_bias: Mapping[int, float] = field(default_factory=dict)

    @property
    def adjusts(self) -> bool:
        """Scores are to be changed before a token is drawn."""
        return bool(self.presence_penalty or self.frequency_penalty or self.logit_bias)


def read_sampling(given: Fields, *, max_tokens: int | None, logprobs: int | None) -> Sampling:
    """Return how the tokens are drawn, from the fields that requests have in common.

    Raises:
        ApiError: 400; a field is malformed or outside of its range.
    """
    return Sampling(
        max_tokens=max_tokens,
        temperature=take_number(given, "temperature", lambda value: 0 <= value <= _HOTTEST),
        top_p=take_number(given, "top_p", lambda value: 0 < value <= 1),
        seed=take(given, "seed", int),
        stop=take_stops(given),
        logprobs=logprobs,
        presence_penalty=take_penalty(given, "presence_penalty"),
        frequency_penalty=take_penalty(given, "frequency_penalty"),
        logit_bias=take_logit_bias(given),
    )
