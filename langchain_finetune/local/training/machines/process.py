"""One of the training processes that train together, on this machine."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version

from langchain_finetune.home import KEY_VARIABLE

_PACKAGES = ("langchain-finetune", "torch", "transformers", "accelerate", "trl", "peft")
_COUNT = "from langchain_finetune.local.hardware import Hardware; print(Hardware.here().cuda_gpus)"
_GRACE_S = 2.0
"""How long a process may take to end once its standard input is closed."""

COMMAND = (sys.executable, "-m", "langchain_finetune.local.training")
"""Command of a training process; the path of its specification follows."""


class TrainingProcess:
    """A training process, which ends at the latest when this process does.

    Args:
        specification: Path of the job's specification.
        local_rank: Its number among those of this machine.
        beside: How many those are.
    """

    where = "this machine"

    def __init__(self, specification: Path, local_rank: int = 0, beside: int = 1) -> None:
        self.local_rank = local_rank
        self._specification = specification
        self._beside = beside
        self._ending = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, place: Mapping[str, str], log: Path | None = None) -> None:
        """Start it at its place among all; without a `log`, it writes errors where we do."""
        threads = str(max(1, (os.cpu_count() or 1) // self._beside))
        ours = {name: value for name, value in os.environ.items() if name != KEY_VARIABLE}
        with ExitStack() as files:
            self._process = subprocess.Popen(  # noqa: S603 - this very program
                [*COMMAND, str(self._specification)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=files.enter_context(log.open("ab")) if log else None,
                env={"OMP_NUM_THREADS": threads, **ours, **place},
            )

    def items(self) -> Iterator[bytes | int]:
        """Yield the lines of its reports, and at last its exit status."""
        assert self._process and self._process.stdout  # noqa: PT018
        with self._process.stdout as lines:
            # Ray sends to the generator, which a file could not pass on.
            for line in lines:  # noqa: UP028
                yield line
        yield self._process.wait()

    def ask_to_stop(self) -> None:
        """Ask it to save its state and to end."""
        assert self._process and self._process.stdin  # noqa: PT018
        with suppress(OSError, ValueError):
            self._process.stdin.write(b"stop\n")
            self._process.stdin.flush()

    def end(self) -> None:
        """End it, if it has begun and has not ended."""
        with self._ending:
            if not self._process:
                return
            assert self._process.stdin
            with suppress(OSError):
                self._process.stdin.close()
            try:
                self._process.wait(_GRACE_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


def digest(specification: Path) -> str | None:
    """Return the hash of a specification; None if it can't be read here."""
    try:
        return sha256(specification.read_bytes()).hexdigest()
    except OSError:
        return None


def log_of(work: Path, rank: int) -> Path:
    """Return the file for what a process of another machine writes to standard error."""
    return work.parent / f"trainer-{rank}.log"


def versions() -> dict[str, str]:
    """Return the versions that have to be the same at all processes."""
    found = {"python": python_version().rpartition(".")[0]}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "missing"
    return found


def difference(theirs: Mapping[str, str]) -> str | None:
    """Return which versions of another machine are not those of this one; None if none are.

    Example:
        >>> difference(versions() | {"torch": "1.0"}).startswith("torch 1.0 in place of ")
        True
    """
    other = [
        f"{name} {theirs.get(name, 'missing')} in place of {ours}"
        for name, ours in versions().items()
        if theirs.get(name) != ours
    ]
    return ", ".join(other) or None


def processes_here() -> int:
    """Return how many training processes this machine is for: one a GPU, and at least one."""
    # In a process of its own: this one needs no torch, which takes a quarter of a gigabyte.
    counted = subprocess.run(  # noqa: S603 - this very program
        [sys.executable, "-c", _COUNT], capture_output=True, check=True
    )
    return max(1, int(counted.stdout))
