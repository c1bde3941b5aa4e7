"""The rows of a Parquet file, a small batch of them in memory at a time."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, Any, BinaryIO

from langchain_finetune.dialects.fast_path import RunColumns
from langchain_finetune.errors import LoadError
from langchain_finetune.extras import missing_extra
from langchain_finetune.remote_files import AnyFile, RemoteFile

if TYPE_CHECKING:
    import pyarrow as pa

_LARGEST = 256 << 20
"""Most bytes that a row's columns take; half of it is read at once."""

_BATCH = 64
"""Rows in memory at once: a run can have some hundred kilobytes."""

_EXPANDS = 1000
"""How many times its size text may have when it is decompressed: no real one comes near it."""

_UNEVEN = 200
"""How many times the mean of its column a text is expected to have at most."""

_SIZE = re.compile(rb"\x15[\x80-\xff]*[\0-\x7f]\x15([\x80-\xff]*[\0-\x7f])", re.DOTALL)

_PARQUET_BUFFER = 1 << 16
"""Bytes read at once from a column; without it, pyarrow reads whole columns of a row group."""

_UNUSED = frozenset({"events", "serialized", "manifest", "inputs_preview", "outputs_preview"})
"""Columns that may be large and that no reader uses."""

JSON_COLUMNS = ("inputs", "outputs", "extra")
"""Columns of JSON strings in LangSmith's bulk export, as `feedback_stats` is."""

_JSON = (*JSON_COLUMNS, "feedback_stats")
_TEXTS = ("id", "run_id", "trace_id", "thread_id", "run_type", "status", "error")
"""The other columns that `traced_line` reads, or that name the run."""

_OTHER_FORMS = frozenset({"attributes", "completion", "preferred_output"})
"""Columns of rows that are no runs, or of runs that `traced_line` does not read."""

ParquetRow = tuple[RunColumns | None, Callable[[], dict[str, Any]]]
"""What `traced_columns` reads of a run if the columns hold JSON, and a function that parses the
whole row."""


def parquet_rows(path: AnyFile, groups: Sequence[int] | None = None) -> Iterator[ParquetRow]:
    """Yield the rows of a Parquet file, or only those of some of its row groups.

    The schema of a struct column has the fields of all rows, and pyarrow sets those that a row
    lacks to null. These nulls are removed; otherwise each tool call would have the arguments of all
    tools. A null that the app really sent is removed, too. Columns of JSON strings, as written by
    LangSmith, have no such limitation.

    Raises:
        LoadError: pyarrow is missing, or the file has no column with chats.
        EOFError: The file is truncated or damaged.
        OSError: A file in an object store can't be read.
    """
    try:
        import pyarrow as pa  # noqa: PLC0415 - of the extra `files`
    except ImportError as error:
        raise LoadError(missing_extra(f"{path} is a Parquet file, which", "files")) from error
    try:
        with _opened(path) as file:
            schema = file.schema_arrow
            missing = {"inputs", "outputs"}.difference(schema.names)
            if missing and "messages" not in schema.names:
                raise LoadError(
                    f"{path} has no column {' and no column '.join(sorted(missing))}: "
                    "export the runs with their inputs and outputs."
                )
            nested = {field.name for field in schema if pa.types.is_nested(field.type)}
            columns = [name for name in schema.names if name not in _UNUSED]
            has_json = _has_json(schema)
            rows = _rows_at_once(path, file.metadata)
            for batch in file.iter_batches(rows, groups, columns, use_threads=False):
                parsed = cache(partial(_parsed, batch, nested))
                runs = _runs(batch) if has_json else iter([None] * batch.num_rows)
                for number, run in enumerate(runs):
                    yield run, partial(_nth, parsed, number)
    except (pa.ArrowException, OSError) as error:
        raise _fault(path, error) from error


def row_groups(path: AnyFile) -> list[tuple[int, int]]:
    """Return the number of rows and of bytes, uncompressed, of each row group of a file.

    Raises:
        LoadError: pyarrow is missing.
        EOFError: The file is truncated or damaged.
        OSError: A file in an object store can't be read.
    """
    try:
        import pyarrow as pa  # noqa: PLC0415 - of the extra `files`
        import pyarrow.parquet as pq  # noqa: PLC0415
    except ImportError as error:
        raise LoadError(missing_extra(f"{path} is a Parquet file, which", "files")) from error
    try:
        metadata = pq.read_metadata(_source(path))
    except (pa.ArrowException, OSError) as error:
        raise _fault(path, error) from error
    groups = map(metadata.row_group, range(metadata.num_row_groups))
    return [(group.num_rows, group.total_byte_size) for group in groups]


def json_blocks(path: AnyFile) -> Iterator[bytes]:
    """Yield the texts of the columns of a file's runs, in no order, many at once.

    Raises:
        EOFError: The columns hold no JSON, or the file can't be read.
    """
    import pyarrow as pa  # noqa: PLC0415 - of the extra `files`

    try:
        with _opened(path) as file:
            if not _has_json(file.schema_arrow):
                raise EOFError
            rows = _rows_at_once(path, file.metadata)
            for batch in file.iter_batches(rows, columns=list(JSON_COLUMNS), use_threads=False):
                for column in batch.columns:
                    if (data := column.buffers()[-1]) is not None:
                        yield data.to_pybytes()
    except (pa.ArrowException, OSError) as error:
        raise _fault(path, error) from error


def _opened(path: AnyFile) -> Any:
    import pyarrow.parquet as pq  # noqa: PLC0415 - of the extra `files`

    return pq.ParquetFile(_source(path), buffer_size=_PARQUET_BUFFER, pre_buffer=False)


def _fault(path: AnyFile, error: Exception) -> Exception:
    """Return the error of a file that pyarrow can't read: only of a local one it is the content."""
    return OSError(str(error)) if isinstance(path, RemoteFile) else EOFError()


def _source(path: AnyFile) -> Any:
    return path.random_access() if isinstance(path, RemoteFile) else path


def _has_json(schema: "pa.Schema") -> bool:
    """Return whether the columns of runs are text, and no other form of chat is beside them."""
    types = {field.name: str(field.type) for field in schema}
    text = {name for name, kind in types.items() if kind in {"string", "large_string", "null"}}
    read = types.keys() & {*_JSON, *_TEXTS}
    return text >= {*JSON_COLUMNS, *read} and not types.keys() & _OTHER_FORMS


def _runs(batch: "pa.RecordBatch") -> Iterator[RunColumns]:
    """Yield the columns of each run of a batch: its JSON as bytes, the rest as text."""
    import pyarrow as pa  # noqa: PLC0415 - of the extra `files`

    names = [name for name in (*_TEXTS, *_JSON) if name in batch.schema.names]
    columns: list[Iterable[Any]] = []
    for name in names:
        column = batch.column(name)
        if name in _TEXTS:
            columns.append(column.to_pylist())
        else:
            # One by one: these are large.
            columns.append(value.as_py() for value in column.cast(pa.large_binary()))
    for values in zip(*columns, strict=True):
        run = dict(zip(names, values, strict=True))
        run["id"] = run.pop("run_id", None) if not run.get("id") else run["id"]
        yield run


def _nth(parsed: Callable[[], list[dict[str, Any]]], number: int) -> dict[str, Any]:
    return parsed()[number]


def _parsed(batch: "pa.RecordBatch", nested: set[str]) -> list[dict[str, Any]]:
    return [
        {name: _without_nulls(value) if name in nested else value for name, value in row.items()}
        for row in batch.to_pylist(maps_as_pydicts="lossy")
    ]


def _rows_at_once(path: AnyFile, metadata: Any) -> int:
    """Return how many rows fit into memory, also if each has the longest text of its column.

    A column's text may be stored once for all rows, in its dictionary.

    Raises:
        LoadError: The file expands to what no file of chats does.
    """
    largest = 1
    with path.random_access() if isinstance(path, RemoteFile) else path.open("rb") as file:
        for group in map(metadata.row_group, range(metadata.num_row_groups)):
            for column in map(group.column, range(metadata.num_columns)):
                size, packed = column.total_uncompressed_size, column.total_compressed_size
                expands = size > _LARGEST and size > _EXPANDS * packed
                if expands or size > _LARGEST * max(1, group.num_rows):
                    raise LoadError(
                        f"{path} expands to {size >> 20:,} MiB in {group.num_rows:,} rows of the"
                        f" column {column.path_in_schema}, too much to be chats: export it again."
                    )
                share = size // min(max(1, group.num_rows // _UNEVEN), _BATCH)
                largest = max(largest, share, _dictionary_size(file, column))
    return max(1, min(_BATCH, _LARGEST // 2 // largest))


def _dictionary_size(file: BinaryIO, column: Any) -> int:
    """Return the bytes of a column's dictionary, which its page's header begins with.

    Source: `PageHeader` in parquet.thrift, in Thrift's compact protocol: each of the first two
    fields is a byte for its place and type (0x15) and a number in groups of seven bits.
    """
    if not any("DICTIONARY" in name for name in column.encodings):
        return 0
    if column.has_dictionary_page:
        file.seek(column.dictionary_page_offset)
        if found := _SIZE.match(file.read(16)):
            groups: bytes = found[1]
            return sum((byte & 0x7F) << 7 * place for place, byte in enumerate(groups)) // 2
    return int(column.total_uncompressed_size)


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
