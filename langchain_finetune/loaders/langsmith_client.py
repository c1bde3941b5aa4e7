"""LangSmith's client as the loaders use it: made for reading, patient, its errors said as ours."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import orjson
from langsmith import Client
from langsmith.utils import (
    LangSmithAuthError,
    LangSmithConnectionError,
    LangSmithError,
    LangSmithNotFoundError,
)
from requests import Response
from requests.exceptions import RequestException
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt
from tenacity.nap import sleep_using_event
from tenacity.stop import stop_when_event_set
from tenacity.wait import wait_exponential

from langchain_finetune.errors import LoadError

ATTEMPTS = 5
"""How often a request is sent where the server is busy; the client itself tries again, too."""

LONGEST_WAIT_S = 60.0
"""Longest wait before a request is sent again, whatever the server asks for."""

_LONGEST_SENTENCE = 300
_BUSY = frozenset({429, 500, 502, 503, 504})
_backoff = wait_exponential(multiplier=0.5, max=LONGEST_WAIT_S)


def reading_client() -> Client:
    """Return a client from the environment that only reads.

    Without batch tracing it starts no thread, which would log where LangSmith can't be reached.
    """
    return Client(auto_batch_tracing=False)


def ask(
    client: Client,
    method: Literal["GET", "POST"],
    path: str,
    *,
    body: Mapping[str, Any] | None = None,
    params: Mapping[str, Any] | None = None,
    stop: threading.Event | None = None,
) -> Any:
    """Send a request that only reads, and return the answer's JSON.

    Where the server is busy (429, 5xx) it is sent again after the time that `Retry-After` asks
    for, at most `LONGEST_WAIT_S`, and at most `ATTEMPTS` times.

    Args:
        client: Knows address, key and transport.
        method: Of HTTP.
        path: Below the API's address, such as `/runs/query`, or a whole URL.
        body: Sent as JSON.
        params: Of the query.
        stop: Where it is set nobody waits for the answer, and no more is tried.

    Raises:
        LangSmithError: The server refused, or was busy for too long; see `status_of`.
        requests.RequestException: No answer came in time.
    """
    stop = stop or threading.Event()
    sending: dict[str, Any] = {"params": params} if params else {}
    if body is not None:
        sending["data"] = orjson.dumps(body)
    for attempt in Retrying(
        retry=retry_if_exception(lambda error: status_of(error) in _BUSY),
        wait=_pause,
        stop=stop_after_attempt(ATTEMPTS) | stop_when_event_set(stop),
        sleep=sleep_using_event(stop),
        reraise=True,
    ):
        with attempt:
            return orjson.loads(
                client.request_with_retries(method, path, request_kwargs=sending).content
            )
    raise AssertionError("unreachable")


def v2_url(client: Client, path: str) -> str:
    """Return the address of a route of the new API, as langsmith's own client makes it.

    Example:
        >>> v2_url(Client("https://example.com/api/v1", auto_batch_tracing=False), "/runs/query")
        'https://example.com/api/v2/runs/query'
    """
    base = client.api_url.rstrip("/")
    for suffix in ("/api/v1", "/api"):
        if base.endswith(suffix):
            base = base.removesuffix(suffix)
            break
    return f"{base}/api/v2{path}"


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status that an error of the client comes from, or None."""
    response = _response_of(error)
    return None if response is None else response.status_code


@contextmanager
def reading(client: Client, what: str) -> Iterator[None]:
    """Turn what the client raises into a `LoadError` that says what to do.

    Args:
        client: The client that reads.
        what: What is read, for the message, such as `project 'app'`.
    """
    try:
        yield
    except LangSmithNotFoundError as error:
        raise LoadError(f"LangSmith at {client.api_url} has no {what}.") from error
    except LangSmithAuthError as error:
        raise LoadError(
            f"LangSmith at {client.api_url} does not accept the key: set LANGSMITH_API_KEY."
        ) from error
    except LangSmithConnectionError as error:
        raise LoadError(
            f"Nothing answers at {client.api_url}: is LANGSMITH_ENDPOINT right, and is it running?"
        ) from error
    except LangSmithError as error:
        raise LoadError(f"LangSmith could not give the {what}: {_said(error)}") from error
    except ValueError as error:
        raise LoadError(
            f"What answers at {client.api_url} does not speak LangSmith's API: "
            "is LANGSMITH_ENDPOINT right?"
        ) from error
    except RequestException as error:
        raise LoadError(
            f"LangSmith at {client.api_url} gave no {what} in time: try again, or select less."
        ) from error


def _said(error: LangSmithError) -> str:
    """Return the server's own sentence, or else the first line of the client's."""
    response = _response_of(error)
    try:
        body = orjson.loads(response.content) if response is not None else None
    except ValueError:
        body = None
    if isinstance(body, Mapping):
        fault = body.get("error") or body.get("detail") or body.get("message")
        sentence = fault.get("message") if isinstance(fault, Mapping) else fault
        if isinstance(sentence, str):
            return sentence[:_LONGEST_SENTENCE]
    first_line = (str(error).splitlines() or [""])[0]
    # Behind it stands the transport's own error, once more.
    return first_line.split(" HTTPError(")[0][:_LONGEST_SENTENCE]


def _response_of(error: BaseException | None) -> Response | None:
    """Return the answer behind an error; the client keeps it only as the error's context."""
    while error is not None:
        response = getattr(error, "response", None)
        if isinstance(response, Response):
            return response
        error = error.__cause__ or error.__context__
    return None


def _pause(state: RetryCallState) -> float:
    """Return how many seconds to wait: what the server asks for, or longer each time."""
    response = _response_of(state.outcome.exception() if state.outcome else None)
    hint = "" if response is None else response.headers.get("Retry-After", "")
    try:
        return min(max(float(hint), 0.0), LONGEST_WAIT_S)
    except ValueError:
        return _backoff(state)
