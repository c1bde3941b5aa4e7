"""The rows of a file: JSON lines, JSON or Parquet, plain or packed, told by the content.

JSON lines are read line by line and Parquet batch by batch, so memory does not grow with the
file. A JSON document is one value and is read whole: for big data, JSON lines are the way.
"""

import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from langchain_finetune.errors import LoadError
from langchain_finetune.loaders.parquet import parquet_rows
from langchain_finetune.sessions import EncodedChat

_GZIP, _ZSTD, _PARQUET = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PAR1"
_BOM = b"\xef\xbb\xbf"
_CHUNK = 1 << 14
_BUFFER = 1 << 17
"""Bytes read at once: some lines, so that few are put together of pieces."""

Encode = Callable[[bytes], EncodedChat | None]
"""Makes a chat of a line where it can."""


@dataclass(slots=True)
class Row:
    """One value of a file.

    Attributes:
        place: Where it stands, as `path:number`; lines, rows and items are counted from 1.
        data: The value; None for a line that is no JSON.
    """

    place: str
    data: Any


def nothing(line: bytes) -> None:
    """Take no line for a chat."""
    del line


def read_rows(path: Path, encoded: Encode = nothing) -> Iterator[Row | EncodedChat]:
    """Yield the rows of a file one by one.

    Args:
        path: JSON lines, JSON (an object, a list, or `{"runs": [...]}`) or Parquet. JSON may be
            packed with gzip or zstd.
        encoded: Tried on each of the JSON lines; what it returns takes the place of the row.

    Raises:
        LoadError: The file is missing, empty, cut off, damaged or of another format, or its
            format needs the extra `files`.
    """
    count = 0
    try:
        for count, data in _numbered(path, encoded):
            if isinstance(data, EncodedChat):
                yield data
                continue
            for value in _unwrapped(data):
                yield Row(f"{path}:{count}", value)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise LoadError(
            f"{path} is cut off or damaged: {count} rows of it were read. Get the file anew."
        ) from error
    except OSError as error:
        raise LoadError(f"{path} can't be read: {error.strerror or error}.") from error


def _numbered(path: Path, encoded: Encode) -> Iterator[tuple[int, Any]]:
    packed: io.BufferedReader = io.BufferedReader(path.open("rb", buffering=0), _BUFFER)
    with packed:
        head = packed.peek(4)
        if head.startswith(_PARQUET):
            yield from enumerate(parquet_rows(path), 1)
            return
        with _unpacked(path, packed, head) as stream:
            if stream.peek(4).startswith(_PARQUET):
                raise LoadError(f"{path} is packed Parquet, which can't be streamed: unpack it.")
            yield from _json_rows(path, stream, encoded)


def _unpacked(path: Path, packed: io.BufferedReader, head: bytes) -> io.BufferedReader:
    if head.startswith(_GZIP):
        return io.BufferedReader(gzip.GzipFile(fileobj=packed))
    if head.startswith(_ZSTD):
        return io.BufferedReader(_ZstdReader(path, packed))
    return packed


def _json_rows(path: Path, stream: io.BufferedReader, encoded: Encode) -> Iterator[tuple[int, Any]]:
    """Yield numbered values; a line that is no JSON gives None."""
    head: list[tuple[int, bytes]] = []
    lines = enumerate(stream, 1)
    for number, line in lines:
        text = line.removeprefix(_BOM) if number == 1 else line
        if text.strip():
            head.append((number, text))
        if len(head) == 2:  # noqa: PLR2004 - two lines tell a broken one from another format
            break
    if not head:
        raise LoadError(f"{path} is empty.")
    if not any(text.lstrip().startswith((b"{", b"[")) for _, text in head):
        raise LoadError(f"{path} is of no format that is known: JSON lines, JSON or Parquet.")
    if _begins_document(head[0][1]):
        yield from _document(path, b"".join(text for _, text in head) + stream.read())
        return
    for number, line in chain(head, lines):
        if chat := encoded(line):
            yield number, chat
        elif line.strip():
            yield number, _parsed(line)


def _begins_document(line: bytes) -> bool:
    """Tell whether a first line goes on in the next one, as in indented JSON.

    >>> _begins_document(b'[{"id": 1},'), _begins_document(b'{"id": 1}')
    (True, False)
    """
    return _parsed(line) is None and line.rstrip().endswith((b"{", b"[", b",", b":"))


def _document(path: Path, text: bytes) -> Iterator[tuple[int, Any]]:
    data = _parsed(text)
    if data is None:
        raise LoadError(f"{path} is no whole JSON: 0 rows of it were read. Get the file anew.")
    yield from enumerate(_unwrapped(data), 1)


def _unwrapped(data: Any) -> list[Any]:
    """Return the rows in a list or in an answer of LangSmith's API, or the one row it is."""
    if isinstance(data, dict) and "inputs" not in data and isinstance(data.get("runs"), list):
        data = data["runs"]
    return data if isinstance(data, list) else [data]


def _parsed(text: bytes) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


class _ZstdReader(io.RawIOBase):
    """Unpacks zstd, frame after frame.

    The library's own reader takes a file that is cut off for a file that ends.
    """

    def __init__(self, path: Path, packed: BinaryIO) -> None:
        try:
            import zstandard  # noqa: PLC0415 - of the extra `files`
        except ImportError as error:
            raise LoadError(
                f"{path} is packed with zstd: pip install 'langchain-finetune[files]'."
            ) from error
        self._packed = packed
        self._decompressor = zstandard.ZstdDecompressor()
        self._damaged = zstandard.ZstdError
        self._frame: Any = None
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            rest = self._frame.unused_data if self._frame is not None else b""
            chunk = rest or self._packed.read(_CHUNK)
            if not chunk:
                if self._frame is None or self._frame.eof:
                    return 0
                raise EOFError
            if self._frame is None or self._frame.eof:
                self._frame = self._decompressor.decompressobj()
            try:
                self._ready = memoryview(self._frame.decompress(chunk))
            except self._damaged as error:
                raise EOFError from error
        size = min(len(buffer), len(self._ready))
        buffer[:size] = self._ready[:size]
        self._ready = self._ready[size:]
        return size
