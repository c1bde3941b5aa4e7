"""Runs as LangSmith's bulk export writes them: the same columns, in Parquet or JSON lines.

Source of fact: https://docs.langchain.com/langsmith/data-export
"""

import gzip
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal

import orjson
import zstandard

from langchain_finetune.local.store.run_serialization import FoundRun, v1_run
from langchain_finetune.local.store.values import TENANT_ID, moment

Format = Literal["Parquet", "JSONL"]
Compression = Literal["none", "gzip", "snappy", "zstandard"]

_TEXTS = (
    *("id", "tenant_id", "session_id", "trace_id", "parent_run_id", "name", "run_type", "status"),
    *("dotted_order", "error", "reference_example_id", "thread_id"),
)
_JSON = ("inputs", "outputs", "extra", "events", "feedback_stats")
_TIMES = ("start_time", "end_time", "first_token_time")
_COUNTS = ("total_tokens", "prompt_tokens", "completion_tokens")
_COSTS = ("total_cost", "prompt_cost", "completion_cost")
COLUMNS = (*_TEXTS, "is_root", *_TIMES, "tags", *_JSON, *_COUNTS, *_COSTS)
"""All columns; those of `_JSON` are strings of JSON in Parquet. Costs are not known here: null."""

_GROUP_BYTES = 8 * 2**20
_GROUP_ROWS = 5000
"""What one row group of a Parquet file holds at most: so much is in memory at once."""

_SUFFIXES = {"none": ".jsonl", "gzip": ".jsonl.gz", "zstandard": ".jsonl.zst"}


Write = Callable[[FoundRun], None]
"""Adds one run to a file."""


def writer_of(
    folder: Path, kind: Format, compression: Compression, columns: Sequence[str]
) -> AbstractContextManager[Write]:
    """Return what writes a new file in a folder, which is whole once its block has ended."""
    if kind == "Parquet":
        return _parquet_file(folder / "runs.parquet", compression, columns)
    return _lines_file(folder / f"runs{_SUFFIXES[compression]}", compression, columns)


@contextmanager
def _lines_file(path: Path, compression: Compression, columns: Sequence[str]) -> Iterator[Write]:
    """Write one JSON object a line."""
    with ExitStack() as stack:
        stream: Any = stack.enter_context(path.open("wb"))
        if compression == "gzip":
            stream = stack.enter_context(gzip.GzipFile(fileobj=stream, mode="wb"))
        elif compression == "zstandard":
            compressor = zstandard.ZstdCompressor()
            stream = stack.enter_context(compressor.stream_writer(stream, closefd=False))

        def write(found: FoundRun) -> None:
            row = _row(found)
            stream.write(orjson.dumps({name: row[name] for name in columns}) + b"\n")

        yield write


@contextmanager
def _parquet_file(path: Path, compression: Compression, columns: Sequence[str]) -> Iterator[Write]:
    """Write row groups of a bounded size."""
    import pyarrow as pa  # noqa: PLC0415 takes long, and exports are rare
    import pyarrow.parquet as pq  # noqa: PLC0415 as above

    schema = _schema(pa, columns)
    rows: list[dict[str, Any]] = []
    size = 0

    def end_group() -> None:
        nonlocal size
        if rows:
            file.write_table(pa.Table.from_pylist(rows, schema=schema))
        rows.clear()
        size = 0

    def write(found: FoundRun) -> None:
        nonlocal size
        row = _row(found)
        for name in _TIMES:
            time = found.row[name]
            row[name] = None if time is None else moment(time)
        for name in _JSON:
            text = None if row[name] is None else orjson.dumps(row[name]).decode()
            # Null outputs count as none.
            row[name] = None if text == "null" else text
            size += len(row[name] or "")
        row["tags"] = orjson.loads(found.row["tags"] or "[]")
        rows.append({name: row[name] for name in columns})
        if size >= _GROUP_BYTES or len(rows) >= _GROUP_ROWS:
            end_group()

    codec = "zstd" if compression == "zstandard" else compression
    with pq.ParquetWriter(path, schema, compression=codec) as file:
        yield write
        end_group()


def _row(found: FoundRun) -> dict[str, Any]:
    """Return a run by columns; JSON is passed on unread."""
    run = v1_run(found) | dict.fromkeys(_COSTS)
    run |= {"tenant_id": TENANT_ID, "is_root": found.row["parent_run_id"] is None}
    return {name: run[name] for name in COLUMNS}


def _schema(pa: Any, columns: Sequence[str]) -> Any:
    kinds = {
        **dict.fromkeys((*_TEXTS, *_JSON), pa.string()),
        **dict.fromkeys(_TIMES, pa.timestamp("us", tz="UTC")),
        **dict.fromkeys(_COUNTS, pa.int64()),
        **dict.fromkeys(_COSTS, pa.float64()),
        "is_root": pa.bool_(),
        "tags": pa.list_(pa.string()),
    }
    return pa.schema([(name, kinds[name]) for name in columns])
