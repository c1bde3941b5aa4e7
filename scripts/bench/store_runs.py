"""Training lines from the engine's run store, against the same runs in a file.

    PYTHONPATH=scripts .venv/bin/python scripts/bench/store_runs.py [--runs N] [--rounds N]

The runs are those of `agent_runs.py`, in a real engine. Each round takes all ways in turn: the file
by `loader | Convert()`, the store by the same chain over each of the two APIs, and by LangSmith's
own `list_runs`, which only reads. It prints the median CPU time a run of this process and of both,
and the ratio to the file's. The lines of file and store must be the same.
"""

import argparse
import gc
import json
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import psutil
from langsmith import Client

from bench.agent_runs import agent_run
from bench.engine_process import engine_process
from langchain_finetune import Convert, LangSmithRunChatLoader, RunFileChatLoader
from langchain_finetune.loaders import run_reader

PROJECT = "bench"
_BATCH = 100


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=5_000, help="how many runs (5000)")
    parser.add_argument("--rounds", type=int, default=3, help="how many rounds (3)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, _engine(Path(folder)) as (client, process):
        path = Path(folder, "runs.jsonl")
        runs = list(_runs(arguments.runs))
        # Newest first, as the store answers.
        path.write_text("".join(json.dumps(run) + "\n" for run in reversed(runs)))
        _send(client, runs)
        del runs
        ways: dict[str, Callable[[], Iterable[Any]]] = {
            "file": lambda: _lines(RunFileChatLoader(path)),
            "store, new API": lambda: _from_store(client, 10, "v2"),
            "store, new API, concurrency=1": lambda: _from_store(client, 1, "v2"),
            "store, old API": lambda: _from_store(client, 10, "v1"),
            "list_runs (reads only)": lambda: _listed(client),
        }
        lines = {name: sorted(map(str, way())) for name, way in list(ways.items())[:-1]}
        assert all(each == lines["file"] for each in lines.values()), "not the same lines"
        del lines
        took: dict[str, list[tuple[float, float, float]]] = {name: [] for name in ways}
        for _ in range(arguments.rounds):
            for name, way in ways.items():
                took[name].append(_measured(way, process, arguments.runs))
    print(f"{arguments.runs} runs; us a run, the median of {arguments.rounds} rounds")
    print(f"{'':32}{'client CPU':>12}{'both CPU':>12}{'wall':>12}{'x file (client)':>18}")
    file = median(each[0] for each in took["file"])
    for name, each in took.items():
        own, both, wall = (median(column) for column in zip(*each, strict=True))
        print(f"{name:32}{own:12.0f}{both:12.0f}{wall:12.0f}{own / file:18.2f}")


def _runs(number: int) -> Iterator[dict[str, Any]]:
    begun = datetime.now(UTC) - timedelta(days=1)
    for place in range(number):
        run = agent_run(place)
        run.pop("session_id", None)
        start = begun + timedelta(milliseconds=10 * place)
        yield {
            **run,
            "start_time": start.isoformat(),
            "end_time": (start + timedelta(milliseconds=5)).isoformat(),
            "trace_id": run["id"],
            "parent_run_id": None,
            "dotted_order": f"{start:%Y%m%dT%H%M%S%fZ}{run['id']}",
            "session_name": PROJECT,
        }


def _send(client: Client, runs: list[dict[str, Any]]) -> None:
    for first in range(0, len(runs), _BATCH):
        client.batch_ingest_runs(create=runs[first : first + _BATCH])


def _lines(loader: Any) -> Iterator[Any]:
    return (row.line for row in (loader | Convert()).invoke({}).rows())


def _from_store(client: Client, concurrency: int, api: str) -> Iterator[Any]:
    with patch.object(run_reader, "choose_api", lambda *_: api):
        loader = LangSmithRunChatLoader(
            project_name=PROJECT, client=client, concurrency=concurrency
        )
        yield from _lines(loader)


def _listed(client: Client) -> Iterator[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield from client.list_runs(project_name=PROJECT, run_type="llm", limit=None)


def _measured(
    way: Callable[[], Iterable[Any]], engine: psutil.Process, runs: int
) -> tuple[float, float, float]:
    gc.collect()
    before, own, began = _cpu(engine), time.process_time(), time.perf_counter()
    found = sum(1 for _ in way())
    assert found == runs, f"{found} of {runs}"
    wall, own = time.perf_counter() - began, time.process_time() - own
    scale = 1e6 / runs
    return own * scale, (own + _cpu(engine) - before) * scale, wall * scale


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


@contextmanager
def _engine(folder: Path) -> Iterator[tuple[Client, psutil.Process]]:
    with engine_process(folder / "home") as running:
        yield (
            Client(api_url=running.url, api_key=running.key, auto_batch_tracing=False),
            running.process,
        )


if __name__ == "__main__":
    main()
