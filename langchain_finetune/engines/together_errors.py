"""What an error of Together's SDK means: was the request carried out, what went wrong.

Sources: together 3.1.1, `_exceptions` and `lib/resources/files`. Its upload reports every 401 as
free credit that is used up, a wrong key, too.
"""

import json
from dataclasses import replace

from langchain_finetune.engines.addresses import without_secrets
from langchain_finetune.engines.openai_errors import hinted_s, limited_s
from langchain_finetune.errors import (
    BaseModelError,
    EngineAuthenticationError,
    EngineError,
    EngineUnreachableError,
    Failure,
)

KEY_NAME = "TOGETHER_API_KEY"
"""Key of Together's API, as its SDK names it."""

_OK_BELOW = 300
_UNAUTHORIZED = 401
_MISSING = 404
_SERVER_ERROR = 500
_NOT_NOW = frozenset({408, 409, 412, 425, 429})
_OUTCOME_UNKNOWN = frozenset({408, 409})
_INVALID = frozenset({400, 422})
_CREATE = "/v1/fine-tunes"


class IncompleteAnswerError(ValueError):
    """The answer is incomplete or invalid; the request may have been carried out."""


def sdk_errors() -> tuple[type[Exception], ...]:
    """Return what a request through the SDK may raise.

    It passes on httpx's errors while files are sent, and those of answers that are not JSON.
    """
    import httpx  # noqa: PLC0415 - comes with the SDK, which is an extra
    from together import TogetherError  # noqa: PLC0415

    return (TogetherError, httpx.HTTPError, ValueError)


def failure_of(error: Exception) -> Failure:
    """Return what an error means for the next step."""
    from together import APIConnectionError, APIStatusError  # noqa: PLC0415

    if isinstance(error, APIStatusError):
        status, headers = error.status_code, error.response.headers
        # A good answer that is an error of the SDK lacks what it needs.
        broken = status >= _SERVER_ERROR or status < _OK_BELOW
        return Failure(
            may_pass=broken or status in _NOT_NOW,
            outcome_unknown=broken or status in _OUTCOME_UNKNOWN,
            invalid=status in _INVALID,
            missing=status == _MISSING,
            hint_s=hinted_s(headers) or limited_s(status, headers),
            reason=_reason(error),
        )
    if isinstance(error, APIConnectionError):
        import httpx  # noqa: PLC0415

        unreachable = isinstance(error.__cause__, httpx.ConnectError | httpx.ConnectTimeout)
        reason = "nothing answers" if unreachable else "the connection was lost"
        return Failure(
            may_pass=True,
            outcome_unknown=not unreachable,
            unreachable=unreachable,
            reason=reason,
        )
    if isinstance(error, ValueError) and not isinstance(
        error, IncompleteAnswerError | json.JSONDecodeError
    ):
        # The SDK's own check of a request, which was not sent.
        return Failure(invalid=True, reason=str(error))
    return Failure(may_pass=True, outcome_unknown=True, reason="the answer did not come whole")


def explained(error: Exception, base_url: str) -> EngineError:
    """Return an error of the SDK as one of this package's, which says what to do."""
    from together import APIConnectionError, APIStatusError  # noqa: PLC0415

    address, failure = without_secrets(base_url), failure_of(error)
    kind, message = EngineError, f"{address} did not answer: {failure.reason}."
    if isinstance(error, APIStatusError) and error.status_code == _UNAUTHORIZED:
        kind = EngineAuthenticationError
        message = (
            f"{address} does not accept the key: check api_key, or {KEY_NAME}. While a file is "
            "uploaded, it may also be that the account's free credit is used up."
        )
    elif isinstance(error, APIStatusError):
        message = f"{address} refused ({error.status_code}): {failure.reason}"
    elif isinstance(error, APIConnectionError):
        kind = EngineUnreachableError
    elif failure.invalid:
        message = f"The request to {address} is not valid: {failure.reason}"
    return kind(message, failure=failure)


def without_base(error: EngineError, model: str) -> EngineError:
    """Return the error of a question about a base; where Together has none, it says so."""
    if not error.failure.missing:
        return known_outcome(error)
    return BaseModelError(
        f"Together cannot fine-tune {model}: {error.failure.reason or 'it has no such model'}",
        failure=replace(error.failure, outcome_unknown=False),
    )


def known_outcome(error: EngineError) -> EngineError:
    """Return the error of a request that creates nothing."""
    error.failure = replace(error.failure, outcome_unknown=False)
    return error


def created_nothing(error: EngineError) -> bool:
    """Return whether the request that failed was not the one that creates a job.

    The SDK asks for the price before it asks for the job.
    """
    request = getattr(error.__cause__, "request", None)
    return request is not None and not request.url.path.endswith(_CREATE)


def _reason(error: Exception) -> str:
    body = getattr(error, "body", None)
    if isinstance(body, dict):
        inner = body.get("error")
        body = (inner.get("message") if isinstance(inner, dict) else inner) or body.get("message")
    said = str(body or error)
    # A gateway may repeat what it was sent, and what it says is shown and written to files.
    request = getattr(error, "request", None)
    key = request.headers.get("authorization", "").removeprefix("Bearer ") if request else ""
    return said.replace(key, "[the key]") if key else said
