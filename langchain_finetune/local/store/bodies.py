"""What the routes share: bodies, read and decompressed within bounds, parameters and answers."""

import asyncio
import gzip
import io
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import orjson
import zstandard
from fastapi import Depends, Query, Request, Response
from pydantic import AfterValidator
from python_multipart.multipart import parse_options_header

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.store.values import dumps, loads

MAX_BODY_BYTES = 64 * 2**20
"""Largest body, also once it is decompressed. LangSmith's clients cut their batches at 20 MiB."""

MAX_PUBLIC_BYTES = 2**20
"""Largest body of somebody who has no key."""

MAX_WINDOW = 8 * 2**20
"""What a decoder of zstd has to hold at least (RFC 8878, section 3.1.1.1.2); it may be refused."""

MAX_PARTS = 200_000
"""Most parts of a multipart body; what they take in memory is then bounded like the body.

LangSmith's client (0.14.17) sends all that has gathered, some ten parts a run, and does not send it
again if it is refused: a client that was busy for seconds would lose thousands of runs.
"""

_MAX_HEADER_BYTES = 16 * 2**10
_CHUNK = 2**20


@dataclass(frozen=True)
class FormPart:
    """One part of a multipart body."""

    name: str
    data: bytes
    content_type: str = ""
    filename: str = ""
    """As the client calls it; it is never a path here."""


async def read_body(request: Request, max_bytes: int | None = None) -> bytes:
    """Return the body as it was sent, of `MAX_BODY_BYTES` at most by default."""
    chunks, size = [], 0
    limit = max_bytes or MAX_BODY_BYTES
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        chunks.append(chunk)
    return b"".join(chunks)


def decompressed(body: bytes, encoding: str, max_bytes: int | None = None) -> bytes:
    """Decompress a body by its `Content-Encoding`, to `MAX_BODY_BYTES` at most by default.

    Raises:
        ApiError: 413 where it would grow too large, 400 where it is damaged, 415 where the
            encoding is another than zstd and gzip.
    """
    if encoding in {"", "identity"}:
        return body
    if encoding not in _OPENERS:
        raise ApiError(415, "Content-Encoding must be zstd or gzip, or absent.")
    chunks, size = [], 0
    limit = max_bytes or MAX_BODY_BYTES
    try:
        with _OPENERS[encoding](body) as reader:
            # However much the body claims to hold, no more than a chunk is decompressed at a time.
            while chunk := reader.read(_CHUNK):
                size += len(chunk)
                if size > limit:
                    raise _too_large(limit)
                chunks.append(chunk)
    except (zstandard.ZstdError, EOFError, OSError, zlib.error):
        raise ApiError(400, f"The body is not valid {encoding}.") from None
    return b"".join(chunks)


_OPENERS: dict[str, Callable[[bytes], Any]] = {
    "zstd": lambda body: zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW).stream_reader(
        body, read_across_frames=True
    ),
    "gzip": lambda body: gzip.GzipFile(fileobj=io.BytesIO(body)),
}


def multipart(body: bytes, content_type: str) -> list[FormPart]:
    """Split a `multipart/form-data` body; Starlette drops the types of parts without a file."""
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise ApiError(400, "The body must be multipart/form-data with a boundary.")
    # The parts stand between delimiters, each of which begins with a line break.
    found = (b"\r\n" + body).split(b"\r\n--" + options[b"boundary"], MAX_PARTS + 2)
    if len(found) > MAX_PARTS + 2:
        raise ApiError(413, f"The body has more than {MAX_PARTS} parts.", code="body_too_large")
    if not found[-1].startswith(b"--"):
        raise ApiError(400, "The multipart body ends too early.")
    return [_form_part(piece) for piece in found[1:-1]]


def _form_part(piece: bytes) -> FormPart:
    head, mark, _ = piece[:_MAX_HEADER_BYTES].partition(b"\r\n\r\n")
    if not mark or not head.startswith(b"\r\n"):
        raise ApiError(400, "The multipart body is malformed: a part needs its headers.")
    headers = {}
    for line in head[2:].split(b"\r\n"):
        name, _, value = line.partition(b":")
        headers[name.strip().lower()] = value.strip()
    _, options = parse_options_header(headers.get(b"content-disposition"))
    kind, _ = parse_options_header(headers.get(b"content-type"))
    return FormPart(
        options.get(b"name", b"").decode(errors="replace"),
        piece[len(head) + len(mark) :],
        kind.decode(errors="replace"),
        options.get(b"filename", b"").decode(errors="replace"),
    )


def _too_large(limit: int) -> ApiError:
    return ApiError(413, f"The body is larger than {limit // 2**20} MiB.", code="body_too_large")


async def _json_body(request: Request, max_bytes: int | None = None) -> Any:
    # LangSmith's clients don't always name the type, so FastAPI would not parse it.
    body, encoding = await read_body(request, max_bytes), _encoding(request)
    if encoding:
        body = await asyncio.to_thread(decompressed, body, encoding, max_bytes)
    return loads(body)


async def _any_body(request: Request) -> Any:
    return await _json_body(request)


async def _public_body(request: Request) -> Any:
    return await _json_body(request, MAX_PUBLIC_BYTES)


async def _raw_body(request: Request) -> Callable[[], bytes]:
    body = await read_body(request)
    encoding = _encoding(request)
    # Decompressing takes time: the route does it in its thread.
    return lambda: decompressed(body, encoding)


async def _split_body(request: Request) -> Callable[[], list[FormPart]]:
    body = await _raw_body(request)
    content_type = request.headers.get("content-type", "")
    return lambda: multipart(body(), content_type)


def _encoding(request: Request) -> str:
    return request.headers.get("content-encoding", "").strip().lower()


Json = Annotated[Any, Depends(_any_body)]
"""The body, parsed."""

PublicJson = Annotated[Any, Depends(_public_body)]
"""The same, of a route that takes no key."""

RawBody = Annotated[Callable[[], bytes], Depends(_raw_body)]
"""Returns the body, decompressed."""

SplitBody = Annotated[Callable[[], list[FormPart]], Depends(_split_body)]
"""Splits the body into its parts."""


def _root(request: Request) -> str:
    return str(request.base_url).rstrip("/")


Root = Annotated[str, Depends(_root)]
"""The server's address as the client wrote it."""

Texts = Annotated[list[str] | None, Query()]
"""A query parameter that may be given several times."""


def answer(content: Any, status: int = 200) -> Response:
    """Return an answer of JSON."""
    return Response(orjson.dumps(content), status, media_type="application/json")


def json_object(text: str | None) -> Any:
    """Parse a query parameter that holds a JSON object; of none, return `{}`."""
    value = loads(text.encode(), "metadata") if text else {}
    if not isinstance(value, dict):
        raise ApiError(400, "metadata must be a JSON object.", param="metadata")
    dumps(value, "metadata")
    return value


Metadata = Annotated[str | None, AfterValidator(json_object)]
"""A query parameter that holds a JSON object."""
