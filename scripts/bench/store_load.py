"""What a slow search costs those who trace into the run store at the same time.

One client sends batches of 100 runs to a real engine; in every other round, searches that read all
runs and find nothing go on meanwhile, one after the other in each of so many clients. Rounds with
and without take turns, so that other load hits both alike. It prints the median and the 99th
percentile of a batch, of the page's first view of runs, and their ratios.

    PYTHONPATH=scripts .venv/bin/python scripts/bench/store_load.py [--runs N] [--rounds N]
        [--seconds S] [--searches N] [--home FOLDER]
"""

import argparse
import contextlib
import os
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import psutil

from bench.engine_process import engine_process
from langchain_finetune.home import ensure_home
from langchain_finetune.local.store import RunStore
from langchain_finetune.local.store.run_changes import RunChange, run_change
from langchain_finetune.local.store.values import now

PROJECT = "load"
BATCH = 100
_AT_ONCE = 2000
_WORDS = "tea kettle water leaf steam cup morning pour wait warm shelf order late parcel".split()
_NOWHERE = 'search("a word that is in no run")'

Run = dict[str, Any]


def traces(number: int, *, size: int, seed: int, end: int) -> Iterator[Run]:
    """Yield runs of traces of two, a root and the model call in it, of about `size` bytes each.

    The last one begins at `end`, in microseconds since 1970; one in ten is part of a thread.
    """
    chance = random.Random(seed)
    for place in range(number // 2):
        root, call = (str(UUID(int=chance.getrandbits(128), version=4)) for _ in range(2))
        begun = end - (number // 2 - place) * 10_000
        times = {"start_time": _iso(begun), "end_time": _iso(begun + chance.randrange(10**6))}
        stamp = _iso(begun).translate(str.maketrans("", "", "-:.Z"))
        shared = {"trace_id": root, "session_name": PROJECT, **times}
        text = " ".join(chance.choices(_WORDS, k=size // 12))
        metadata = {"thread_id": f"thread {place // 100}"} if place % 10 == 0 else {}
        question = {"messages": [{"role": "user", "content": text}]}
        answer = {"role": "assistant", "content": text}
        usage = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
        yield {
            **shared,
            "id": root,
            "name": "app",
            "run_type": "chain",
            "dotted_order": f"{stamp}Z{root}",
            "inputs": question,
            "outputs": answer,
            "extra": {"metadata": metadata},
        }
        yield {
            **shared,
            "id": call,
            "parent_run_id": root,
            "name": "model",
            "run_type": "llm",
            "dotted_order": f"{stamp}Z{root}.{stamp}Z{call}",
            "inputs": question,
            "outputs": {"choices": [{"message": answer}], "model": "nano", "usage": usage},
            "extra": {"metadata": {"ls_model_name": "nano", **metadata}},
        }


def _iso(time_us: int) -> str:
    seconds, micros = divmod(time_us, 10**6)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{micros:06}Z"


def fill(path: Path, number: int, size: int) -> None:
    """Put runs into a run store by its own code, in large batches."""
    with closing(RunStore(path)) as store:
        batch: list[RunChange] = []
        for run in traces(number, size=size, seed=number, end=now() - 10**9):
            batch.append(run_change("post", run))
            if len(batch) == _AT_ONCE:
                store.runs.apply(batch)
                batch.clear()
        store.runs.apply(batch)


@contextmanager
def engine(home: Path) -> Iterator[tuple[httpx2.Client, psutil.Process]]:
    """Run an engine; give a client with its key, and its process."""
    with engine_process(home) as running:
        headers = {"x-api-key": running.key}
        limits = httpx2.Limits(max_connections=None, keepalive_expiry=30)
        with httpx2.Client(
            base_url=running.url, headers=headers, timeout=180, limits=limits
        ) as client:
            yield client, running.process


def load_options(description: str | None) -> argparse.ArgumentParser:
    """Return the options of every measurement under load: how many runs, and on which home."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--runs", type=int, default=20_000)
    parser.add_argument("--home", type=Path, help="a home that an earlier call filled")
    return parser


@contextmanager
def filled_engine(
    home: Path | None, number: int, size: int
) -> Iterator[tuple[httpx2.Client, psutil.Process]]:
    """Run an engine on a home, by default a temporary one, filled with runs if it has none."""
    with contextlib.ExitStack() as stack:
        home = home or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        ensure_home(home)
        if not (home / "runs.sqlite").exists():
            seconds = timed(lambda: fill(home / "runs.sqlite", number, size))
            print(f"{seconds:.0f} s to fill the store with {number} runs")
        yield stack.enter_context(engine(home))


def sign_in(client: httpx2.Client) -> httpx2.Client:
    """Return a client that is signed in to the page."""
    page = httpx2.Client(base_url=client.base_url, timeout=180)
    origin = {"origin": str(client.base_url).rstrip("/")}
    page.post("/ui/sign-in", data={"api_key": client.headers["x-api-key"]}, headers=origin)
    return page


def post(client: httpx2.Client, runs: list[Run]) -> None:
    """Send a batch of runs."""
    client.post("/runs/batch", json={"post": runs}).raise_for_status()


def slow_search(client: httpx2.Client, project: str) -> httpx2.Response:
    """Search all runs of a project for what none has."""
    return client.post(
        "/runs/query", json={"session": [project], "filter": _NOWHERE, "limit": 1}, timeout=180
    )


@contextmanager
def searching(client: httpx2.Client, project: str, number: int) -> Iterator[list[float]]:
    """Let so many clients search again and again; their seconds are in the list at the end."""
    ended, seconds = threading.Event(), list[float]()

    def search() -> None:
        while not ended.is_set():
            began = time.perf_counter()
            slow_search(client, project).raise_for_status()
            seconds.append(time.perf_counter() - began)

    threads = [threading.Thread(target=search) for _ in range(number)]
    for thread in threads:
        thread.start()
    # The first of them is at work.
    time.sleep(0.3 if threads else 0)
    try:
        yield seconds
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def timed(act: Callable[[], object]) -> float:
    """Return the seconds that something takes."""
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def percentile(values: list[float], share: float) -> float:
    """Return what so many of the values are at most."""
    return sorted(values)[min(int(share * len(values)), len(values) - 1)]


def _measured(
    client: httpx2.Client, page: httpx2.Client, seconds: float, runs: Iterator[Run]
) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {"batch": [], "page": []}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        batch = [next(runs) for _ in range(BATCH)]
        found["batch"].append(timed(partial(post, client, batch)))
        if len(found["batch"]) % 4 == 1:
            found["page"].append(timed(lambda: page.get("/").raise_for_status()))
        # Apps send when they have something to say.
        time.sleep(0.02)
    return found


def main() -> None:
    """Measure, and print a table."""
    parser = load_options(__doc__)
    parser.add_argument("--run-bytes", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--searches", type=int, default=1)
    given = parser.parse_args()
    with filled_engine(given.home, given.runs, given.run_bytes) as (client, process):
        page = sign_in(client)
        [project] = client.get("/sessions", params={"name": PROJECT}).json()
        fresh = traces(10**7, size=given.run_bytes, seed=time.time_ns(), end=now() + 10**11)
        _measured(client, page, 2, fresh)
        print(
            f"one search alone: {timed(lambda: slow_search(client, project['id'])):.2f} s;"
            f" load of the machine {os.getloadavg()[0]:.1f}"
        )
        found: dict[int, dict[str, list[float]]] = {}
        searched: list[float] = []
        for number in range(2 * given.rounds):
            searches = given.searches * (number % 2)
            with searching(client, project["id"], searches) as seconds:
                for name, times in _measured(client, page, given.seconds, fresh).items():
                    found.setdefault(searches, {}).setdefault(name, []).extend(times)
            searched += seconds
        for name in ("batch", "page"):
            quiet, busy = found[0][name], found[given.searches][name]
            for label, share in (("median", 0.5), ("p99", 0.99)):
                a, b = percentile(quiet, share), percentile(busy, share)
                print(
                    f"{name:6} {label:7} {a * 1e3:8.1f} ms, while searching {b * 1e3:8.1f} ms:"
                    f" {b / a:.2f} x ({len(quiet)} and {len(busy)})"
                )
        print(
            f"searches: {len(searched)}, median {statistics.median(searched):.2f} s;"
            f" memory {process.memory_info().rss / 2**20:.0f} MB"
        )


if __name__ == "__main__":
    main()
