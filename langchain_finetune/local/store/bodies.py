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
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.store.values import dumps, loads

MAX_BODY_BYTES = 64 * 2**20
"""Largest body, also once it is decompressed. LangSmith's clients cut their batches at 20 MiB."""

MAX_PUBLIC_BYTES = 2**20
"""Largest body of somebody who has no key."""

MAX_WINDOW = 8 * 2**20
"""What a decoder of zstd has to hold at least (RFC 8878, section 3.1.1.1.2); it may be refused."""

MAX_PARTS = 10_000
"""Most parts of a multipart body; LangSmith's clients send 100 runs of some ten parts at most."""

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


async def read_body(request: Request, most: int | None = None) -> bytes:
    """Return the body as it was sent.

    Args:
        request: Whose body it is.
        most: Bytes that it may hold; `MAX_BODY_BYTES` by default.

    Raises:
        ApiError: 413 where it is too large.
    """
    chunks, size = [], 0
    most = most or MAX_BODY_BYTES
    async for chunk in request.stream():
        size += len(chunk)
        if size > most:
            raise _too_large(most)
        chunks.append(chunk)
    return b"".join(chunks)


def unpacked(body: bytes, encoding: str, most: int | None = None) -> bytes:
    """Decompress a body by its `Content-Encoding`.

    Args:
        body: As it was sent.
        encoding: How it was compressed.
        most: Bytes that it may hold then; `MAX_BODY_BYTES` by default.

    Raises:
        ApiError: 413 where it would grow too large, 400 where it is damaged, 415 where the
            encoding is another than zstd and gzip.
    """
    if encoding in {"", "identity"}:
        return body
    if encoding not in _OPENERS:
        raise ApiError(415, "Content-Encoding must be zstd or gzip, or absent.")
    chunks, size = [], 0
    most = most or MAX_BODY_BYTES
    try:
        with _OPENERS[encoding](body) as reader:
            # However much the body claims to hold, no more than a chunk is decompressed at a time.
            while chunk := reader.read(_CHUNK):
                size += len(chunk)
                if size > most:
                    raise _too_large(most)
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
    """Split a `multipart/form-data` body, of which Starlette would limit number and size of parts.

    Raises:
        ApiError: 400 where it is malformed.
    """
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise ApiError(400, "The body must be multipart/form-data with a boundary.")
    collector = _Collector()
    try:
        parser = MultipartParser(options[b"boundary"], collector.callbacks())
        parser.write(body)
        parser.finalize()
    except FormParserError:
        raise ApiError(400, "The multipart body is malformed.") from None
    if not collector.ended:
        raise ApiError(400, "The multipart body ends too early.")
    return collector.parts


class _Collector:
    """Gathers what the parser calls out."""

    def __init__(self) -> None:
        self.parts: list[FormPart] = []
        self.ended = False
        self._header = [b"", b""]
        self._name = ""
        self._type = ""
        self._filename = ""
        self._data: list[bytes] = []

    def callbacks(self) -> Any:
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._more_header(0, data[start:end]),
            "on_header_value": lambda data, start, end: self._more_header(1, data[start:end]),
            "on_header_end": self._end_header,
            "on_part_data": lambda data, start, end: self._data.append(data[start:end]),
            "on_part_end": self._end_part,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        if len(self.parts) >= MAX_PARTS:
            raise ApiError(413, f"The body has more than {MAX_PARTS} parts.", code="body_too_large")
        self._name, self._type, self._filename, self._data = "", "", "", []

    def _more_header(self, place: int, data: bytes) -> None:
        self._header[place] += data
        if len(self._header[place]) > _MAX_HEADER_BYTES:
            raise ApiError(400, "A part's header is too long.")

    def _end_header(self) -> None:
        field, value = self._header
        if field.lower() == b"content-disposition":
            options = parse_options_header(value)[1]
            self._name = options.get(b"name", b"").decode(errors="replace")
            self._filename = options.get(b"filename", b"").decode(errors="replace")
        elif field.lower() == b"content-type":
            self._type = parse_options_header(value)[0].decode(errors="replace")
        self._header = [b"", b""]

    def _end_part(self) -> None:
        data = b"".join(self._data)
        self.parts.append(FormPart(self._name, data, self._type, self._filename))

    def _end(self) -> None:
        self.ended = True


def _too_large(most: int) -> ApiError:
    return ApiError(413, f"The body is larger than {most // 2**20} MiB.", code="body_too_large")


async def _json_body(request: Request, most: int | None = None) -> Any:
    # LangSmith's clients don't always name the type, so FastAPI would not parse it.
    body, encoding = await read_body(request, most), _encoding(request)
    if encoding:
        body = await asyncio.to_thread(unpacked, body, encoding, most)
    return loads(body)


async def _any_body(request: Request) -> Any:
    return await _json_body(request)


async def _public_body(request: Request) -> Any:
    return await _json_body(request, MAX_PUBLIC_BYTES)


async def _raw_body(request: Request) -> Callable[[], list[FormPart]]:
    body = await read_body(request)
    encoding = _encoding(request)
    content_type = request.headers.get("content-type", "")
    # Decompressing takes time: the route does it in its thread.
    return lambda: multipart(unpacked(body, encoding), content_type)


def _encoding(request: Request) -> str:
    return request.headers.get("content-encoding", "").strip().lower()


Json = Annotated[Any, Depends(_any_body)]
"""The body, parsed."""

PublicJson = Annotated[Any, Depends(_public_body)]
"""The same, of a route that takes no key."""

SplitBody = Annotated[Callable[[], list[FormPart]], Depends(_raw_body)]
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
    """Parse a query parameter that holds a JSON object; of none, return `{}`.

    Raises:
        ApiError: 400 where it is not an object.
    """
    value = loads(text.encode(), "metadata") if text else {}
    if not isinstance(value, dict):
        raise ApiError(400, "metadata must be a JSON object.", param="metadata")
    dumps(value, "metadata")
    return value


Metadata = Annotated[str | None, AfterValidator(json_object)]
"""A query parameter that holds a JSON object."""
