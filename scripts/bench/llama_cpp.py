"""llama.cpp's own server, as the package `xllamacpp` has it (install it first)."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2

from bench.chat_latency import Server, answers, process

PROGRAM = """
import sys, time, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.port = sys.argv[1], int(sys.argv[2])
params.n_parallel, threads = int(sys.argv[3]), int(sys.argv[4])
# All chats share it.
params.n_ctx = 4096 * params.n_parallel
params.use_jinja = True
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
server = xllamacpp.Server(params)
while True:
    time.sleep(60)
"""


def command(weights: Path, port: int, *, chats: int, threads: int) -> list[str]:
    """Return the command that serves GGUF weights to so many chats at once.

    Threads that wait spin: on a busy machine an answer of several takes minutes.
    """
    return [sys.executable, "-c", PROGRAM, str(weights), str(port), str(chats), str(threads)]


@contextmanager
def running_llama(weights: Path, port: int, *, chats: int, threads: int) -> Iterator[Server]:
    """Run the server; the folder of the weights gets its log."""
    run = command(weights, port, chats=chats, threads=threads)
    with (
        process(run, weights.parent / f"log-{port}", {}) as started,
        httpx2.Client(base_url=f"http://127.0.0.1:{port}/v1", timeout=300) as client,
    ):
        while not answers(f"http://127.0.0.1:{port}/health"):
            time.sleep(0.2)
        yield Server(client, started)
