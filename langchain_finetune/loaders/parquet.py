"""The rows of a Parquet file, such as LangSmith's bulk export writes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from langchain_finetune.errors import LoadError

_BATCH = 64
"""Rows that are in memory at once: a run can hold some hundred kilobytes."""

_BUFFER = 1 << 16
"""Bytes read at once from a column; without it, pyarrow reads whole columns of a row group."""

_UNUSED = frozenset({"events", "serialized", "manifest", "inputs_preview", "outputs_preview"})
"""Columns that may be big and that no reader looks at."""


def parquet_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a Parquet file, a small batch in memory at a time.

    A column of structs has every field of every row in its schema, and pyarrow fills what a row
    lacks with null. Those nulls are taken out again, or each tool call would get the arguments of
    all tools. The limit: a null that the app really sent can't be told from them, and is taken
    out too. Columns of JSON strings, as LangSmith writes them, have no such limit.

    Raises:
        LoadError: pyarrow is missing, or the file has no column that holds chats.
        EOFError: The file is cut off or damaged.
    """
    try:
        import pyarrow as pa  # noqa: PLC0415 - of the extra `files`
        import pyarrow.parquet as pq  # noqa: PLC0415
    except ImportError as error:
        raise LoadError(
            f"{path} is a Parquet file: pip install 'langchain-finetune[files]'."
        ) from error
    try:
        with pq.ParquetFile(path, buffer_size=_BUFFER, pre_buffer=False) as file:
            schema = file.schema_arrow
            _require_chats(path, schema.names)
            nested = {field.name for field in schema if pa.types.is_nested(field.type)}
            columns = [name for name in schema.names if name not in _UNUSED]
            for batch in file.iter_batches(_BATCH, columns=columns, use_threads=False):
                for row in batch.to_pylist(maps_as_pydicts="lossy"):
                    yield {
                        name: _without_nulls(value) if name in nested else value
                        for name, value in row.items()
                    }
    except (pa.ArrowException, OSError) as error:
        raise EOFError from error


def _require_chats(path: Path, columns: list[str]) -> None:
    missing = {"inputs", "outputs"}.difference(columns)
    if missing and "messages" not in columns:
        raise LoadError(
            f"{path} has no column {' and no column '.join(sorted(missing))}: "
            "export the runs with their inputs and outputs."
        )


def _without_nulls(value: Any) -> Any:
    """Return a value without the nulls that a struct's schema added.

    >>> _without_nulls({"args": {"city": "Rome", "beds": None}, "name": None})
    {'args': {'city': 'Rome'}}
    """
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value
