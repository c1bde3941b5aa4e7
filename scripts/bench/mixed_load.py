"""An engine under a mixed load: what fails, how long answers take, and whether memory stays flat.

Clients send runs and feedback, read runs, look at the page and chat, each with a connection of its
own and pauses between. Some others search all runs, for what is in none, all the time. It prints
the answers that are errors, the median and the 99th percentile of each kind of request, and the
engine's memory, by tenths of the time.

    PYTHONPATH=scripts .venv/bin/python scripts/bench/mixed_load.py [--seconds S] [--clients N]
        [--searches N] [--runs N] [--home FOLDER]
"""

import argparse
import asyncio
import os
import random
import statistics
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from uuid import uuid4

import httpx2
import psutil

from bench.store_load import (
    PROJECT,
    Run,
    filled_engine,
    load_options,
    percentile,
    sign_in,
    slow_search,
    traces,
)
from langchain_finetune.local.store.values import now

_RUNS = 6
_DEEDS = {"write": 6, "list": 4, "read": 4, "feedback": 3, "page": 2, "chat": 1}
"""Kinds of requests, and how often each comes."""


@dataclass
class Found:
    """What came of the requests, by kind."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    errors: Counter[str] = field(default_factory=Counter)
    memory: list[float] = field(default_factory=list)


class _Client:
    def __init__(
        self, sync: httpx2.Client, cookies: httpx2.Cookies, project: str, seed: int
    ) -> None:
        self._chance = random.Random(seed)
        self._project = project
        self._known: list[str] = []
        self._fresh: Iterator[Run] = traces(10**6, size=1500, seed=seed, end=now() + 10**10)
        self._http = httpx2.AsyncClient(
            base_url=sync.base_url,
            headers=dict(sync.headers),
            cookies=cookies,
            timeout=120,
            verify=False,  # Plain HTTP; it would read all certificates of the system.
        )

    async def act(self, until: float, found: Found) -> None:
        async with self._http:
            while time.monotonic() < until:
                await asyncio.sleep(self._chance.uniform(0.5, 4))
                [kind] = self._chance.choices(list(_DEEDS), list(_DEEDS.values()))
                deed: Callable[[], Awaitable[httpx2.Response]] = getattr(self, f"_{kind}")
                await _noted(kind, deed, found)

    async def _write(self) -> httpx2.Response:
        runs = [next(self._fresh) for _ in range(_RUNS)]
        sent = await self._http.post("/runs/batch", json={"post": runs})
        self._known = [run["id"] for run in runs]
        return sent

    async def _list(self) -> httpx2.Response:
        body = {"session": [self._project], "is_root": True, "limit": 20}
        return await self._http.post("/runs/query", json=body)

    async def _read(self) -> httpx2.Response:
        if not self._known:
            return await self._list()
        return await self._http.get(f"/runs/{self._chance.choice(self._known)}")

    async def _feedback(self) -> httpx2.Response:
        run = self._chance.choice(self._known) if self._known else str(uuid4())
        return await self._http.post("/feedback", json={"run_id": run, "key": "ok", "score": 1})

    async def _page(self) -> httpx2.Response:
        return await self._http.get("/")

    async def _chat(self) -> httpx2.Response:
        messages = [{"role": "user", "content": "What is 2 + 2?"}]
        body = {"model": "nano", "messages": messages, "max_tokens": 8}
        return await self._http.post(
            "/v1/chat/completions",
            json=body,
            headers={"authorization": f"Bearer {self._http.headers['x-api-key']}"},
        )


async def _noted(kind: str, deed: Callable[[], Awaitable[httpx2.Response]], found: Found) -> None:
    began = time.perf_counter()
    try:
        answer = await deed()
    except httpx2.HTTPError as error:
        found.errors[f"{kind}: {type(error).__name__}"] += 1
        return
    found.seconds.setdefault(kind, []).append(time.perf_counter() - began)
    if not answer.is_success:
        found.errors[f"{kind}: {answer.status_code} {answer.text[:120]}"] += 1


async def _search(sync: httpx2.Client, project: str, until: float, found: Found) -> None:
    while time.monotonic() < until:
        await _noted("search", lambda: asyncio.to_thread(slow_search, sync, project), found)


async def _weigh(process: psutil.Process, until: float, found: Found) -> None:
    while time.monotonic() < until:
        found.memory.append(process.memory_info().rss / 2**20)
        await asyncio.sleep(1)


async def _all(sync: httpx2.Client, process: psutil.Process, given: argparse.Namespace) -> Found:
    [project] = [each["id"] for each in sync.get("/sessions", params={"name": PROJECT}).json()]
    cookies, found = sign_in(sync).cookies, Found()
    clients = [_Client(sync, cookies, project, seed) for seed in range(given.clients)]
    until = time.monotonic() + given.seconds
    await asyncio.gather(
        *(client.act(until, found) for client in clients),
        *(_search(sync, project, until, found) for _ in range(given.searches)),
        _weigh(process, until, found),
    )
    return found


def main() -> None:
    """Measure, and print what was found."""
    parser = load_options(__doc__)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--searches", type=int, default=5)
    given = parser.parse_args()
    with filled_engine(given.home, given.runs, 1500) as (client, process):
        cpu = process.cpu_times()
        found = asyncio.run(_all(client, process, given))
        used = process.cpu_times()
        print(
            f"load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; the"
            f" engine took {used.user + used.system - cpu.user - cpu.system:.0f} s of CPU"
        )
        for kind, seconds in sorted(found.seconds.items()):
            print(
                f"{kind:9} {len(seconds):7}  median {percentile(seconds, 0.5) * 1e3:8.0f} ms"
                f"  p99 {percentile(seconds, 0.99) * 1e3:8.0f} ms"
            )
        tenth = max(len(found.memory) // 10, 1)
        parts = [found.memory[start : start + tenth] for start in range(0, 10 * tenth, tenth)]
        print("memory, MB:", *(f"{statistics.mean(part):.0f}" for part in parts if part))
        print("errors:", dict(found.errors) or "none")


if __name__ == "__main__":
    main()
