"""Bodies of requests: bounded reading, zstd, multipart and JSON."""

from dataclasses import dataclass
from typing import Any

import orjson
import zstandard
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from langchain_finetune.local.api_error import ApiError

MAX_BODY_BYTES = 64 * 2**20
"""Largest body, also once it is unpacked. LangSmith's clients cut their batches at 20 MiB."""


@dataclass(frozen=True)
class Part:
    """One part of a multipart body."""

    name: str
    data: bytes
    content_type: str = ""
    filename: str = ""
    """As the client calls it; it is never a path here."""


async def read_body(request: Request) -> bytes:
    """Return the body as it was sent.

    Raises:
        ApiError: 413 where it is too large.
    """
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            raise _too_large()
        chunks.append(chunk)
    return b"".join(chunks)


def unpacked(body: bytes, encoding: str) -> bytes:
    """Undo the body's `Content-Encoding`.

    Raises:
        ApiError: 413 where it would grow too large, 400 where it is damaged, 415 where the
            encoding is another than zstd.
    """
    if encoding in {"", "identity"}:
        return body
    if encoding != "zstd":
        raise ApiError(415, "Content-Encoding must be zstd, or absent.")
    unpacker = zstandard.ZstdDecompressor(max_window_size=MAX_BODY_BYTES)
    try:
        # The reader unpacks no more than is asked for, however much the body claims to hold.
        with unpacker.stream_reader(body, read_across_frames=True) as reader:
            data = reader.read(MAX_BODY_BYTES + 1)
    except zstandard.ZstdError:
        raise ApiError(400, "The body is not what zstd makes.") from None
    if len(data) > MAX_BODY_BYTES:
        raise _too_large()
    return data


def multipart(body: bytes, content_type: str) -> list[Part]:
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


def loads(data: bytes, what: str = "body") -> Any:
    """Parse JSON.

    Raises:
        ApiError: 400 where it is none.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        raise ApiError(400, f"The {what} is no JSON.") from None


def dumps(value: Any, what: str) -> str:
    """Write JSON.

    Raises:
        ApiError: 400 where it is nested deeper than can be written (about 250 levels), which
            SQLite could not read either.
    """
    try:
        # Two levels are left for what an answer puts around it.
        return orjson.dumps([[value]])[2:-2].decode()
    except orjson.JSONEncodeError:
        raise ApiError(400, f"{what} is nested too deep.", param=what) from None


class _Collector:
    """Gathers what the parser calls out."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
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
        self._name, self._type, self._filename, self._data = "", "", "", []

    def _more_header(self, place: int, data: bytes) -> None:
        self._header[place] += data

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
        self.parts.append(Part(self._name, data, self._type, self._filename))

    def _end(self) -> None:
        self.ended = True


def _too_large() -> ApiError:
    return ApiError(
        413, f"The body is larger than {MAX_BODY_BYTES // 2**20} MiB.", code="body_too_large"
    )
