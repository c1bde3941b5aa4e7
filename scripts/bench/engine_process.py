"""An engine for a measurement: a process of its own, with a key and an address."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from langchain_finetune.home import RunningEngine, read_key


@dataclass(frozen=True)
class EngineProcess:
    """A running engine: its address without a path, its key, and its process."""

    url: str
    key: str
    process: psutil.Process


@contextmanager
def engine_process(home: Path, *options: str) -> Iterator[EngineProcess]:
    """Run an engine on a home, whose `log` gets its output, until the block ends."""
    home.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "langchain_finetune.local", "--home", str(home), *options]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "LANGSMITH_TRACING": "false"}
    with (
        (home / "log").open("ab") as log,
        subprocess.Popen(command, stdout=log, stderr=log, env=environment) as process,
    ):
        try:
            while (running := RunningEngine.read(home)) is None or running.pid != process.pid:
                if process.poll() is not None:
                    raise RuntimeError((home / "log").read_text())
                time.sleep(0.05)
            key = read_key(home)
            assert key
            yield EngineProcess(running.url, key.get_secret_value(), psutil.Process(process.pid))
        finally:
            process.terminate()
