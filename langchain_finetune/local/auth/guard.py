"""Checks requests before routing: API key or session, size of bodies; handles errors."""

import errno
import secrets
from collections.abc import Callable
from http import HTTPStatus
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from pydantic import SecretStr
from starlette.datastructures import URL, Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from langchain_finetune.arguments import sentence_of
from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.auth import csrf
from langchain_finetune.local.auth.sessions import PageSessions
from langchain_finetune.local.files import MAX_FILE_BYTES
from langchain_finetune.local.store.routes.otlp import otlp_error
from langchain_finetune.local.store.routes.public import is_presigned
from langchain_finetune.local.uploads import MAX_PART_BYTES

OPEN_PATHS = frozenset({"/info", "/health"})
"""Paths that need no key for GET: LangSmith's clients request `/info` without one."""

MAX_FORM_BYTES = 2**20
"""Maximum overhead of a multipart form, and size of a form sent before sign-in."""

MAX_JSON_BYTES = 8 * 2**20
"""Maximum JSON of OpenAI's API; parsed, it takes up to thirty times as much memory."""

MAX_BODY_BYTES = 64 * 2**20
"""Maximum of other bodies; LangSmith's clients split batches at 20 MiB."""


Render = Callable[..., Response]
"""Renders a page: `render(request, template, status=..., **values)`."""


class Guard:
    """ASGI middleware that refuses unauthorized and oversized requests.

    The API requires the key, as `Authorization: Bearer` (OpenAI) or `X-API-Key` (LangSmith). The
    page requires a session, which also gives its scripts access to `/v1`; requests with a session
    are checked for their origin.
    """

    def __init__(
        self, app: ASGIApp, *, key: SecretStr, sessions: PageSessions, render: Render
    ) -> None:
        self._app = app
        self._key = key.get_secret_value().encode()
        self._sessions = sessions
        self._render = render

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request, or pass it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        limit = _limit(scope["path"])
        if csrf.is_page(scope["path"]):
            send = _with_page_headers(send)
            refused = self._page_refusal(scope, headers)
        else:
            refused = self._api_refusal(scope, headers)
        if refused is None and _length(headers) > limit:
            refused = self._error(scope, _too_large(limit))
        if refused is not None:
            await refused(scope, receive, send)
        else:
            await self._app(scope, _limited(receive, limit), send)

    def _api_refusal(self, scope: Scope, headers: Headers) -> Response | None:
        if scope["path"] in OPEN_PATHS and scope["method"] in csrf.SAFE_METHODS:
            return None
        scheme, _, token = headers.get("authorization", "").partition(" ")
        given = [headers.get("x-api-key", ""), token.strip() if scheme.lower() == "bearer" else ""]
        if any(secrets.compare_digest(key.encode(), self._key) for key in given):
            return None
        if is_presigned(scope["method"], scope["path"]):
            return None
        if not scope["path"].startswith("/v1/") or not self._has_session(scope, headers):
            return self._error(scope, _UNAUTHORIZED)
        return self._cross_site_refusal(scope, headers)

    def _page_refusal(self, scope: Scope, headers: Headers) -> Response | None:
        refused = self._cross_site_refusal(scope, headers)
        if refused or self._has_session(scope, headers) or csrf.is_public(scope["path"]):
            return refused
        if scope["method"] not in csrf.SAFE_METHODS:
            return self._error(scope, ApiError(401, "The session has ended. Sign in again."))
        if headers.get("sec-fetch-site") == "cross-site":
            # A link on another site: browsers send the cookie only when this page redirects.
            target = URL(path=quote(scope["path"]), query=scope["query_string"].decode("latin-1"))
            return self._render(Request(scope), "same_site_redirect.html", target=str(target))
        # Without the query, which may contain a filter with users' text.
        target = URL(csrf.SIGN_IN).include_query_params(next=scope["path"])
        return RedirectResponse(str(target), 303)

    def _has_session(self, scope: Scope, headers: Headers) -> bool:
        session = self._sessions.find(csrf.session_token(headers))
        scope.setdefault("state", {})["session"] = session
        return session is not None

    def _cross_site_refusal(self, scope: Scope, headers: Headers) -> Response | None:
        reason = csrf.csrf_error(scope, headers)
        return self._error(scope, ApiError(403, reason, code="forbidden")) if reason else None

    def _error(self, scope: Scope, error: ApiError) -> Response:
        return _error_response(Request(scope), error, self._render)


def install_error_handlers(app: FastAPI, render: Render) -> None:
    """Return all errors of an application in OpenAI's format, or as pages to browsers."""

    @app.exception_handler(ApiError)
    async def api_error(request: Request, error: ApiError) -> Response:
        return _error_response(request, error, render)

    @app.exception_handler(RequestValidationError)
    async def validation_error(request: Request, error: RequestValidationError) -> Response:
        # Only field and rule: the input itself may be training text.
        first = error.errors()[0]
        param = ".".join(str(part) for part in first["loc"][1:])
        message = sentence_of(param or "The request", first)
        if first["type"] == "json_invalid":
            param, message = "", "The body is not valid JSON."
        return _error_response(request, ApiError(400, message, param=param or None), render)

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        refusal = ApiError(error.status_code, str(error.detail))
        if error.status_code == HTTPStatus.NOT_FOUND and error.detail == HTTPStatus(404).phrase:
            message = f"Unknown request URL: {request.method} {request.url.path}."
            refusal = ApiError(404, message, code="unknown_url")
        return _error_response(request, refusal, render)

    @app.exception_handler(OSError)
    async def os_error(request: Request, error: OSError) -> Response:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise error
        full = ApiError(
            507,
            "The engine's disk is full, and nothing of this was kept: make room on it.",
            code="insufficient_disk_space",
        )
        return _error_response(request, full, render)

    @app.exception_handler(ClientDisconnect)
    async def disconnected(_: Request, _error: ClientDisconnect) -> Response:
        # The client does not receive it; without a handler, the engine would log an error.
        return Response(status_code=HTTPStatus.BAD_REQUEST)

    @app.exception_handler(Exception)
    async def internal_error(request: Request, _error: Exception) -> Response:
        error = ApiError(500, "The engine failed to handle the request; see its log.")
        response = _error_response(request, error, render)
        if csrf.is_page(request.url.path):
            # Not added by the guard: this handler runs outside of it.
            response.headers.update(csrf.PAGE_HEADERS)
        return response


_OPENAI_JSON = (
    "/v1/chat/",
    "/v1/completions",
    "/v1/responses",
    "/v1/fine_tuning/",
    "/v1/uploads",
    "/v1/models",
    "/v1/aliases",
)

_UNAUTHORIZED = ApiError(
    401,
    "Incorrect API key provided. The engine's key is in the file api_key of its home folder.",
    code="invalid_api_key",
)


def _error_response(request: Request, error: ApiError, render: Render) -> Response:
    if csrf.expects_page(request.url.path, request.headers):
        return render(request, "error.html", status=error.status, message=error.message)
    return otlp_error(request, error) or JSONResponse(error.body(), error.status)


def _with_page_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in csrf.PAGE_HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return send_with_headers


def _too_large(limit: int) -> ApiError:
    return ApiError(413, f"The body is larger than {limit // 2**20} MiB.", code="body_too_large")


def _limit(path: str) -> int:
    if path == csrf.SIGN_IN:
        return MAX_FORM_BYTES  # Sent before sign-in.
    if path == "/v1/files":
        return MAX_FILE_BYTES + MAX_FORM_BYTES
    if path.startswith("/v1/uploads/"):
        return MAX_PART_BYTES + MAX_FORM_BYTES
    return MAX_JSON_BYTES if path.startswith(_OPENAI_JSON) else MAX_BODY_BYTES


def _length(headers: Headers) -> int:
    length = headers.get("content-length", "")
    return int(length) if length.isascii() and length.isdigit() else 0


def _limited(receive: Receive, limit: int) -> Receive:
    """Return the stream of a body, which fails after more than `limit` bytes."""
    received = 0

    async def receive_limited() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > limit:
            # FastAPI would turn any other exception into a 400.
            raise HTTPException(413, _too_large(limit).message)
        return message

    return receive_limited
