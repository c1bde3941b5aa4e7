"""What an answer of OpenAI's API means: is it one, was the request carried out, what went wrong."""

import email.utils
import math
import os
import re
import time
from collections.abc import Mapping
from typing import Any

import httpx2
from openai import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    OpenAIError,
)

from langchain_finetune.engines.addresses import REFUSED_REDIRECT, without_secrets
from langchain_finetune.errors import (
    BaseModelError,
    EngineAuthenticationError,
    EngineError,
    EngineUnreachableError,
    Failure,
)
from langchain_finetune.home import KEY_VARIABLE

_SERVER_ERROR = 500
_NOT_NOW = frozenset({408, 409, 425, 429})
_OUTCOME_UNKNOWN = frozenset({408, 409})
_MISSING = frozenset({403, 404})
_NO_MODEL = "model_not_found"
_KEY_HEADERS = ("authorization", "api-key")
_SHORTEST_KEY = 8
"""Characters; shorter ones, such as `none`, are words, too."""

_SPENT = frozenset({"insufficient_quota", "exceeded_quota", "billing_hard_limit_reached"})


_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class GarbledError(OpenAIError):
    """The answer is incomplete or invalid; the request may have been carried out."""


def checked(answer: Any, fields: tuple[str, ...], base_url: str) -> Any:
    """Return a raw answer of the SDK if the server speaks OpenAI's API and it has the fields.

    Raises:
        GarbledError: The answer is cut off, or belongs to another question.
        EngineError: It is a page or text, as other servers give.
    """
    try:
        body = answer.http_response.json()
    except ValueError as error:  # Not JSON, or not UTF-8.
        kind = answer.headers.get("content-type", "").partition(";")[0]
        if not kind.endswith("json"):
            raise EngineError(
                f"What answers at {without_secrets(base_url)} does not speak OpenAI's API: does "
                "the address end in /v1?",
                failure=Failure(outcome_unknown=True),
            ) from error
        raise GarbledError("the answer is not valid JSON (truncated?).") from error
    if not isinstance(body, dict) or not all(field in body for field in fields):
        raise GarbledError(f"the answer lacks one of {', '.join(fields)}.")
    return answer


def failure_of(error: OpenAIError) -> Failure:
    """Return what an error of the SDK means for the next step."""
    reason = reason_of(error)
    if isinstance(error, APIStatusError):
        status, code = error.status_code, error.code
        broken = status >= _SERVER_ERROR
        return Failure(
            may_pass=code not in _SPENT and (broken or status in _NOT_NOW),
            outcome_unknown=broken or status in _OUTCOME_UNKNOWN,
            invalid=status == httpx2.codes.BAD_REQUEST,
            missing=status in _MISSING,
            model_missing=status == httpx2.codes.NOT_FOUND and code == _NO_MODEL,
            hint_s=hinted_s(error.response.headers) or limited_s(status, error.response.headers),
            reason=reason,
        )
    if isinstance(error, APIConnectionError | GarbledError):
        unreachable = isinstance(
            error.__cause__,
            httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.UnsupportedProtocol,
        )
        return Failure(
            may_pass=True, outcome_unknown=not unreachable, unreachable=unreachable, reason=reason
        )
    return Failure(reason=reason)


def hinted_s(headers: Mapping[str, str], most_s: float = 600.0) -> float:
    """Return how many seconds the server asks to wait; 0 where it does not say.

    Read from `retry-after-ms` (OpenAI, Azure) and `retry-after` (RFC 9110: seconds or a date);
    at most `most_s`, by default ten minutes.

    Example:
        >>> hinted_s({"retry-after-ms": "1500"})
        1.5
    """
    for name, scale in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        text = headers.get(name)
        if text is None:
            continue
        try:
            seconds = float(text) / scale
        except ValueError:
            date = email.utils.parsedate_tz(text)
            if date is None:
                continue
            seconds = email.utils.mktime_tz(date) - time.time()
        if math.isfinite(seconds):
            return min(max(seconds, 0.0), most_s)
    return 0.0


def limited_s(status: int, headers: Mapping[str, str]) -> float:
    """Return the seconds until a rate limit is lifted, after a 429; 0 where none is named.

    Read from `x-ratelimit-reset-requests` and `-tokens`, such as `6m0s` or `20ms`: the later one of
    those limits whose `x-ratelimit-remaining-*` is 0, else the earlier one; at most ten minutes.

    Example:
        >>> limited_s(429, {"x-ratelimit-reset-requests": "1m0.5s"})
        60.5
    """
    found = {"0": [], "": []}  # type: dict[str, list[float]]
    for what in ("requests", "tokens") if status == httpx2.codes.TOO_MANY_REQUESTS else ():
        text = headers.get(f"x-ratelimit-reset-{what}", "")
        if parts := _DURATION.findall(text):
            spent = headers.get(f"x-ratelimit-remaining-{what}") == "0"
            seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
            found["0" if spent else ""].append(min(seconds, 600.0))
    return max(found["0"], default=min(found[""], default=0.0))


def explained(
    error: OpenAIError, base_url: str, key_variable: str | None = KEY_VARIABLE
) -> EngineError:
    """Return an error of the SDK as one of this package's, which says what to do."""
    base_url = without_secrets(base_url)
    kind, message = EngineError, f"The engine at {base_url} could not be used: {error}"
    if isinstance(error, APITimeoutError):
        kind, message = EngineUnreachableError, f"The engine at {base_url} did not answer in time."
    elif isinstance(error, APIConnectionError):
        kind = EngineUnreachableError
        message = f"Nothing answers at {base_url}: is the address right, and is the engine running?"
    elif isinstance(error, AuthenticationError):
        kind = EngineAuthenticationError
        message = f"The engine at {base_url} does not accept the key{_key_advice(key_variable)}."
    elif isinstance(error, APIStatusError) and error.response.is_redirect:
        other = error.response.extensions.get(REFUSED_REDIRECT) or "another address"
        message = (
            f"{base_url} redirects ({error.status_code}) to {other}, which nothing was sent to: "
            "give that address yourself if you trust it."
        )
    elif isinstance(error, APIStatusError):
        kind = BaseModelError if error.code == _NO_MODEL else EngineError
        message = f"The engine at {base_url} refused ({error.status_code}): {reason_of(error)}"
    elif isinstance(error, GarbledError):
        message = f"{base_url} returned an incomplete or invalid response: {error}"
    return kind(message, failure=failure_of(error))


def _key_advice(key_variable: str | None) -> str:
    """Return where the refused key came from, and what to do."""
    if key_variable != KEY_VARIABLE:
        return f": check api_key, or {key_variable}" if key_variable else ": check api_key"
    if os.environ.get(KEY_VARIABLE):
        return (
            f" in {KEY_VARIABLE}: unset the variable to use the key in the home, or set it to the "
            "key that the engine was started with"
        )
    return (
        " in its home, so it was started with another: run `langchain-finetune stop`, and it is "
        "started with this key when needed"
    )


def reason_of(error: OpenAIError) -> str:
    """Return the engine's own sentence, or what the SDK says; without the key of the request."""
    body = error.body if isinstance(error, APIStatusError) else None
    sentence = body.get("message") if isinstance(body, dict) else None
    said = str(sentence or error)
    # A gateway may repeat what it was sent, and what it says is shown and written to files.
    sent = error.request.headers if isinstance(error, APIStatusError) else {}
    for name in _KEY_HEADERS:
        key = sent.get(name, "").removeprefix("Bearer ")
        if len(key) >= _SHORTEST_KEY:
            said = said.replace(key, "[the key]")
    return said
