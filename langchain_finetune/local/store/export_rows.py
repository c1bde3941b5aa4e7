"""Runs as LangSmith's bulk export writes them: the same columns, in Parquet or JSON lines.

Source of fact: https://docs.langchain.com/langsmith/data-export
"""

import gzip
import io
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal, Self

import orjson
import zstandard

from langchain_finetune.local.store.run_serialization import v1_run
from langchain_finetune.local.store.runs import FoundRun
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


def writer_of(
    folder: Path, kind: Format, compression: Compression, columns: Sequence[str]
) -> "LinesWriter | ParquetWriter":
    """Return the writer of a new file in a folder, which is whole once its block has ended."""
    if kind == "Parquet":
        return ParquetWriter(folder / "runs.parquet", compression, columns)
    return LinesWriter(folder / f"runs{_SUFFIXES[compression]}", compression, columns)


class LinesWriter:
    """Writes one JSON object a line.

    Args:
        path: Of the file.
        compression: `none`, `gzip` or `zstandard`.
        columns: Which columns.
    """

    def __init__(self, path: Path, compression: Compression, columns: Sequence[str]) -> None:
        self._path = path
        self._compression = compression
        self._columns = columns
        self._open = ExitStack()

    def __enter__(self) -> Self:
        stream: Any = self._open.enter_context(self._path.open("wb"))
        if self._compression == "gzip":
            stream = self._open.enter_context(gzip.GzipFile(fileobj=stream, mode="wb"))
        elif self._compression == "zstandard":
            compressor = zstandard.ZstdCompressor()
            stream = self._open.enter_context(compressor.stream_writer(stream, closefd=False))
        self._stream: io.BufferedIOBase = stream
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def write(self, found: FoundRun) -> None:
        """Add one run."""
        told = _told(found)
        self._stream.write(orjson.dumps({name: told[name] for name in self._columns}) + b"\n")


class ParquetWriter:
    """Writes row groups of a bounded size.

    Args:
        path: Of the file.
        compression: Of its columns.
        columns: Which columns.
    """

    def __init__(self, path: Path, compression: Compression, columns: Sequence[str]) -> None:
        self._path = path
        self._compression = "zstd" if compression == "zstandard" else compression
        self._columns = columns
        self._rows: list[dict[str, Any]] = []
        self._bytes = 0

    def __enter__(self) -> Self:
        import pyarrow.parquet as pq  # noqa: PLC0415 takes long, and exports are rare

        self._schema = _schema(self._columns)
        self._writer = pq.ParquetWriter(self._path, self._schema, compression=self._compression)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._end_group()
        self._writer.close()

    def write(self, found: FoundRun) -> None:
        """Add one run."""
        told = _told(found)
        for name in _TIMES:
            time = found.row[name]
            told[name] = None if time is None else moment(time)
        for name in _JSON:
            text = None if told[name] is None else orjson.dumps(told[name]).decode()
            # Null outputs are no outputs.
            told[name] = None if text == "null" else text
            self._bytes += len(told[name] or "")
        told["tags"] = orjson.loads(found.row["tags"] or "[]")
        self._rows.append({name: told[name] for name in self._columns})
        if self._bytes >= _GROUP_BYTES or len(self._rows) >= _GROUP_ROWS:
            self._end_group()

    def _end_group(self) -> None:
        import pyarrow as pa  # noqa: PLC0415 as above

        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
        self._rows, self._bytes = [], 0


def _told(found: FoundRun) -> dict[str, Any]:
    """Return a run by columns; JSON is passed on unread."""
    run = v1_run(found.row, found.stats, None)
    more: Mapping[str, Any] = {
        "tenant_id": TENANT_ID,
        "is_root": found.row["parent_run_id"] is None,
        **dict.fromkeys(_COSTS),
    }
    return {name: more[name] if name in more else run[name] for name in COLUMNS}


def _schema(columns: Sequence[str]) -> Any:
    import pyarrow as pa  # noqa: PLC0415 as above

    kinds = {
        **dict.fromkeys((*_TEXTS, *_JSON), pa.string()),
        **dict.fromkeys(_TIMES, pa.timestamp("us", tz="UTC")),
        **dict.fromkeys(_COUNTS, pa.int64()),
        **dict.fromkeys(_COSTS, pa.float64()),
        "is_root": pa.bool_(),
        "tags": pa.list_(pa.string()),
    }
    return pa.schema([(name, kinds[name]) for name in columns])
