"""The rows of a file: JSON Lines, JSON or Parquet, detected by content, also compressed.

JSON Lines are read line by line and Parquet batch by batch, so memory does not grow with the
file, also if a small file holds much. A JSON document is one value and is read completely: for big
data, use JSON Lines.
"""

import io
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from glob import glob
from itertools import chain
from pathlib import Path
from typing import Any

from langchain_finetune.dialects.fast_path import RunColumns
from langchain_finetune.dialects.file_row import runs_of
from langchain_finetune.dialects.otel_spans import is_request, spans_of
from langchain_finetune.errors import LoadError
from langchain_finetune.loaders.json_lines import (
    BUFFER,
    LARGEST,
    NOT_UTF8,
    NumberedLine,
    ReadingPlace,
    head_and_lines,
    json_stream,
    parsed,
    reading,
    too_large,
)
from langchain_finetune.loaders.parquet import json_blocks, parquet_rows
from langchain_finetune.remote_files import AnyFile, RemoteFile, is_remote, remote_errors
from langchain_finetune.sessions import EncodedChat
from langchain_finetune.tolerant_json import loads

_NAMES = tuple(
    kind + compression
    for kind in (".jsonl", ".ndjson", ".json", ".parquet")
    for compression in ("", ".gz", ".zst")
)
"""Suffixes of data files; names matter only in folders."""


def find_files(paths: Iterable[str | os.PathLike[str]]) -> list[AnyFile]:
    """Return the files of paths: each once, in the given order, those of a folder by name.

    A path is a file (of any name), a pattern such as `runs/**/*.jsonl`, or a folder: the data files
    in it and below, such as `year=2026/month=11/day=01/`; names that begin with `.` or `_` are
    ignored, as by Parquet's tools. Files and folders may also be in an object store.

    Raises:
        LoadError: There is no file for a path, it is a pipe or a device, or files of `prepare` are
            among those of a folder. Or an object store can't be read.
    """
    found: dict[AnyFile, None] = {}
    for given in paths:
        if is_remote(given):
            found |= dict.fromkeys(_in_store(RemoteFile.given(given)))
            continue
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
        _refuse_sets(files)
        found |= dict.fromkeys(files)
    return list(found)


_OF_A_SET = ("manifest.json", "train.jsonl")
"""Are beside `sources.jsonl` in a folder that `prepare` wrote."""


def _in_store(place: RemoteFile) -> Sequence[RemoteFile]:
    with remote_errors(place):
        found = place.files_below()
        if found != [place]:
            base = f"{str(place).rstrip('/')}/"
            found = [file for file in found if _is_data(str(file).removeprefix(base).split("/"))]
        if not found:
            raise LoadError(f"There is no data file at {place}.")
        _refuse_sets(found)
    return found


def _refuse_sets(files: Sequence[AnyFile]) -> None:
    """Refuse a set of training files as a whole: its held-out part must not be trained on."""
    for file in files:
        if file.name != "sources.jsonl":
            continue
        if all(file.with_name(name).exists() for name in _OF_A_SET):
            raise LoadError(
                f"{file.parent} is a set of training files, with what may have been held out to"
                f" test with: to train on it, name {file.with_name('train.jsonl')}."
            )


def _below(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if _is_data(path.relative_to(folder).parts) and path.is_file()
    )


def _is_data(parts: Sequence[str]) -> bool:
    """Return whether the parts of a path below a folder are those of a data file."""
    return parts[-1].endswith(_NAMES) and not any(part.startswith((".", "_")) for part in parts)


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


def read_rows(path: AnyFile, encoded: Encode | None = None) -> Iterator[FileRow | EncodedChat]:
    """Yield the rows of a file one by one.

    It is JSON Lines, JSON (an object, a list, or `{"runs": [...]}`) or Parquet; JSON may be
    compressed with gzip or zstd. A chat that `encoded` returns for one of the JSON Lines, or for a
    row of Parquet whose large columns are JSON strings, replaces the row.

    Raises:
        LoadError: The file is missing, empty, truncated, damaged or has another format, or its
            format needs the extra `files`.
    """
    with reading(path) as place:
        yield from _rows(place, _numbered(path, encoded))


def _rows(
    place: ReadingPlace, numbered: Iterable[tuple[int, Any]]
) -> Iterator[FileRow | EncodedChat]:
    for place.number, data in numbered:
        if isinstance(data, EncodedChat):
            yield data
            continue
        name = f"{place.path}:{place.number}"
        if data is NOT_UTF8 or data is _TOO_LONG:
            yield FileRow(name, None, "not_utf8" if data is NOT_UTF8 else "line_too_long")
            continue
        for value in _unwrapped(data):
            yield FileRow(name, value)


def rows_of_lines(
    path: AnyFile, lines: Iterable[NumberedLine], encoded: Encode | None = None
) -> Iterator[FileRow | EncodedChat]:
    """Yield the rows of some lines of a file of JSON Lines, as `read_rows` does."""
    return _rows(ReadingPlace(path), _parsed_lines(lines, encoded))


def rows_of_groups(
    path: AnyFile, groups: Sequence[int], first: int, encoded: Encode | None = None
) -> Iterator[FileRow | EncodedChat]:
    """Yield the rows of some row groups of a Parquet file, as `read_rows` does.

    Args:
        path: The file.
        groups: Numbers of the row groups, which follow each other.
        first: The number of the first row.
        encoded: As for `read_rows`.

    Raises:
        LoadError: As `read_rows`.
    """
    with reading(path, first - 1) as place:
        yield from _rows(place, _parquet(path, encoded, groups, first))


def may_contain(path: AnyFile, words: Sequence[bytes]) -> bool:
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


def _blocks(path: AnyFile) -> Iterator[bytes]:
    with json_stream(path) as stream:
        if stream is None:
            yield from json_blocks(path)
            return
        while block := stream.read(BUFFER):
            yield block


def _numbered(path: AnyFile, encoded: Encode | None) -> Iterator[tuple[int, Any]]:
    with json_stream(path) as stream:
        if stream is None:
            yield from _parquet(path, encoded)
        else:
            yield from _json_rows(path, stream, encoded)


def _parquet(
    path: AnyFile, encoded: Encode | None, groups: Sequence[int] | None = None, first: int = 1
) -> Iterator[tuple[int, Any]]:
    for count, (run, row) in enumerate(parquet_rows(path, groups), first):
        yield count, (encoded and run and encoded(run, row)) or row()


def _json_rows(
    path: AnyFile, stream: io.BufferedReader, encoded: Encode | None
) -> Iterator[tuple[int, Any]]:
    """Yield numbered values; None for a line that is not valid JSON."""
    opened = head_and_lines(path, stream)
    if opened.is_document:
        text = b"".join(text for _, text in opened.head) + stream.read(LARGEST)
        if stream.peek(1):
            raise LoadError(too_large(path))
        data = _document(path, text)
        yield from enumerate(_unwrapped(data), 1)
        return
    yield from _parsed_lines(chain(opened.head, opened.rest), encoded)


def _parsed_lines(
    lines: Iterable[NumberedLine], encoded: Encode | None
) -> Iterator[tuple[int, Any]]:
    for number, line in lines:
        if line is None:
            yield number, _TOO_LONG
        elif encoded and (chat := encoded(line, partial(loads, line))):
            yield number, chat
        elif line.strip():
            yield number, parsed(line)


def _document(path: AnyFile, text: bytes) -> Any:
    data = parsed(text)
    if data is NOT_UTF8:
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


_TOO_LONG = object()
"""Stands for a line that would take too much memory."""
