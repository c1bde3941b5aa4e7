"""How fast runs are fetched from a store that answers each page in 300 ms.

Compares the loader with `client.list_runs`, on a store with the old API only and on one with the
new API, too. The store is a process of its own; its answers are made beforehand:

    PYTHONPATH=scripts .venv/bin/python scripts/bench/fetch.py
"""

import argparse
import asyncio
import datetime as dt
import json
import multiprocessing
import re
import resource
import socket
import time
import uuid
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import orjson
import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response
from langsmith import Client
from rich.console import Console
from rich.table import Table

from langchain_finetune import LangSmithRunChatLoader

PAGE_S = 0.3
PROJECT = "5d1f9a52-0c0b-4f0a-9f6e-6c6f63616c01"
BEGIN = dt.datetime(2026, 10, 1, tzinfo=dt.UTC)
MESSAGES = 10
CHARACTERS = 600


def store(runs: int, *, new_api: bool) -> FastAPI:
    """Return a store of runs that are spread over a month, the newest first."""
    app = FastAPI()
    step = dt.timedelta(days=30) / runs
    times = [BEGIN + step * number for number in reversed(range(runs))]
    bodies = [orjson.dumps(_run(time)) for time in times]

    async def page(start: str | None, condition: str, cursor: str | None, size: int) -> Any:
        began = time.monotonic()
        before = re.search(r'lt\(start_time, "([^"]+)"\)', condition)
        first = max(dt.datetime.fromisoformat(start), BEGIN) if start else BEGIN
        end = dt.datetime.fromisoformat(before[1]) if before else times[0] + step
        # Equal steps: the place of a time can be counted out.
        newest = max(0, runs - _up((end - BEGIN) / step))
        oldest = min(runs, runs - _up((first - BEGIN) / step))
        at = int(cursor) if cursor else newest
        stop = min(at + size, oldest)
        items = b",".join(bodies[at:stop])
        await asyncio.sleep(PAGE_S - (time.monotonic() - began))
        return items, str(stop) if stop < oldest else None

    @app.get("/info")
    def info() -> Any:
        return {"version": "0.16.0" if new_api else "0.12.0"}

    @app.get("/sessions")
    def sessions() -> Any:
        ids = {"id": PROJECT, "tenant_id": PROJECT, "reference_dataset_id": None}
        return [{**ids, "name": "app", "start_time": str(BEGIN)}]

    @app.post("/runs/query")
    async def old(request: Request) -> Response:
        body = json.loads(await request.body())
        size = body.get("limit") or 100
        if size > 100:
            raise HTTPException(400, "The limit is 100.")
        items, after = await page(
            body.get("start_time"), body.get("filter") or "", body.get("cursor"), size
        )
        cursors = json.dumps({"next": after}).encode()
        return Response(b'{"runs":[%b],"cursors":%b}' % (items, cursors))

    @app.post("/api/v2/runs/query")
    async def new(request: Request) -> Response:
        if not new_api:
            raise HTTPException(404)
        body = json.loads(await request.body())
        items, after = await page(
            body["min_start_time"],
            body.get("filter") or "",
            body.get("cursor"),
            body["page_size"],
        )
        return Response(b'{"items":[%b],"next_cursor":%b}' % (items, json.dumps(after).encode()))

    return app


def _up(number: float) -> int:
    return -int(-number // 1)


def _run(start: dt.datetime) -> dict[str, Any]:
    run_id = str(uuid.uuid4())
    kinds = ("HumanMessage", "AIMessage")
    messages = [
        {
            "lc": 1,
            "type": "constructor",
            "id": ["langchain", "schema", "messages", kinds[number % 2]],
            "kwargs": {"content": f"{number} " * (CHARACTERS // 2)},
        }
        for number in range(MESSAGES)
    ]
    return {
        "id": run_id,
        "trace_id": run_id,
        "session_id": PROJECT,
        "name": "ChatOpenAI",
        "run_type": "llm",
        "status": "success",
        "start_time": start.isoformat(),
        "end_time": start.isoformat(),
        "dotted_order": f"{start:%Y%m%dT%H%M%S%fZ}{run_id}",
        "inputs": {"messages": [messages[:-1]]},
        "outputs": {"generations": [[{"message": messages[-1]}]]},
        "extra": {"metadata": {"ls_model_name": "m"}},
    }


def _serve(listener: socket.socket, runs: int, new_api: bool) -> None:  # noqa: FBT001 - a process's argument
    config = uvicorn.Config(store(runs, new_api=new_api), log_level="error")
    uvicorn.Server(config).run(sockets=[listener])


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=10_000)
    runs = parser.parse_args().runs
    table = Table(title=f"{runs} runs, each page in {PAGE_S * 1000:.0f} ms")
    for column in ("store", "what", "seconds", "times as fast as list_runs"):
        table.add_column(column, justify="right")
    for new_api in (False, True):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            server = multiprocessing.Process(
                target=_serve, args=(listener, runs, new_api), daemon=True
            )
            server.start()
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            try:
                _measure(table, runs, url, "old and new API" if new_api else "old API")
            finally:
                server.terminate()
                server.join()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    Console().print(table, f"Peak memory of this process: {peak:.0f} MB")


def _measure(table: Table, runs: int, url: str, what: str) -> None:
    client = Client(api_url=url, api_key="any", auto_batch_tracing=False)
    loader = LangSmithRunChatLoader(project_name="app", client=client)
    one_by_one = LangSmithRunChatLoader(project_name="app", client=client, concurrency=1)

    def list_runs() -> Iterable[Any]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield from client.list_runs(project_name="app", run_type="llm", limit=None)

    # The loader first: whatever warms up is not in its favour.
    ours = _seconds(loader.lazy_load, runs)
    sequential = _seconds(one_by_one.lazy_load, runs)
    theirs = _seconds(list_runs, runs)
    table.add_row(what, "client.list_runs", f"{theirs:.1f}", "1")
    table.add_row("", "the loader", f"{ours:.1f}", f"{theirs / ours:.1f}")
    table.add_row("", "with concurrency=1", f"{sequential:.1f}", f"{theirs / sequential:.1f}")


def _seconds(read: Callable[[], Iterable[Any]], expected: int) -> float:
    began = time.monotonic()
    found = sum(1 for _ in read())
    assert found == expected, f"{found} of {expected}"
    return time.monotonic() - began


if __name__ == "__main__":
    main()
