"""What stands before the routes: the key, the size of bodies, and errors in OpenAI's shape."""

import secrets
from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import SecretStr
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.files import MAX_FILE_BYTES
from langchain_finetune.local.uploads import MAX_PART_BYTES

OPEN_PATHS = frozenset({"/info", "/health"})
"""What anybody may GET: LangSmith's clients ask for `/info` before they have a key."""

MAX_FORM_BYTES = 2**20
"""What may stand around a file or a part."""

MAX_JSON_BYTES = 8 * 2**20
"""JSON of OpenAI's API, which takes up to thirty times as much memory once it is parsed."""

MAX_BODY_BYTES = 64 * 2**20
"""Any other body; LangSmith's clients cut their batches at 20 MiB."""


class Guard:
    """Lets only requests through that carry the key and are not too large (ASGI middleware).

    Args:
        app: What comes behind.
        key: The key, as `Authorization: Bearer` (OpenAI) or `X-API-Key` (LangSmith).
    """

    def __init__(self, app: ASGIApp, *, key: SecretStr) -> None:
        self._app = app
        self._key = key.get_secret_value().encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        limit = _limit(scope["path"])
        if not self._may_pass(scope, headers):
            await _response(_UNAUTHORIZED)(scope, receive, send)
        elif _length(headers) > limit:
            await _response(_too_large(limit))(scope, receive, send)
        else:
            await self._app(scope, _counted(receive, limit), send)

    def _may_pass(self, scope: Scope, headers: Headers) -> bool:
        if scope["path"] in OPEN_PATHS and scope["method"] in {"GET", "HEAD"}:
            return True
        scheme, _, token = headers.get("authorization", "").partition(" ")
        given = [headers.get("x-api-key", ""), token.strip() if scheme.lower() == "bearer" else ""]
        return any(secrets.compare_digest(key.encode(), self._key) for key in given)


def install_error_handlers(app: FastAPI) -> None:
    """Make every error of the app an answer in OpenAI's shape."""

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
    async def refused_by_framework(request: Request, error: HTTPException) -> JSONResponse:
        if error.status_code == HTTPStatus.NOT_FOUND and error.detail == HTTPStatus(404).phrase:
            message = f"Unknown request URL: {request.method} {request.url.path}."
            return _response(ApiError(404, message, code="unknown_url"))
        return _response(ApiError(error.status_code, str(error.detail)))

    @app.exception_handler(ClientDisconnect)
    async def gone(_: Request, _error: ClientDisconnect) -> Response:
        # Nobody hears it. It is no fault of the engine's, which would be logged.
        return Response(status_code=HTTPStatus.BAD_REQUEST)

    @app.exception_handler(Exception)
    async def broken(_: Request, _error: Exception) -> JSONResponse:
        return _response(ApiError(500, "The engine failed; its log says where."))


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


def _too_large(limit: int) -> ApiError:
    return ApiError(413, f"The body is larger than {limit // 2**20} MiB.", code="body_too_large")


def _limit(path: str) -> int:
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
