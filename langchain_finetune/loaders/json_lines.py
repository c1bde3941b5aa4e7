"""Lines of JSON Lines files, also compressed, and the stream of a file's JSON.

They are read line by line, so memory does not grow with the file.
"""

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any, BinaryIO, NamedTuple

from langchain_finetune.errors import LoadError
from langchain_finetune.extras import missing_extra
from langchain_finetune.remote_files import AnyFile
from langchain_finetune.tolerant_json import loads

LARGEST = 256 << 20
"""Most bytes of a line and of a JSON document."""

_GZIP, _ZSTD, _PARQUET = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PAR1"

_BOM = b"\xef\xbb\xbf"

_CHUNK = 1 << 14

BUFFER = 1 << 17
"""Bytes read at once: several lines, so that few lines are split between reads."""


@dataclass(slots=True)
class ReadingPlace:
    """How far a file was read: the number of the last row."""

    path: AnyFile
    number: int = 0


@contextmanager
def reading(path: AnyFile, number: int = 0) -> Iterator[ReadingPlace]:
    """Say in an error that a file is damaged, and after which row.

    Raises:
        LoadError: In place of the libraries' errors.
    """
    place = ReadingPlace(path, number)
    try:
        yield place
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise LoadError(
            f"{path} is truncated or damaged: {place.number} rows were read. Download it again."
        ) from error
    except OSError as error:
        raise LoadError(f"{path} can't be read: {error.strerror or error}.") from error


NumberedLine = tuple[int, bytes | None]
"""A line with its number; None for one that would take too much memory."""


def is_parquet(path: AnyFile) -> bool:
    """Return whether a file begins as Parquet does."""
    with path.open("rb") as file:
        return file.read(len(_PARQUET)) == _PARQUET


@contextmanager
def lines_of(path: AnyFile) -> Iterator[Iterator[NumberedLine] | None]:
    """Open a file, and give the lines of JSON Lines; None for another format.

    Raises:
        LoadError: The file has none of the formats.
    """
    with json_stream(path) as stream:
        opened = None if stream is None else head_and_lines(path, stream)
        yield None if opened is None or opened.is_document else chain(opened.head, opened.rest)


@contextmanager
def json_stream(path: AnyFile) -> Iterator[io.BufferedReader | None]:
    """Open a file of JSON, decompressed; None is a Parquet file."""
    compressed: io.BufferedReader = io.BufferedReader(path.open("rb", buffering=0), BUFFER)
    with compressed:
        head = compressed.peek(4)
        if head.startswith(_PARQUET):
            yield None
            return
        with _decompressed(path, compressed, head) as stream:
            if stream.peek(4).startswith(_PARQUET):
                raise LoadError(f"{path} is a compressed Parquet file; decompress it first.")
            yield stream


def _decompressed(path: AnyFile, compressed: io.BufferedReader, head: bytes) -> io.BufferedReader:
    if head.startswith(_GZIP):
        return io.BufferedReader(gzip.GzipFile(fileobj=compressed))
    if head.startswith(_ZSTD):
        return io.BufferedReader(_ZstdReader(path, compressed))
    return compressed


class OpenedLines(NamedTuple):
    """The first lines of a file of JSON, the others, and whether all are one document."""

    head: list[tuple[int, bytes]]
    rest: Iterator[NumberedLine]
    is_document: bool


def head_and_lines(path: AnyFile, stream: io.BufferedReader) -> OpenedLines:
    """Return the first lines of a stream, and the others.

    Raises:
        LoadError: It is no JSON.
    """
    lines = enumerate(_lines(stream), 1)
    head = _head(path, lines)
    return OpenedLines(head, lines, _begins_document(head[0][1]))


def _head(path: AnyFile, lines: Iterator[NumberedLine]) -> list[tuple[int, bytes]]:
    """Return the first two lines, which tell the format and an invalid line from another one."""
    head: list[tuple[int, bytes]] = []
    for number, line in lines:
        if line is None:
            raise LoadError(too_large(path, f"Line {number} of "))
        text = line.removeprefix(_BOM) if number == 1 else line
        if text.strip():
            head.append((number, text))
        if len(head) == 2:  # noqa: PLR2004
            break
    if not head:
        raise LoadError(f"{path} is empty.")
    _require_utf8(path, head[0][1])
    if not any(text.lstrip().startswith((b"{", b"[")) for _, text in head):
        raise LoadError(f"{path} is not JSON Lines, JSON or Parquet.")
    return head


def _lines(stream: io.BufferedReader) -> Iterator[bytes | None]:
    """Yield lines; None for one that is too long, which is passed over."""
    while line := stream.readline(LARGEST):
        if len(line) < LARGEST or line.endswith(b"\n"):
            yield line
            continue
        while (rest := stream.readline(BUFFER)) and not rest.endswith(b"\n"):
            pass
        yield None


def too_large(path: AnyFile, line: str = "") -> str:
    """Return the sentence that refuses a value that would take too much memory."""
    return (
        f"{line}{path} has more than {LARGEST >> 20} MiB, too much for one value: write JSON"
        " Lines, a run in each line."
    )


def _begins_document(line: bytes) -> bool:
    """Return whether a first line continues in the next one, as in indented JSON.

    >>> _begins_document(b'[{"id": 1},'), _begins_document(b'{"id": 1}')
    (True, False)
    """
    return parsed(line) is None and line.rstrip().endswith((b"{", b"[", b",", b":"))


NOT_UTF8 = object()
"""Stands for text in another encoding."""


def parsed(text: bytes) -> Any:
    """Return the value of JSON; None if it is not valid, or `NOT_UTF8`."""
    try:
        return loads(text)
    except ValueError:
        pass
    try:
        text.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return NOT_UTF8
    return None


def _require_utf8(path: AnyFile, text: bytes) -> None:
    """Name the encoding of text that begins as no UTF-8 does."""
    encoding = ""
    if text.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        encoding = "UTF-32"
    # Without a byte order mark, every second byte of ASCII is a zero.
    elif text.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in text[:2]:
        encoding = "UTF-16"
    if encoding:
        raise LoadError(
            f"{path} is not JSON Lines, JSON or Parquet in UTF-8 but {encoding} text: convert it, "
            f"such as with iconv -f {encoding} -t UTF-8."
        )


class _ZstdReader(io.RawIOBase):
    """Decompresses zstd, frame by frame.

    The library's own reader does not detect truncated files.
    """

    def __init__(self, path: AnyFile, compressed: BinaryIO) -> None:
        try:
            import zstandard  # noqa: PLC0415 - of the extra `files`
        except ImportError as error:
            raise LoadError(
                missing_extra(f"{path} is compressed with zstd, which", "files")
            ) from error
        self._compressed = compressed
        self._decompressor = zstandard.ZstdDecompressor()
        self._damaged = zstandard.ZstdError
        self._frame: Any = None
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            rest = self._frame.unused_data if self._frame is not None else b""
            chunk = rest or self._compressed.read(_CHUNK)
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
