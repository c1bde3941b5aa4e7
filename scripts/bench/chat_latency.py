"""The engine's chat latency against transformers' own server, `transformers serve`.

The same model, prompts and most tokens, without chance; each round asks all servers, in turns, so
that a busy machine hits all alike. It prints the median round and its ratio, and the ratio of each
prompt's best times, which other load changes least. transformers' server runs as it comes, and on
one thread as the engine does for small models, which leaves what either adds to the model's work.

    PYTHONPATH=scripts .venv/bin/python scripts/bench/chat_latency.py [ROUNDS] [MODEL]
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx2
import psutil
from langchain_core.utils.function_calling import convert_to_openai_tool

from bench.engine_process import engine_process
from bench.model_memory import NANO
from walkthrough.calculator import SYSTEM_PROMPT, Calculator
from walkthrough.questions import asked

CLIENTS = 4
MAX_TOKENS = 64
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}

Body = dict[str, Any]


@dataclass(frozen=True)
class Server:
    """One that is measured.

    Attributes:
        client: Asks it.
        process: What runs it.
    """

    client: httpx2.Client
    process: psutil.Process

    def cpu(self) -> float:
        """Return the seconds of CPU that it has taken."""
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def whole(self, body: Body) -> Body:
        """Return an answer."""
        answer = self.client.post("chat/completions", json=body)
        answer.raise_for_status()
        parsed: Body = answer.json()
        return parsed

    def first(self, body: Body) -> float:
        """Return the seconds until the first of a streamed answer came, and read it all."""
        began, first = time.perf_counter(), 0.0
        # llama.cpp closes the connection after a stream without having said so.
        headers, streamed = {"connection": "close"}, body | {"stream": True}
        with self.client.stream(
            "POST", "chat/completions", headers=headers, json=streamed
        ) as answer:
            answer.raise_for_status()
            for line in answer.iter_lines():
                if not first and ('"content":' in line or '"tool_calls":' in line) and _said(line):
                    first = time.perf_counter() - began
        assert first
        return first


def _said(line: str) -> bool:
    delta = json.loads(line.removeprefix("data: "))["choices"][0]["delta"]
    return bool(delta.get("content") or delta.get("tool_calls"))


def bodies(model: str) -> list[Body]:
    """Return requests for calculator calls, and for plain answers."""
    tools = [convert_to_openai_tool(Calculator)]
    requests: list[Body] = [
        {
            "model": model,
            "messages": [
                {"role": "system", "content": SYSTEM_PROMPT},
                {"role": "user", "content": question.text},
            ],
            "temperature": 0,
            "max_tokens": MAX_TOKENS,
        }
        for question in asked()[::25]
    ]
    return requests + [request | {"tools": tools} for request in requests]


Measure = Callable[[Server, list[Body]], list[float]]

MEASURES: dict[str, Measure] = {
    "whole answer": lambda server, asks: [_timed(server.whole, ask) for ask in asks],
    "streamed answer": lambda server, asks: [_timed(server.first, ask) for ask in asks],
    "first of a stream": lambda server, asks: [server.first(ask) for ask in asks],
    f"{CLIENTS} clients": lambda server, asks: _together(server.whole, asks),
    f"{CLIENTS} clients, streams": lambda server, asks: _together(server.first, asks),
}


def _timed(ask: Callable[[Body], object], body: Body) -> float:
    began = time.perf_counter()
    ask(body)
    return time.perf_counter() - began


def _together(ask: Callable[[Body], object], asks: list[Body]) -> list[float]:
    """Return the seconds an answer takes when several clients ask at once."""
    began = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as clients:
        list(clients.map(ask, asks))
    return [(time.perf_counter() - began) / len(asks)]


Rounds = list[list[float]]


def measure(
    servers: dict[str, Server], asks: list[Body], rounds: int
) -> dict[str, dict[str, Rounds]]:
    """Return of every measure and server the seconds of each round, by prompt; and of CPU."""
    for server in servers.values():
        for ask in asks:
            server.whole(ask)
    names = list(servers)
    seconds: dict[str, dict[str, Rounds]] = {
        measured: {name: [] for name in names} for measured in [*MEASURES, "CPU"]
    }
    for number in range(rounds):
        cpu = dict.fromkeys(names, 0.0)
        for measured, take in MEASURES.items():
            # Who comes first changes, too.
            for name in names[number % len(names) :] + names[: number % len(names)]:
                before = servers[name].cpu()
                seconds[measured][name].append(take(servers[name], asks))
                cpu[name] += servers[name].cpu() - before
        for name in names:
            seconds["CPU"][name].append([cpu[name] / len(asks) / len(MEASURES)])
    return seconds


def _median(rounds: Rounds) -> float:
    return statistics.median(statistics.mean(each) for each in rounds)


def _ratio(ours: Rounds, theirs: Rounds) -> float:
    """Return the median of the rounds' ratios."""
    pairs = zip(ours, theirs, strict=True)
    return statistics.median(statistics.mean(a) / statistics.mean(b) for a, b in pairs)


def _best(rounds: Rounds) -> float:
    """Return the mean of the prompts' best times."""
    return float(statistics.mean(min(prompt) for prompt in zip(*rounds, strict=True)))


@contextmanager
def running_engine(home: Path, *options: str) -> Iterator[Server]:
    """Run an engine on a home of its own."""
    with engine_process(home, *options) as running:
        headers = {"authorization": f"Bearer {running.key}"}
        with httpx2.Client(base_url=f"{running.url}/v1", headers=headers, timeout=120) as client:
            yield Server(client, running.process)


@contextmanager
def running_transformers(
    folder: Path,
    port: int,
    *options: str,
    dtype: str = "float32",
    variables: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Server]:
    """Run `transformers serve`; `folder` gets its log."""
    command = [str(Path(sys.executable).with_name("transformers")), "serve", "--device", "cpu"]
    command += ["--dtype", dtype, "--host", "127.0.0.1", "--port", str(port)]
    command += ["--log-level", "error", "--model-timeout", "-1", *options]
    with (
        process(command, folder / f"log-{port}", variables) as started,
        httpx2.Client(base_url=f"http://127.0.0.1:{port}/v1", timeout=120) as client,
    ):
        while not answers(f"http://127.0.0.1:{port}/health"):
            time.sleep(0.2)
        yield Server(client, started)


def answers(url: str) -> bool:
    """Return whether a server answers at an address."""
    try:
        return httpx2.get(url).is_success
    except httpx2.HTTPError:
        return False


@contextmanager
def process(
    command: list[str], log: Path, variables: Mapping[str, str]
) -> Iterator[psutil.Process]:
    """Run a command until the block ends; `log` gets what it prints."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1", **variables}
    with (
        log.open("w") as out,
        subprocess.Popen(command, stdout=out, stderr=out, env=environment) as started,
    ):
        try:
            yield psutil.Process(started.pid)
        finally:
            started.terminate()


def _differences(servers: dict[str, Server], asks: list[Body]) -> int:
    """Return how many requests the servers answer otherwise, in words or in tokens."""

    def told(answer: Body) -> tuple[Any, ...]:
        message = answer["choices"][0]["message"]
        calls = [call["function"] for call in message.get("tool_calls") or ()]
        return (
            (message["content"] or "").strip() if not calls else "",
            [(call["name"], json.loads(call["arguments"])) for call in calls],
            answer["usage"]["completion_tokens"],
        )

    first, *others = servers.values()
    return sum(told(first.whole(ask)) != told(other.whole(ask)) for ask in asks for other in others)


def main() -> None:
    """Measure and print medians and ratios."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    asks = bodies(sys.argv[2] if len(sys.argv) > 2 else str(NANO))
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        place = Path(folder)
        servers = {
            "engine": stack.enter_context(running_engine(place / "home")),
            "transformers": stack.enter_context(running_transformers(place, 8931)),
            "transformers, 1 thread": stack.enter_context(
                running_transformers(place, 8932, variables=ONE_THREAD)
            ),
        }
        seconds = measure(servers, asks, rounds)
        differ = _differences(servers, asks)
    load = os.getloadavg()[0]
    print(f"{len(asks)} prompts, {rounds} rounds, load {load:.1f}, {differ} answers differ")
    for measured, taken in seconds.items():
        ours, *others = taken
        print(f"{measured}: {ours} {_median(taken[ours]) * 1000:.1f} ms")
        for name in others:
            ratio, best = (
                _ratio(taken[ours], taken[name]),
                _best(taken[ours]) / _best(taken[name]),
            )
            print(
                f"    {name} {_median(taken[name]) * 1000:.1f} ms,"
                f" ratio {ratio:.2f}, of the best times {best:.2f}"
            )


if __name__ == "__main__":
    main()
