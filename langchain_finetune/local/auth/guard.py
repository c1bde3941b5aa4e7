"""What stands before the routes: key or session, the size of bodies, errors in OpenAI's shape."""

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

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.auth import csrf
from langchain_finetune.local.auth.sessions import PageSessions
from langchain_finetune.local.files import MAX_FILE_BYTES
from langchain_finetune.local.store.routes.public import is_presigned
from langchain_finetune.local.uploads import MAX_PART_BYTES

OPEN_PATHS = frozenset({"/info", "/health"})
"""What anybody may GET: LangSmith's clients ask for `/info` before they have a key."""

MAX_FORM_BYTES = 2**20
"""What may stand around a file or a part; also what may come from who is not signed in."""

MAX_JSON_BYTES = 8 * 2**20
"""JSON of OpenAI's API, which takes up to thirty times as much memory once it is parsed."""

MAX_BODY_BYTES = 64 * 2**20
"""Any other body; LangSmith's clients cut their batches at 20 MiB."""


Render = Callable[..., Response]
"""Makes a page: `render(request, template, status=..., **values)`."""


class Guard:
    """Lets only requests through that may pass and are not too large (ASGI middleware).

    The API asks for the key. The page asks for a session, which opens `/v1` to its scripts, too;
    wherever a session counts, so does where the request comes from.

    Args:
        app: What comes behind.
        key: The key, as `Authorization: Bearer` (OpenAI) or `X-API-Key` (LangSmith).
        sessions: Who is signed in to the page.
        render: Makes the pages on which people see a refusal.
    """

    def __init__(
        self, app: ASGIApp, *, key: SecretStr, sessions: PageSessions, render: Render
    ) -> None:
        self._app = app
        self._key = key.get_secret_value().encode()
        self._sessions = sessions
        self._render = render

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
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
            refused = self._refused(scope, _too_large(limit))
        if refused is not None:
            await refused(scope, receive, send)
        else:
            await self._app(scope, _counted(receive, limit), send)

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
            return _response(_UNAUTHORIZED)
        return self._cross_site_refusal(scope, headers)

    def _page_refusal(self, scope: Scope, headers: Headers) -> Response | None:
        refused = self._cross_site_refusal(scope, headers)
        if refused or self._has_session(scope, headers) or csrf.is_open(scope["path"]):
            return refused
        if scope["method"] not in csrf.SAFE_METHODS:
            return self._refused(scope, ApiError(401, "Sign in first: the session has ended."))
        if headers.get("sec-fetch-site") == "cross-site":
            # A link of another site: the browser keeps the cookie back, but not from this page.
            return self._render(Request(scope), "arrived.html", target=_target(scope))
        # Without the query: it may hold a filter with users' text.
        target = URL(csrf.SIGN_IN).include_query_params(next=scope["path"])
        return RedirectResponse(str(target), 303)

    def _has_session(self, scope: Scope, headers: Headers) -> bool:
        session = self._sessions.find(csrf.session_token(headers))
        scope.setdefault("state", {})["session"] = session
        return session is not None

    def _cross_site_refusal(self, scope: Scope, headers: Headers) -> Response | None:
        fault = csrf.fault(scope, headers)
        if fault is None:
            return None
        return self._refused(scope, ApiError(403, fault, code="forbidden"))

    def _refused(self, scope: Scope, error: ApiError) -> Response:
        return _refused(Request(scope), error, self._render)


def install_error_handlers(app: FastAPI, render: Render) -> None:
    """Make every error of the app an answer in OpenAI's shape, or a page where people see it.

    Args:
        app: The application.
        render: Makes the pages.
    """

    @app.exception_handler(ApiError)
    async def refused(_: Request, error: ApiError) -> JSONResponse:
        return _response(error)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        # Only place and rule: the input itself may be training text.
        first = error.errors()[0]
        param = ".".join(str(part) for part in first["loc"][1:])
        if first["type"] == "json_invalid":
            return _response(ApiError(400, "The body is no JSON."))
        return _response(ApiError(400, f"{param}: {first['msg']}", param=param or None))

    @app.exception_handler(HTTPException)
    async def refused_by_framework(request: Request, error: HTTPException) -> Response:
        if error.status_code == HTTPStatus.NOT_FOUND and error.detail == HTTPStatus(404).phrase:
            message = f"Unknown request URL: {request.method} {request.url.path}."
            return _refused(request, ApiError(404, message, code="unknown_url"), render)
        return _refused(request, ApiError(error.status_code, str(error.detail)), render)

    @app.exception_handler(ClientDisconnect)
    async def gone(_: Request, _error: ClientDisconnect) -> Response:
        # Nobody hears it. It is no fault of the engine's, which would be logged.
        return Response(status_code=HTTPStatus.BAD_REQUEST)

    @app.exception_handler(Exception)
    async def broken(request: Request, _error: Exception) -> Response:
        response = _refused(
            request, ApiError(500, "The engine failed; its log says where."), render
        )
        if csrf.is_page(request.url.path):
            # This answer does not come through the guard.
            response.headers.update(csrf.PAGE_HEADERS)
        return response


_OPENAI_JSON = (
    "/v1/chat/",
    "/v1/completions",
    "/v1/responses",
    "/v1/fine_tuning/",
    "/v1/uploads",
    "/v1/models",
)

_UNAUTHORIZED = ApiError(
    401,
    "Incorrect API key provided. The engine's key is in the file api_key of its home folder.",
    code="invalid_api_key",
)


def _response(error: ApiError) -> JSONResponse:
    return JSONResponse(error.body(), error.status)


def _refused(request: Request, error: ApiError, render: Render) -> Response:
    if csrf.is_seen(request.url.path, request.headers):
        return render(request, "error.html", status=error.status, message=error.message)
    return _response(error)


def _target(scope: Scope) -> str:
    """Return what was asked for of this host, as it stood in the request."""
    query = scope["query_string"].decode("latin-1")
    return str(URL(path=quote(scope["path"]), query=query))


def _with_page_headers(send: Send) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in csrf.PAGE_HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sent


def _too_large(limit: int) -> ApiError:
    return ApiError(413, f"The body is larger than {limit // 2**20} MiB.", code="body_too_large")


def _limit(path: str) -> int:
    if path == csrf.SIGN_IN:
        return MAX_FORM_BYTES  # Anybody may send it.
    if path == "/v1/files":
        return MAX_FILE_BYTES + MAX_FORM_BYTES
    if path.startswith("/v1/uploads/"):
        return MAX_PART_BYTES + MAX_FORM_BYTES
    return MAX_JSON_BYTES if path.startswith(_OPENAI_JSON) else MAX_BODY_BYTES


def _length(headers: Headers) -> int:
    given = headers.get("content-length", "")
    return int(given) if given.isascii() and given.isdigit() else 0


def _counted(receive: Receive, limit: int) -> Receive:
    """Return the same stream, which breaks once more than `limit` bytes have come."""
    came = 0

    async def counted() -> Message:
        nonlocal came
        message = await receive()
        came += len(message.get("body", b""))
        if came > limit:
            # FastAPI turns all others than its own exceptions into a 400.
            raise HTTPException(413, _too_large(limit).message)
        return message

    return counted
