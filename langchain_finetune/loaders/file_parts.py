"""Parts of files, which several processes read at once: lines, row groups, or a whole document."""

import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from socket import gethostname
from typing import Any

from langchain_finetune.errors import LoadError
from langchain_finetune.loaders.file_formats import (
    Encode,
    FileRow,
    find_files,
    read_rows,
    rows_of_groups,
    rows_of_lines,
)
from langchain_finetune.loaders.json_lines import (
    NumberedLine,
    ReadingPlace,
    is_parquet,
    lines_of,
    reading,
)
from langchain_finetune.loaders.parquet import row_groups
from langchain_finetune.remote_files import AnyFile, file_at
from langchain_finetune.sessions import EncodedChat

PART_BYTES = 1 << 20
"""Bytes of lines in a part: some dozen runs, so that all processes have some until the end."""


@dataclass(frozen=True)
class FilePart:
    """A part of a file.

    Attributes:
        path: The file.
        first: The number of its first row, from 1.
        last: The number of its last row; None if that is not known before it is read.
        lines: Lines of JSON Lines, which are handed on since only a reader of all lines before
            knows their numbers, and of a compressed file their places.
        groups: Numbers of row groups of a Parquet file, which is read by who is given the part.
    """

    path: str
    first: int = 1
    last: int | None = None
    lines: list[NumberedLine] | None = None
    groups: list[int] | None = None

    def plain(self) -> tuple[Any, ...]:
        """Return the part as plain data."""
        return self.path, self.first, self.last, self.lines, self.groups

    def __str__(self) -> str:
        if self.last is None:
            return self.path
        return f"rows {self.first} to {self.last} of {self.path}"


def file_parts(paths: Sequence[str | os.PathLike[str]]) -> Iterator[FilePart]:
    """Yield the parts of files, in order.

    JSON Lines are cut at line ends, also compressed ones, and Parquet at row groups. A document of
    JSON is one part.

    Raises:
        LoadError: A file is missing, empty, truncated, damaged or has another format.
    """
    for path in find_files(paths):
        with reading(path) as place:
            yield from _of_groups(path) if is_parquet(path) else _of_lines(path, place)


def _of_lines(path: AnyFile, place: ReadingPlace) -> Iterator[FilePart]:
    some: list[NumberedLine] = []
    size = 0
    damage = None
    with lines_of(path) as lines:
        if lines is None:
            yield FilePart(str(path))
            return
        try:
            for number, line in lines:
                if line is None or line.strip():
                    place.number = number
                some.append((number, line))
                size += len(line or b"")
                if size >= PART_BYTES:
                    yield FilePart(str(path), some[0][0], number, some)
                    some, size = [], 0
        except (EOFError, zlib.error, OSError) as error:
            damage = error
    if some:
        yield FilePart(str(path), some[0][0], some[-1][0], some)
    if damage:
        raise damage


def _of_groups(path: AnyFile) -> Iterator[FilePart]:
    found = row_groups(path)
    first = begun = size = rows = 0
    for number, (count, length) in enumerate(found):
        size += length
        rows += count
        if size >= PART_BYTES or number == len(found) - 1:
            last = first + rows
            groups = list(range(begun, number + 1))
            yield FilePart(str(path), first + 1, last, groups=groups)
            first, begun, size, rows = last, number + 1, 0, 0


def read_part(part: FilePart, encoded: Encode | None = None) -> Iterator[FileRow | EncodedChat]:
    """Yield the rows of a part, as `read_rows` does for a file.

    Raises:
        LoadError: As `read_rows`.
    """
    path = file_at(part.path)
    if part.lines is not None:
        return rows_of_lines(path, part.lines, encoded)
    if not path.exists():
        raise LoadError(
            f"{path} is not on {gethostname()}, which is to read it: use a path that all machines "
            "have, or an object store."
        )
    if part.groups is not None:
        return rows_of_groups(path, part.groups, part.first, encoded)
    return read_rows(path, encoded)
