"""How many tokens an example may have, by model, as data.

Stand: November 2026. Source: OpenAI's fine-tuning guide, the table of token limits of training
examples. OpenAI cuts longer ones at the end without a word, and with them the answer.
"""

LIMITS = {
    "gpt-4.1": 65_536,
    "gpt-4o": 65_536,
    "gpt-3.5-turbo-0613": 4_096,
    "gpt-3.5-turbo": 16_385,
    "babbage-002": 16_384,
    "davinci-002": 16_384,
}
"""Tokens of one example at most, by the beginning of the model's name; the first that fits."""


def limit_of(model: str) -> int | None:
    """Return the limit of a model of OpenAI, or of one tuned from it; None where none is known.

    Example:
        >>> limit_of("ft:gpt-4.1-mini-2025-04-14:acme::abc"), limit_of("my-model")
        (65536, None)
    """
    name = model.removeprefix("ft:")
    return next((limit for start, limit in LIMITS.items() if name.startswith(start)), None)
