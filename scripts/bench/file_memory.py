"""Peak memory of reading runs from files: 200 000 runs against 10 000.

Each file is written and read in a child process of its own, so that a peak is one reading's:

    .venv/bin/python scripts/bench/file_memory.py

The promise that is checked: at most 30 MB more for the large file.
"""

import gzip
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

SMALL, LARGE = 10_000, 200_000
ALLOWED_MB = 30
ROW_GROUP = 20_000
LARGE_FIELDS = ("inputs", "outputs", "extra")
FORMS = ("jsonl", "jsonl.gz", "jsonl.zst", "strings.parquet", "structs.parquet")


def main() -> int:
    """Measure every form of file and print one table; 1 where a promise is broken.

    On Linux a child begins with its parent's peak, so the parent imports little.
    """
    print(f"{'file':16}{'MB on disk':>11}{'peak MB':>9}{'large':>9}{'more':>7}{'CPU s':>9}")
    kept = True
    for form in FORMS:
        with tempfile.TemporaryDirectory() as folder:
            sizes, peaks, seconds = [], [], 0.0
            for count in (SMALL, LARGE):
                path = Path(folder) / f"{count}.{form}"
                _child("write", path, count)
                sizes.append(path.stat().st_size / 1e6)
                peak, seconds = _child("read", path, count)
                peaks.append(peak)
        more = peaks[1] - peaks[0]
        kept = kept and more <= ALLOWED_MB
        cells = (sizes[1], *peaks, more, seconds)
        widths = (11, 9, 9, 7, 9)
        texts = (f"{cell:{width}.1f}" for cell, width in zip(cells, widths, strict=True))
        print(f"{form:16}", *texts, sep="", flush=True)
    return 0 if kept else 1


def _child(task: str, path: Path, count: int) -> tuple[float, float]:
    command = [sys.executable, __file__, task, str(path), str(count)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    peak, seconds = output.split()
    return float(peak), float(seconds)


def read(path: Path, count: int) -> None:
    """Make every training line of a file."""
    from langchain_finetune import Convert, RunFileChatLoader  # noqa: PLC0415 - see `main`

    examples = (RunFileChatLoader(path) | Convert()).invoke({})
    assert sum(1 for _ in examples) == count


def write(path: Path, count: int) -> None:
    """Write a file of made-up runs."""
    import zstandard  # noqa: PLC0415 - see `main`

    if path.suffix == ".parquet":
        structs = path.name.endswith("structs.parquet")
        _write_parquet(path, map(run, range(count)), structs=structs)
        return
    opened: Callable[[], Any] = {
        ".jsonl": lambda: path.open("wb"),
        ".gz": lambda: gzip.open(path, "wb", compresslevel=1),  # noqa: SIM115 - it is used in `with`
        ".zst": lambda: zstandard.open(path, "wb"),
    }[path.suffix]
    with opened() as file:
        for number in range(count):
            file.write(orjson.dumps(run(number), option=orjson.OPT_APPEND_NEWLINE))


def _write_parquet(path: Path, runs: Iterator[dict[str, Any]], *, structs: bool) -> None:
    import pyarrow as pa  # noqa: PLC0415 - see `main`
    import pyarrow.parquet as pq  # noqa: PLC0415

    writer = None
    while batch := list(islice(runs, ROW_GROUP)):
        if not structs:
            batch = [
                row | {name: orjson.dumps(row[name]).decode() for name in LARGE_FIELDS}
                for row in batch
            ]
        table = pa.Table.from_pylist(batch)
        writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
        writer.write_table(table, row_group_size=ROW_GROUP)
    assert writer is not None
    writer.close()


def run(number: int) -> dict[str, Any]:
    """Return a run of about 3 KB: four messages, a tool and a call, in the tracer's shape."""
    words = [f"{(number * 7919 + place * 104729) % 99991:05}" for place in range(120)]
    texts = [" ".join(words[place : place + 40]) for place in (0, 40, 80)]
    call = {"name": "find", "args": {"place": words[0]}, "id": f"call_{number}"}
    sent = [
        _message("SystemMessage", content=texts[0]),
        _message("HumanMessage", content=texts[1]),
        _message("AIMessage", content=texts[2]),
        _message("HumanMessage", content=words[1]),
    ]
    parameters = {"type": "object", "properties": {"place": {"type": "string"}}}
    tool = {"type": "function", "function": {"name": "find", "parameters": parameters}}
    answer = _message("AIMessage", content="", tool_calls=[call])
    return {
        "id": f"00000000-0000-0000-0000-{number:012}",
        "run_type": "llm",
        "status": "success",
        "error": None,
        "inputs": {"messages": [sent]},
        "outputs": {"generations": [[{"text": "", "message": answer}]]},
        "extra": {"invocation_params": {"model": "m", "tools": [tool]}},
    }


def _message(name: str, **fields: Any) -> dict[str, Any]:
    path = ["langchain", "schema", "messages", name]
    return {"lc": 1, "type": "constructor", "id": path, "kwargs": fields}


if __name__ == "__main__":
    if len(sys.argv) == 1:
        sys.exit(main())
    task, name, runs = sys.argv[1:]
    {"read": read, "write": write}[task](Path(name), int(runs))
    # Linux counts in kilobytes, macOS in bytes.
    unit = 1e6 if sys.platform == "darwin" else 1e3
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    print(peak, time.process_time())
