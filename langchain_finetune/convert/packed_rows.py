"""Rows as plain data: for temporary files, and for other processes of this program.

They are written by `marshal`, which keeps each value as it is (text that is no Unicode, integers of
any size) and makes nothing but plain data when it reads. Only this program's own processes, of one
version of Python, read what they write.
"""

import marshal
from typing import IO, Any

from langchain_finetune.convert.rows import Row

_SIZE = 8
"""Bytes of the number before each value."""

_SAME = (
    *("number", "fit_for", "part", "group", "tokens", "target_tokens"),
    *("response_format", "parallel_tool_calls", "key", "near", "facts", "prints"),
)


def packed(row: Row, line: bytes | None) -> tuple[Any, ...]:
    """Return a row as plain data, with what is known of it.

    Args:
        row: The row.
        line: Its line, which takes the place of the example; None keeps the example itself.
    """
    fields = [getattr(row, name) for name in _SAME]
    # A tuple with names is no plain one.
    plain = [tuple(field) if isinstance(field, tuple) else field for field in fields]
    example = row.example if line is None else None
    return row.id, dict(row.source), line, example, *plain


def unpacked(data: tuple[Any, ...]) -> Row:
    """Return the row that `packed` has made plain."""
    name, source, line, example, *fields = data
    row = Row(name, source, line=line, example=example)
    for field, value in zip(_SAME, fields, strict=True):
        setattr(row, field, value)
    return row


def write_packed(row: Row, file: IO[bytes]) -> None:
    """Append a row to a file."""
    write_value(packed(row, row.line), file)


def read_packed(file: IO[bytes]) -> Row | None:
    """Return the next row of a file, or None at its end."""
    data = read_value(file)
    return None if data is None else unpacked(data)


def write_value(value: Any, file: IO[bytes]) -> None:
    """Append plain data to a file."""
    data = marshal.dumps(value)
    file.write(len(data).to_bytes(_SIZE))
    file.write(data)


def read_value(file: IO[bytes]) -> Any:
    """Return the next value of a file, or None at its end."""
    size = file.read(_SIZE)
    return marshal.loads(file.read(int.from_bytes(size))) if size else None  # noqa: S302 - our own
