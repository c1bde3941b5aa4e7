"""How the tokens of an answer are drawn; chats, completions and responses share it."""

from dataclasses import dataclass


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
    """

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    logprobs: int | None = None
