"""Relays requests to another OpenAI-compatible server, and its responses."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from starlette.responses import Response, StreamingResponse

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.serving.answer import DONE, event
from langchain_finetune.local.serving.settings import UPSTREAM_KEY_VARIABLE, UpstreamSettings

MAX_ANSWER_BYTES = 64 * 2**20
"""Most bytes of a whole answer, and of one event of a stream."""

_TIMEOUT = httpx2.Timeout(60, connect=10, read=600)
"""Seconds; a long answer that is not streamed sends nothing until it is complete (the openai SDK
waits 600 s too)."""

SOON = httpx2.Timeout(10)
"""The same for requests that an upstream answers at once, unless it hangs."""

_LIMITS = httpx2.Limits(max_connections=None, max_keepalive_connections=20)
"""The upstream bounds how much it answers at once; the engine's own connections are bounded."""

_PASSED_ON = ("retry-after", "retry-after-ms", "x-request-id")
_MAX_QUOTED = 500
_EVENT_ENDS = (b"\n\n", b"\r\n\r\n", b"\r\r")


class Relay:
    """Sends requests to an upstream."""

    def __init__(self, settings: UpstreamSettings) -> None:
        # Its answers are passed on unread, so they must not be compressed.
        headers = {"accept-encoding": "identity", "content-type": "application/json"}
        if settings.key:
            headers["authorization"] = f"Bearer {settings.key.get_secret_value()}"
        self._client = httpx2.AsyncClient(
            base_url=settings.url, headers=headers, limits=_LIMITS, follow_redirects=False
        )

    @asynccontextmanager
    async def sent(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        timeouts: httpx2.Timeout | None = None,
    ) -> AsyncIterator[httpx2.Response]:
        """Send a request; its answer can be read until the context is left, which ends it there.

        By default it waits for as long as a whole answer may take.

        Raises:
            ApiError: 503 where nothing answers, 504 where it takes too long, 502 where the
                connection breaks or the key is refused.
        """
        content = None if body is None else json.dumps(body).encode()
        # llama.cpp closes a connection after a stream without having said so: the next request on
        # it would be lost.
        headers = {"connection": "close"} if body and body.get("stream") else None
        try:
            async with self._client.stream(
                method, path, content=content, headers=headers, timeout=timeouts or _TIMEOUT
            ) as answer:
                if answer.status_code == httpx2.codes.UNAUTHORIZED:
                    # Passed on as it is, it would be about the key of this engine.
                    raise upstream_failed(
                        "The upstream refuses the engine's key: start the engine with the right "
                        f"one in {UPSTREAM_KEY_VARIABLE}.",
                        code="upstream_key_refused",
                    )
                yield answer
        except httpx2.HTTPError as error:
            raise _unanswered(error) from error

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()


async def passed_on(answer: httpx2.Response, *, hint: str = "") -> Response:
    """Return an upstream's answer, not read yet, as the engine's own; a hint follows an error.

    Raises:
        ApiError: 502; it is too large, or not a JSON object.
    """
    kept = {name: answer.headers[name] for name in _PASSED_ON if name in answer.headers}
    kind = answer.headers.get("content-type", "").partition(";")[0].strip()
    if answer.is_success and kind == "text/event-stream":
        return StreamingResponse(_events(answer), media_type=kind, headers=kept)
    content = await whole(answer)
    body = read_object(content)
    if answer.is_error:
        content = json.dumps({"error": _error(answer, body, hint)}).encode()
    elif body is None or not answer.is_success:
        raise upstream_failed(
            f"The upstream answered with status {answer.status_code} and no JSON object: is its "
            "address the one of an API like OpenAI's?"
        )
    return Response(content, answer.status_code, media_type="application/json", headers=kept)


async def whole(answer: httpx2.Response) -> bytes:
    """Return all of an answer.

    Raises:
        ApiError: 502; it is too large.
    """
    content = bytearray()
    async for part in answer.aiter_bytes():
        content += part
        if len(content) > MAX_ANSWER_BYTES:
            raise _too_large()
    return bytes(content)


def upstream_failed(
    message: str, code: str = "upstream_failed", param: str | None = None
) -> ApiError:
    """Return the error for an upstream that gave no valid answer."""
    return ApiError(502, message, code=code, param=param)


def _unanswered(error: httpx2.HTTPError) -> ApiError:
    if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout):
        message = "The upstream can't be reached: check that it runs at its address (--upstream)."
        return ApiError(503, message, code="upstream_unreachable")
    if isinstance(error, httpx2.TimeoutException):
        message = "The upstream took too long; retry, or ask for less."
        return ApiError(504, message, code="upstream_timeout")
    return upstream_failed("The connection to the upstream broke.")


async def _events(answer: httpx2.Response) -> AsyncIterator[bytes]:
    """Yield complete events, so that an error can follow if the stream is interrupted."""
    buffer = bytearray()
    try:
        async for part in answer.aiter_bytes():
            buffer += part
            ends = [buffer.rfind(mark) + len(mark) for mark in _EVENT_ENDS if mark in buffer]
            if ends:
                yield bytes(buffer[: max(ends)])
                del buffer[: max(ends)]
            if len(buffer) > MAX_ANSWER_BYTES:
                raise _too_large()
        yield bytes(buffer)
    except (ApiError, httpx2.HTTPError) as error:
        fault = error if isinstance(error, ApiError) else _unanswered(error)
        yield (event(fault.body()) + DONE).encode()


def read_object(content: bytes) -> dict[str, Any] | None:
    """Return a JSON object; None if the content is not one."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def _error(answer: httpx2.Response, body: dict[str, Any] | None, hint: str) -> dict[str, Any]:
    """Return an error in OpenAI's shape; older servers of vLLM and others have their own."""
    body = body or {}
    given = body["error"] if isinstance(body.get("error"), dict) else body
    message = given.get("message") or given.get("detail") or body.get("error")
    if not isinstance(message, str):
        message = f"The upstream answered {answer.status_code}."
    found: dict[str, Any] = {"type": "upstream_error", "param": None, "code": None}
    if given is not body:
        found |= given
    return found | {"message": f"{message[:_MAX_QUOTED]}{hint}"}


def _too_large() -> ApiError:
    return upstream_failed(f"The upstream's answer is larger than {MAX_ANSWER_BYTES // 2**20} MiB.")
