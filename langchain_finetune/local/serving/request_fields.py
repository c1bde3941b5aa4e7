"""Reads the fields of a request, with OpenAI's errors for those that are malformed."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from langchain_finetune.local.api_error import ApiError

RequestFields = Mapping[str, Any]

MAX_STOPS = 4
"""Most stop strings of a request (OpenAI's API reference)."""

MAX_BIASES = 1024
"""Most tokens in a request's `logit_bias` (as in vLLM's server; OpenAI names no number)."""

_TOKEN = re.compile(r"[0-9]{1,9}")

_KINDS = {bool: "a boolean", dict: "an object", int: "an integer", list: "a list", str: "a string"}


def invalid(name: str, fault: str) -> ApiError:
    """Return the error for a field whose value can't be."""
    return ApiError(400, f"'{name}' {fault}.", code="invalid_value", param=name)


def unsupported(name: str, reason: str) -> ApiError:
    """Return the error for what OpenAI's API knows and this engine can't do."""
    return ApiError(400, f"'{name}': {reason}.", code="unsupported_value", param=name)


def missing(name: str) -> ApiError:
    """Return the error for a field that has to be there."""
    return ApiError(
        400,
        f"Missing required parameter: '{name}'.",
        code="missing_required_parameter",
        param=name,
    )


def fields_given(
    body: RequestFields,
    *,
    known: Iterable[str],
    only: Mapping[str, tuple[Any, ...]],
) -> dict[str, Any]:
    """Return the fields that are not null.

    Fields that nobody knows are refused, and values that this engine can't carry out.

    Args:
        body: The request.
        known: Names that are read, or that change nothing about the answer.
        only: Names with the few values that ask for nothing special.

    Raises:
        ApiError: 400 with the code `unknown_parameter` or `unsupported_value`.
    """
    given = {name: value for name, value in body.items() if value is not None}
    for name, value in given.items():
        if name in only:
            if value not in only[name]:
                raise ApiError(
                    400,
                    f"This engine does not support this value of '{name}'.",
                    code="unsupported_value",
                    param=name,
                )
        elif name not in known:
            raise ApiError(
                400, f"Unknown parameter: '{name}'.", code="unknown_parameter", param=name
            )
    return given


def take(given: RequestFields, name: str, kind: type) -> Any:
    """Return the field's value, or None where it is not given.

    Raises:
        ApiError: 400; it is of another type.
    """
    value = given.get(name)
    # A bool is an int to Python, and none to anybody else.
    if value is not None and (
        not isinstance(value, kind) or (kind is int and isinstance(value, bool))
    ):
        raise invalid(name, f"must be {_KINDS[kind]}")
    return value


def take_required(given: RequestFields, name: str, kind: type, *, within: str = "") -> Any:
    """Return the field's value.

    Raises:
        ApiError: 400; it is not given, or of another type.
    """
    place = f"{within}.{name}" if within else name
    if given.get(name) is None:
        raise missing(place)
    return take({place: given[name]}, place, kind)


def take_integer(given: RequestFields, name: str, low: int, high: int) -> int | None:
    """Return a whole number within its bounds, or None.

    Raises:
        ApiError: 400; it is no such number.
    """
    value: int | None = take(given, name, int)
    if value is not None and not low <= value <= high:
        raise invalid(name, f"must be from {low} to {high}")
    return value


def take_number(given: RequestFields, name: str, is_valid: Callable[[float], bool]) -> float | None:
    """Return a number, or None.

    Raises:
        ApiError: 400; it is none, or outside of its range.
    """
    value = given.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not is_valid(value):
        raise invalid(name, "is outside of its range")
    return float(value)


def take_max_tokens(given: RequestFields, *names: str) -> int | None:
    """Return the most tokens of an answer from the first of the fields that is given.

    Raises:
        ApiError: 400; it is no positive number.
    """
    for name in names:
        value: int | None = take(given, name, int)
        if value is not None:
            if value < 1:
                raise invalid(name, "must be 1 at least")
            return value
    return None


def take_stops(given: RequestFields) -> tuple[str, ...]:
    """Return the strings that end the answer.

    Raises:
        ApiError: 400; there are too many, or one is no text.
    """
    stop = given.get("stop", [])
    stop = [stop] if isinstance(stop, str) else stop
    if not isinstance(stop, list) or not all(isinstance(text, str) and text for text in stop):
        raise invalid("stop", "must be a string or a list of strings")
    if len(stop) > MAX_STOPS:
        raise invalid("stop", f"takes at most {MAX_STOPS} strings")
    return tuple(stop)


def take_penalty(given: RequestFields, name: str) -> float:
    """Return a penalty; 0 where there is none.

    Raises:
        ApiError: 400; it is no number from -2 to 2.
    """
    return take_number(given, name, lambda value: -2 <= value <= 2) or 0.0  # noqa: PLR2004


def take_logit_bias(given: RequestFields) -> dict[int, float]:
    """Return what is added to the scores of which tokens.

    Raises:
        ApiError: 400; a token is no number, or a bias is not from -100 to 100.
    """
    biases = take(given, "logit_bias", dict) or {}
    if len(biases) > MAX_BIASES:
        raise invalid("logit_bias", f"takes at most {MAX_BIASES} tokens")
    if not all(_TOKEN.fullmatch(token) for token in biases):
        raise invalid("logit_bias", "must have tokens' numbers as its keys")
    read = {
        int(token): take_number({"logit_bias": bias}, "logit_bias", lambda value: abs(value) <= 100)  # noqa: PLR2004
        for token, bias in biases.items()
    }
    return {token: bias for token, bias in read.items() if bias}


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


def read_sampling(
    given: RequestFields, *, max_tokens: int | None, logprobs: int | None
) -> Sampling:
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
