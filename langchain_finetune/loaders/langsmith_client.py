"""LangSmith's client for reading: with retries, and errors converted to `LoadError`."""

import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
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

from langchain_finetune.errors import FineTuningError, LoadError
from langchain_finetune.home import KEY_VARIABLE, RunningEngine, home_path
from langchain_finetune.tolerant_json import loads

ATTEMPTS = 5
"""Most attempts of a request if the server is busy; the client itself retries, too."""

MAX_WAIT_S = 60.0
"""Longest wait before a retry, whatever `Retry-After` is."""

_MAX_MESSAGE = 300
_BUSY = frozenset({429, 500, 502, 503, 504})
_backoff = wait_exponential(multiplier=0.5, max=MAX_WAIT_S)


def reading_client() -> Client:
    """Return a client from the environment, for reading only.

    Without batch tracing it starts no thread, which would log errors if LangSmith is unreachable.
    """
    return Client(auto_batch_tracing=False)


def request_json(
    client: Client,
    method: Literal["GET", "POST"],
    path: str,
    *,
    body: Mapping[str, Any] | None = None,
    params: Mapping[str, Any] | None = None,
    stop: threading.Event | None = None,
) -> Any:
    """Send a read-only request, and return the JSON of the response; see `request_bytes`.

    Raises:
        LangSmithError: The server returned an error; see `status_of`.
        requests.RequestException: There was no response in time.
    """
    # A run with an unpaired surrogate must not cost its page.
    return loads(request_bytes(client, method, path, body=body, params=params, stop=stop))


def request_bytes(
    client: Client,
    method: Literal["GET", "POST"],
    path: str,
    *,
    body: Mapping[str, Any] | None = None,
    params: Mapping[str, Any] | None = None,
    stop: threading.Event | None = None,
) -> bytes:
    """Send a read-only request, and return the response.

    If the server is busy (429, 5xx), the request is retried after the time in `Retry-After`, at
    most `MAX_WAIT_S`, and up to `ATTEMPTS` times. `path` is one below the API's address, such as
    `/runs/query`, or a URL; `stop` ends waiting and retries.

    Raises:
        LangSmithError: The server returned an error; see `status_of`.
        requests.RequestException: There was no response in time.
    """
    stop = stop or threading.Event()
    sending: dict[str, Any] = {"params": params} if params else {}
    if body is not None:
        sending["data"] = orjson.dumps(body)
    retrying = Retrying(
        retry=retry_if_exception(lambda error: status_of(error) in _BUSY),
        wait=_pause,
        stop=stop_after_attempt(ATTEMPTS) | stop_when_event_set(stop),
        sleep=sleep_using_event(stop),
        reraise=True,
    )
    return retrying(client.request_with_retries, method, path, request_kwargs=sending).content


def v2_url(client: Client, path: str) -> str:
    """Return the URL of a route of the new API, as langsmith's own client builds it.

    Example:
        >>> v2_url(Client("https://example.com/api/v1", auto_batch_tracing=False), "/runs/query")
        'https://example.com/api/v2/runs/query'
    """
    base = re.sub(r"/api(/v1)?$", "", client.api_url.rstrip("/"))
    return f"{base}/api/v2{path}"


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status of an error of the client, or None."""
    response = _response_of(error)
    return None if response is None else response.status_code


@contextmanager
def reading(client: Client, what: str) -> Iterator[None]:
    """Convert the client's errors on `what`, such as `project 'app'`, to a `LoadError`."""
    at = client.api_url
    try:
        yield
    except (LangSmithError, ValueError, RequestException) as error:
        match error:
            case LangSmithNotFoundError():
                told = f"LangSmith at {at} has no {what}."
            case LangSmithAuthError():
                told = f"LangSmith at {at} does not accept the key: set LANGSMITH_API_KEY."
                told += _own_store(at)
            case LangSmithConnectionError():
                told = f"{at} can't be reached: check LANGSMITH_ENDPOINT, and that it is running."
                told += _own_store(at)
            case LangSmithError():
                told = f"LangSmith could not return the {what}: {_message_of(error)}"
            case ValueError():
                told = (
                    f"{at} returned an incomplete or invalid response: check that"
                    " LANGSMITH_ENDPOINT is LangSmith's API."
                )
            case _:
                told = f"{at} did not return the {what} in time: try again or select fewer chats."
        raise LoadError(told) from error


def _own_store(address: str) -> str:
    """Return how to read the embedded engine's store, if one runs and was not asked."""
    with suppress(FineTuningError):  # What is wrong with the home is not why this failed.
        home = home_path()
        running = RunningEngine.read(home)
        if running and running.url.rstrip("/") != address.rstrip("/"):
            file = home / "api_key"
            return (
                " To read what the embedded engine recorded, set"
                f" LANGSMITH_ENDPOINT={running.url} and LANGSMITH_API_KEY to its key, which is in"
                f" {file if file.exists() else KEY_VARIABLE}."
            )
    return ""


def _message_of(error: LangSmithError) -> str:
    """Return the server's own message, or else the first line of the client's."""
    response = _response_of(error)
    try:
        body = orjson.loads(response.content) if response is not None else None
    except ValueError:
        body = None
    if isinstance(body, Mapping):
        fault = body.get("error") or body.get("detail") or body.get("message")
        text = fault.get("message") if isinstance(fault, Mapping) else fault
        if isinstance(text, str):
            return text[:_MAX_MESSAGE]
    first_line = (str(error).splitlines() or [""])[0]
    # It is followed by the transport's own error.
    return first_line.split(" HTTPError(")[0][:_MAX_MESSAGE]


def _response_of(error: BaseException | None) -> Response | None:
    """Return the response of an error; the client keeps it only in the error's context."""
    while error is not None:
        response = getattr(error, "response", None)
        if isinstance(response, Response):
            return response
        error = error.__cause__ or error.__context__
    return None


def _pause(state: RetryCallState) -> float:
    """Return the seconds to wait: `Retry-After`, or exponentially longer."""
    response = _response_of(state.outcome.exception() if state.outcome else None)
    hint = "" if response is None else response.headers.get("Retry-After", "")
    try:
        return min(max(float(hint), 0.0), MAX_WAIT_S)
    except ValueError:
        return _backoff(state)
