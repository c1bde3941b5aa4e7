"""Forks trainings from a process that has the libraries: `python -m ...training.warm DESCRIPTOR`.

Importing torch, transformers and TRL takes most of a small job's time. This process does it once,
then waits at the socket of the DESCRIPTOR: each message is the path of a specification, with the
descriptors of the standard input, output and error that the training shall have. It answers
`pid NUMBER` and, when that one has ended, `ended STATUS` as `os.waitpid` has it, a line each; the
second alone, where a forked process can't use the machine's GPUs. It trains nothing itself, so that
it keeps its size, and each training finds it as fresh as any other.
"""

import ctypes
import gc
import importlib
import os
import select
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from langchain_finetune.local.training.__main__ import main as train
from langchain_finetune.local.training.__main__ import set_environment

IDLE_S = 300.0
"""How long it waits for a job before it ends, and gives its memory (0.6 GB) back."""

_PR_SET_PDEATHSIG = 1
"""Of `prctl`: the signal that this process gets when the thread that started it ends."""

_LIBRARIES = (
    "langchain_finetune.local.training.export",
    "langchain_finetune.local.training.fit",
    "langchain_finetune.local.training.trainers",
)


def main() -> int:
    """Load the libraries and serve one engine; return the exit status of this process."""
    # Ctrl-C in a terminal reaches all of its processes; the engine ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Also while the libraries are loaded, which takes seconds.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    set_environment(offline=True)
    # The other way to look for GPUs keeps forked processes from using them.
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"
    for library in _LIBRARIES:
        importlib.import_module(library)
    # A collection in a child would copy all pages that it shares with this process.
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=int(sys.argv[1])) as engine:
        is_training = _forked_for(engine)
    return train() if is_training else 0


def _forked_for(engine: socket.socket) -> bool:
    """Fork a process for each job, and return there; in this one, when no more come."""
    while select.select([engine], [], [], IDLE_S)[0]:
        path, descriptors, _, _ = socket.recv_fds(engine, 4096, 3)
        if not path:
            break  # The engine has ended.
        if not (child := os.fork()):
            return _begun(engine, path, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        _, status = os.waitpid(child, 0)
        try:
            engine.sendall(b"ended %d\n" % status)
        except OSError:
            break  # The same.
    return False


def _begun(engine: socket.socket, path: bytes, descriptors: Sequence[int]) -> bool:
    """Become the training of a specification, and say so to the engine."""
    if _has_lost_the_gpus():
        os._exit(1)
    # A group of its own, so that its helpers can be killed with it.
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for place, descriptor in enumerate(descriptors):
        os.dup2(descriptor, place)
        os.close(descriptor)
    os.chdir(Path(os.fsdecode(path)).parent)
    sys.argv[1:] = [os.fsdecode(path)]
    engine.sendall(b"pid %d\n" % os.getpid())
    return True


def _has_lost_the_gpus() -> bool:
    """Return whether a library looked at them all the same when it was imported."""
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    return bool(cuda and cuda._is_in_bad_fork())  # noqa: SLF001 - no other way to know


if __name__ == "__main__":
    sys.exit(main())
