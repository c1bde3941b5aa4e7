"""What the routes share: bodies, query parameters and answers."""

import asyncio
from collections.abc import Callable
from typing import Annotated, Any

import orjson
from fastapi import Depends, Query, Request, Response
from pydantic import BaseModel

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.store.bodies import FormPart, multipart, read_body, unpacked
from langchain_finetune.local.store.values import dumps, loads

MAX_PUBLIC_BYTES = 2**20
"""Largest body of who has no key."""


async def _json_body(request: Request) -> Any:
    return await _read_json(request)


async def _public_json_body(request: Request) -> Any:
    return await _read_json(request, MAX_PUBLIC_BYTES)


async def _read_json(request: Request, most: int | None = None) -> Any:
    # LangSmith's clients don't always name the type, so FastAPI would not parse it.
    body, encoding = await read_body(request, most), _encoding(request)
    if encoding:
        body = await asyncio.to_thread(unpacked, body, encoding, most)
    return loads(body)


async def _raw_body(request: Request) -> Callable[[], list[FormPart]]:
    body = await read_body(request)
    encoding = _encoding(request)
    content_type = request.headers.get("content-type", "")
    # Unpacking takes time: the route does it in its thread.
    return lambda: multipart(unpacked(body, encoding), content_type)


def _encoding(request: Request) -> str:
    return request.headers.get("content-encoding", "").strip().lower()


class _Page(BaseModel):
    limit: int
    offset: int


def _page(
    limit: Annotated[int, Query(ge=1, le=100)] = 100,
    offset: Annotated[int, Query(ge=0, le=2**31)] = 0,
) -> _Page:
    return _Page(limit=limit, offset=offset)


Json = Annotated[Any, Depends(_json_body)]
"""The body, parsed."""

PublicJson = Annotated[Any, Depends(_public_json_body)]
"""The same, of a route that takes no key."""

SplitBody = Annotated[Callable[[], list[FormPart]], Depends(_raw_body)]
"""Splits the body into its parts."""


def _root(request: Request) -> str:
    return str(request.base_url).rstrip("/")


Root = Annotated[str, Depends(_root)]
"""The server's address as the client wrote it."""

PageRange = Annotated[_Page, Depends(_page)]
"""Which part of a list is asked for."""

Texts = Annotated[list[str] | None, Query()]
"""A query parameter that may be given several times."""


def known_only(*names: str) -> Any:
    """Return a dependency that refuses other query parameters.

    A condition that was quietly dropped would match too much.
    """

    def check(request: Request) -> None:
        for name in request.query_params:
            if name not in names:
                raise ApiError(400, f"This server has no parameter {name!r} here.", param=name)

    return Depends(check)


def answer(content: Any, status: int = 200) -> Response:
    """Return an answer of JSON."""
    return Response(orjson.dumps(content), status, media_type="application/json")


def json_object(text: str | None, name: str) -> dict[str, Any]:
    """Parse a query parameter that holds a JSON object; of none, return `{}`.

    Raises:
        ApiError: 400 where it is no object.
    """
    value = loads(text.encode(), name) if text else {}
    if not isinstance(value, dict):
        raise ApiError(400, f"{name} must be a JSON object.", param=name)
    dumps(value, name)
    return value
