"""Several GPUs: one process for each, of which the training process itself is the first.

The others are started here with the variables that `torchrun` would set; accelerate, in the
trainer, does the rest. They end with the first one, since their standard input closes then.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from langchain_finetune.local.hardware import Hardware
from langchain_finetune.local.training.events import OUT_OF_MEMORY


def is_first() -> bool:
    """Return whether this process reports and exports, rather than only trains along."""
    return os.environ.get("RANK", "0") == "0"


def together_with() -> int | None:
    """Return how many processes train together, this one among them, if they were started so."""
    return int(os.environ["WORLD_SIZE"]) if "RANK" in os.environ else None


def wanted(given: int | None, batch_size: int) -> int:
    """Return how many processes should train together: each GPU's, as far as a batch can be shared.

    A number that is given counts in place of that of the GPUs.
    """
    most = given or max(Hardware.here().cuda_gpus, 1)
    return max(number for number in range(1, most + 1) if batch_size % number == 0)


@contextmanager
def together(number: int, specification: Path) -> Iterator[None]:
    """Let `number` processes, this one among them, train inside.

    With one, or in a process that was started with others, nothing is done.
    """
    if number == 1 or together_with():
        yield
        return
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    shared = {"WORLD_SIZE": str(number), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    helpers = [_start(specification, shared, rank) for rank in range(1, number)]
    os.environ.update(shared, RANK="0", LOCAL_RANK="0")
    done = threading.Event()
    for helper in helpers:
        threading.Thread(target=_watch, args=(helper, done), daemon=True).start()
    try:
        yield
    finally:
        done.set()
        for helper in helpers:
            assert helper.stdin
            helper.stdin.close()
            helper.wait()


def _start(specification: Path, shared: dict[str, str], rank: int) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(  # noqa: S603 - this very program
        [sys.executable, "-m", "langchain_finetune.local.training", str(specification)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
    )


def _watch(helper: "subprocess.Popen[bytes]", done: threading.Event) -> None:
    """Stop all processes if one has failed, since the others would wait for it forever."""
    if (status := helper.wait()) and not done.is_set():
        sys.stderr.write("A process of another GPU failed; see above.\n")
        # The system kills a process by this signal when memory runs short.
        os._exit(OUT_OF_MEMORY if status in {OUT_OF_MEMORY, -signal.SIGKILL} else 1)
