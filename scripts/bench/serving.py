"""How the engine serves a real base: batches, and prompts that come again; and other servers.

All servers run at once and are asked in turns, so that a busy machine hits all alike. It prints
medians of the rounds' ratios: tokens a second of 4 clients by those of 1, the time to the first
token of a long prompt that comes again by that of its first time, and what `transformers serve`
(with its own continuous batching too) needs by what the engine needs.

    PYTHONPATH=scripts .venv/bin/python scripts/bench/serving.py [ROUNDS] [MODEL] [SERVER ...]

    A SERVER is `transformers`, or `batching`, its own continuous batching, or llama.cpp's with the
    exported weights in 16 (`f16`) or 8 bits (`q8_0`; install `xllamacpp`), asked directly and as an
    `--upstream`; default: the first two.
"""

import os
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from bench.chat_latency import Body, Server, running_engine, running_transformers
from bench.export_agreement import export
from bench.llama_cpp import running_llama
from langchain_finetune.local.base_models import resolve_base

TOKENS = 48
CLIENTS = (1, 4)
LONG_WORDS = 1_100
"""Words of about 1,500 tokens of SmolLM2."""


def body(model: str, text: str, tokens: int) -> Body:
    """Return a request for an answer of some length."""
    messages = [{"role": "user", "content": text}]
    return {"model": model, "messages": messages, "temperature": 0, "max_tokens": tokens}


def tokens_a_second(server: Server, model: str, clients: int, tag: str) -> float:
    """Let clients ask at once, each for an answer of its own."""
    asks = [
        body(model, f"{tag}{number}: tell a long story about a town by the sea.", TOKENS)
        for number in range(clients)
    ]
    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        answers = list(pool.map(server.whole, asks))
    seconds = time.perf_counter() - began
    return float(sum(answer["usage"]["completion_tokens"] for answer in answers)) / seconds


def first_tokens(server: Server, model: str, tag: str) -> tuple[float, float]:
    """Return the seconds to the first token of a long prompt, and of one that begins the same."""
    words = " ".join(f"{tag}{number % 97}" for number in range(LONG_WORDS // 2))
    first = server.first(body(model, f"{words}\nWhy?", 4))
    return first, server.first(body(model, f"{words}\nHow so?", 4))


def measure(servers: dict[str, Server], model: str, rounds: int) -> None:
    """Measure and print: first how fast answers are written, then how soon they begin."""
    for server in servers.values():
        server.whole(body(model, "hi", 4))
    speeds: dict[tuple[str, int], list[float]] = {}
    for number in range(rounds):
        for name in turned(servers, number):
            for clients in CLIENTS:
                got = tokens_a_second(servers[name], model, clients, f"{number}-{clients}-")
                speeds.setdefault((name, clients), []).append(got)
    print(f"{rounds} rounds, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    for name in servers:
        one, four = speeds[name, 1], speeds[name, 4]
        print(
            f"{name}: {statistics.median(one):.1f} tokens/s of 1 client,"
            f" {statistics.median(four):.1f} of 4, ratio {ratio(four, one):.2f}; the engine is"
            f" {ratio(speeds['engine', 1], one):.2f} x as fast for 1,"
            f" {ratio(speeds['engine', 4], four):.2f} x for 4",
            flush=True,
        )
    firsts: dict[str, list[tuple[float, float]]] = {name: [] for name in servers}
    for number in range(rounds):
        for name in turned(servers, number):
            firsts[name].append(first_tokens(servers[name], model, f"r{number}"))
    for name, both in firsts.items():
        again = statistics.median(later / first for first, later in both)
        first = statistics.median(first for first, _ in both)
        print(
            f"{name}: first token of a long prompt {first:.2f} s, again {again:.3f} x", flush=True
        )


def turned(servers: dict[str, Server], number: int) -> list[str]:
    """Return the servers' names; who comes first changes from round to round."""
    names = list(servers)
    return names[number % len(names) :] + names[: number % len(names)]


def ratio(ours: list[float], theirs: list[float]) -> float:
    """Return the median of the rounds' ratios."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def main() -> None:
    """Run the servers and measure them."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    model = sys.argv[2] if len(sys.argv) > 2 else str(resolve_base("smollm2-135m"))
    others = sys.argv[3:] or ["transformers", "batching"]
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        place = Path(folder)
        servers = {"engine": stack.enter_context(running_engine(place / "home"))}
        if "transformers" in others:
            plain = running_transformers(place, 8931, dtype="auto")
            servers["transformers"] = stack.enter_context(plain)
        if "batching" in others:
            batching = running_transformers(place, 8932, "--continuous-batching", dtype="auto")
            servers["transformers, batching"] = stack.enter_context(batching)
        for number, bits in enumerate(each for each in others if each in {"f16", "q8_0"}):
            quantized = [] if bits == "f16" else ["--quantize", bits]
            export(model, place / bits, "--format", "gguf", *quantized)
            [weights] = (place / bits).glob("*.gguf")
            cores = os.cpu_count() or 1
            port = 8933 + number
            llama = running_llama(weights, port, chats=max(CLIENTS), threads=cores)
            servers[f"llama.cpp, {bits}"] = stack.enter_context(llama)
            upstream = ("--upstream", f"http://127.0.0.1:{port}/v1")
            relay = running_engine(place / f"home-{bits}", *upstream)
            servers[f"engine before llama.cpp, {bits}"] = stack.enter_context(relay)
        measure(servers, model, rounds)


if __name__ == "__main__":
    main()
