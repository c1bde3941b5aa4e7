"""The rows of a file: JSON Lines, JSON or Parquet, detected by content, also compressed.

JSON Lines are read line by line and Parquet batch by batch, so memory does not grow with the
file, also if a small file holds much. A JSON document is one value and is read completely: for big
data, use JSON Lines.
"""

import gzip
import io
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from glob import glob
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from langchain_finetune.dialects.fast_path import RunColumns
from langchain_finetune.dialects.otel_spans import is_request, spans_of
from langchain_finetune.dialects.stored_rows import runs_of
from langchain_finetune.errors import LoadError
from langchain_finetune.extras import missing_extra
from langchain_finetune.loaders.parquet import json_blocks, parquet_rows
from langchain_finetune.sessions import EncodedChat
from langchain_finetune.tolerant_json import loads

_NAMES = tuple(
    kind + compression
    for kind in (".jsonl", ".ndjson", ".json", ".parquet")
    for compression in ("", ".gz", ".zst")
)
"""Suffixes of data files; names matter only in folders."""


def find_files(paths: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Return the files of paths: each once, in the given order, those of a folder by name.

    A path is a file (of any name), a pattern such as `runs/**/*.jsonl`, or a folder: the data files
    in it and below, such as `year=2026/month=11/day=01/`; names that begin with `.` or `_` are
    ignored, as by Parquet's tools.

    Raises:
        LoadError: There is no file for a path, or it is a pipe or a device.
    """
    found: dict[Path, None] = {}
    for given in paths:
        path = Path(given).expanduser()
        # A name with brackets is a pattern only if there is no such file.
        names = [path] if path.exists() else sorted(map(Path, glob(str(path), recursive=True)))  # noqa: PTH207 - takes absolute patterns
        files = [file for name in names for file in (_below(name) if name.is_dir() else [name])]
        if not files:
            what = "The folder contains no data files" if path.is_dir() else "There is no file"
            raise LoadError(f"{what}: {str(given)!r}.")
        for file in files:
            # A pipe would be waited for for ever, and some devices have no end.
            if not file.is_file():
                raise LoadError(f"{file} is not a regular file: write its content to one first.")
        found |= dict.fromkeys(files)
    return list(found)


def _below(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.name.endswith(_NAMES)
        and not any(part.startswith((".", "_")) for part in path.relative_to(folder).parts)
        and path.is_file()
    )


_LARGEST = 256 << 20
"""Most bytes of a line and of a JSON document."""

_GZIP, _ZSTD, _PARQUET = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PAR1"
_BOM = b"\xef\xbb\xbf"
_CHUNK = 1 << 14
_BUFFER = 1 << 17
"""Bytes read at once: several lines, so that few lines are split between reads."""

Encode = Callable[[bytes | RunColumns, Callable[[], Any]], EncodedChat | None]
"""Converts a line, or a run of Parquet whose columns are JSON, to a chat if it can.

The function that it is given parses the row.
"""


@dataclass(slots=True)
class FileRow:
    """One value of a file, None for a line that is not valid JSON, and its `path:number`.

    Lines, rows and items are counted from 1. `fault` is `not_utf8` for a line in another encoding,
    and `line_too_long` for one that would take too much memory.
    """

    place: str
    data: Any
    fault: str = ""


def read_rows(path: Path, encoded: Encode | None = None) -> Iterator[FileRow | EncodedChat]:
    """Yield the rows of a file one by one.

    It is JSON Lines, JSON (an object, a list, or `{"runs": [...]}`) or Parquet; JSON may be
    compressed with gzip or zstd. A chat that `encoded` returns for one of the JSON Lines, or for a
    row of Parquet whose large columns are JSON strings, replaces the row.

    Raises:
        LoadError: The file is missing, empty, truncated, damaged or has another format, or its
            format needs the extra `files`.
    """
    count = 0
    try:
        for count, data in _numbered(path, encoded):
            if isinstance(data, EncodedChat):
                yield data
                continue
            if data is _NOT_UTF8 or data is _TOO_LONG:
                fault = "not_utf8" if data is _NOT_UTF8 else "line_too_long"
                yield FileRow(f"{path}:{count}", None, fault)
                continue
            for value in _unwrapped(data):
                yield FileRow(f"{path}:{count}", value)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise LoadError(
            f"{path} is truncated or damaged: {count} rows were read. Download it again."
        ) from error
    except OSError as error:
        raise LoadError(f"{path} can't be read: {error.strerror or error}.") from error


def may_contain(path: Path, words: Sequence[bytes]) -> bool:
    """Return whether a file may have one of some words in its JSON, without parsing it.

    True also for a file that can't be read: `read_rows` says why.
    """
    longest = max(map(len, words))
    end = b""
    try:
        for block in _blocks(path):
            if any(word in text for text in (block, end + block[:longest]) for word in words):
                return True
            end = block[-longest:]
    except (EOFError, ImportError, LoadError, OSError, zlib.error):
        return True
    return False


def _blocks(path: Path) -> Iterator[bytes]:
    compressed: io.BufferedReader = io.BufferedReader(path.open("rb", buffering=0), _BUFFER)
    with compressed:
        head = compressed.peek(4)
        if head.startswith(_PARQUET):
            yield from json_blocks(path)
            return
        with _decompressed(path, compressed, head) as stream:
            while block := stream.read(_BUFFER):
                yield block


def _numbered(path: Path, encoded: Encode | None) -> Iterator[tuple[int, Any]]:
    compressed: io.BufferedReader = io.BufferedReader(path.open("rb", buffering=0), _BUFFER)
    with compressed:
        head = compressed.peek(4)
        if head.startswith(_PARQUET):
            for count, (run, row) in enumerate(parquet_rows(path), 1):
                yield count, (encoded and run and encoded(run, row)) or row()
            return
        with _decompressed(path, compressed, head) as stream:
            if stream.peek(4).startswith(_PARQUET):
                raise LoadError(f"{path} is a compressed Parquet file; decompress it first.")
            yield from _json_rows(path, stream, encoded)


def _decompressed(path: Path, compressed: io.BufferedReader, head: bytes) -> io.BufferedReader:
    if head.startswith(_GZIP):
        return io.BufferedReader(gzip.GzipFile(fileobj=compressed))
    if head.startswith(_ZSTD):
        return io.BufferedReader(_ZstdReader(path, compressed))
    return compressed


def _json_rows(
    path: Path, stream: io.BufferedReader, encoded: Encode | None
) -> Iterator[tuple[int, Any]]:
    """Yield numbered values; None for a line that is not valid JSON."""
    lines = enumerate(_lines(stream), 1)
    head = _head(path, lines)
    if _begins_document(head[0][1]):
        text = b"".join(text for _, text in head) + stream.read(_LARGEST)
        if stream.peek(1):
            raise LoadError(_too_large(path))
        data = _document(path, text)
        yield from enumerate(_unwrapped(data), 1)
        return
    for number, line in chain(head, lines):
        if line is None:
            yield number, _TOO_LONG
        elif encoded and (chat := encoded(line, partial(loads, line))):
            yield number, chat
        elif line.strip():
            yield number, _parsed(line)


def _head(path: Path, lines: Iterator[tuple[int, bytes | None]]) -> list[tuple[int, bytes]]:
    """Return the first two lines, which tell the format and an invalid line from another one."""
    head: list[tuple[int, bytes]] = []
    for number, line in lines:
        if line is None:
            raise LoadError(_too_large(path, f"Line {number} of "))
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
    while line := stream.readline(_LARGEST):
        if len(line) < _LARGEST or line.endswith(b"\n"):
            yield line
            continue
        while (rest := stream.readline(_BUFFER)) and not rest.endswith(b"\n"):
            pass
        yield None


def _too_large(path: Path, line: str = "") -> str:
    return (
        f"{line}{path} has more than {_LARGEST >> 20} MiB, too much for one value: write JSON"
        " Lines, a run in each line."
    )


def _begins_document(line: bytes) -> bool:
    """Return whether a first line continues in the next one, as in indented JSON.

    >>> _begins_document(b'[{"id": 1},'), _begins_document(b'{"id": 1}')
    (True, False)
    """
    return _parsed(line) is None and line.rstrip().endswith((b"{", b"[", b",", b":"))


def _document(path: Path, text: bytes) -> Any:
    data = _parsed(text)
    if data is _NOT_UTF8:
        raise LoadError(f"{path} is not UTF-8 text: convert it with iconv.")
    if data is None:
        raise LoadError(f"{path} is not valid JSON (truncated?). Download it again.")
    return data


def _unwrapped(data: Any) -> list[Any]:
    """Return the rows of a list, of a response of a store's API or of a request of OTLP.

    A trace of another store has a row for each of its runs. Any other value is one row.
    """
    if isinstance(data, dict) and "inputs" not in data:
        lists = (data[key] for key in ("runs", "traces", "data") if isinstance(data.get(key), list))
        data = next(lists, data)
    values = data if isinstance(data, list) else [data]
    if not any(is_request(value) for value in values):
        return [run for value in values for run in runs_of(value)]
    return [span for value in values for span in spans_of(value)]


_NOT_UTF8 = object()
"""Stands for text in another encoding."""

_TOO_LONG = object()
"""Stands for a line that would take too much memory."""


def _parsed(text: bytes) -> Any:
    try:
        return loads(text)
    except ValueError:
        pass
    try:
        text.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return _NOT_UTF8
    return None


def _require_utf8(path: Path, text: bytes) -> None:
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

    def __init__(self, path: Path, compressed: BinaryIO) -> None:
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
