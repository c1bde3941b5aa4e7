"""What a server of OpenAI's shape answers: is it an answer, did it happen, what went wrong."""

import email.utils
import math
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

from langchain_finetune.errors import (
    BaseModelError,
    EngineAuthenticationError,
    EngineError,
    EngineUnreachableError,
)

_SERVER_ERROR = 500
_NOT_NOW = frozenset({408, 409, 425, 429})
_OUTCOME_UNKNOWN = frozenset({408, 409})
_SPENT = frozenset({"insufficient_quota", "exceeded_quota", "billing_hard_limit_reached"})
_LONGEST_HINT_S = 600.0


class GarbledError(OpenAIError):
    """An answer came, but no whole one; the request may have been carried out."""


def parsed(answer: Any, fields: tuple[str, ...], base_url: str) -> Any:
    """Return the SDK's object of a raw answer, if the server speaks OpenAI's API.

    Args:
        answer: What a `with_raw_response` method of the SDK returned.
        fields: What the object must have.
        base_url: The engine's address, for messages.

    Raises:
        GarbledError: The answer is cut off, or belongs to another question.
        EngineError: It is a page or text, as other servers give.
    """
    try:
        body = answer.http_response.json()
    except ValueError as error:  # No JSON, or no UTF-8.
        kind = answer.headers.get("content-type", "").partition(";")[0]
        if not kind.endswith("json"):
            raise EngineError(
                f"What answers at {base_url} does not speak OpenAI's API: does the address end "
                "in /v1?"
            ) from error
        raise GarbledError("The answer is no whole JSON.") from error
    if not isinstance(body, dict) or not all(field in body for field in fields):
        raise GarbledError(f"The answer lacks one of {', '.join(fields)}.")
    return answer.parse()


def may_pass(error: OpenAIError) -> bool:
    """Tell whether the same request may succeed a little later."""
    if isinstance(error, APIStatusError):
        return error.code not in _SPENT and (
            error.status_code >= _SERVER_ERROR or error.status_code in _NOT_NOW
        )
    return isinstance(error, APIConnectionError | GarbledError)


def outcome_unknown(error: OpenAIError) -> bool:
    """Tell whether the engine may have carried out a request whose answer is missing."""
    if isinstance(error, APIStatusError):
        return error.status_code >= _SERVER_ERROR or error.status_code in _OUTCOME_UNKNOWN
    return isinstance(error, APIConnectionError | GarbledError) and not nobody_there(error)


def nobody_there(error: OpenAIError) -> bool:
    """Tell whether no connection was made, so that nothing was sent."""
    return isinstance(error, APIConnectionError) and isinstance(
        error.__cause__, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.UnsupportedProtocol
    )


def is_missing(error: OpenAIError) -> bool:
    """Tell whether the engine, for this key, has no such thing."""
    missing = {403, 404}
    return isinstance(error, APIStatusError) and error.status_code in missing


def model_is_missing(error: OpenAIError) -> bool:
    """Tell whether the engine says that it has no such model, and not just no such route."""
    return (
        isinstance(error, APIStatusError)
        and error.status_code == httpx2.codes.NOT_FOUND
        and error.code == "model_not_found"
    )


def hinted_s(headers: Mapping[str, str]) -> float:
    """Return how many seconds the server asks to wait, 0 where it does not say.

    Read from `retry-after-ms` (OpenAI, Azure) and `retry-after` (RFC 9110: seconds or a date);
    at most ten minutes.

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
            return min(max(seconds, 0.0), _LONGEST_HINT_S)
    return 0.0


def error_hint_s(error: OpenAIError) -> float:
    """Return how many seconds an error's answer asks to wait, 0 where it does not say."""
    return hinted_s(error.response.headers) if isinstance(error, APIStatusError) else 0.0


def explained(error: OpenAIError, base_url: str) -> EngineError:
    """Return an error of the SDK as one of this package's, which says what to do.

    Args:
        error: What the SDK raised.
        base_url: The engine's address.
    """
    if isinstance(error, APITimeoutError):
        return EngineUnreachableError(f"The engine at {base_url} did not answer in time.")
    if isinstance(error, APIConnectionError):
        return EngineUnreachableError(
            f"Nothing answers at {base_url}: is the address right, and is the engine running?"
        )
    if isinstance(error, AuthenticationError):
        return EngineAuthenticationError(
            f"The engine at {base_url} does not accept the key: give api_key, or set "
            "OPENAI_API_KEY (for the embedded engine LANGCHAIN_FINETUNE_API_KEY)."
        )
    if isinstance(error, APIStatusError):
        kind = BaseModelError if error.code == "model_not_found" else EngineError
        return kind(f"The engine at {base_url} refused ({error.status_code}): {reason(error)}")
    if isinstance(error, GarbledError):
        return EngineError(f"What answers at {base_url} is not whole or no answer: {error}")
    return EngineError(f"The engine at {base_url} could not be used: {error}")


def reason(error: OpenAIError) -> str:
    """Return the engine's own sentence, or what the SDK says."""
    body = error.body if isinstance(error, APIStatusError) else None
    said = body.get("message") if isinstance(body, dict) else None
    return str(said or error)
