"""Trainings that are forked from a process which has the libraries loaded already.

See `langchain_finetune.local.training.warm` for that process: it starts with the first job and ends
by itself when no other has come for a while, or with the engine.
"""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from langchain_finetune.local.jobs.child import (
    LONGEST_LINE,
    Child,
    LostChildError,
    environment,
)
from langchain_finetune.local.training.spec import Spec

_COMMAND = (sys.executable, "-m", "langchain_finetune.local.training.warm")
_LONGEST_ANSWER = 64

LOADING_S, FORKING_S = 120.0, 10.0
"""How long it may take to load the libraries, and to fork once it has them."""

_TOLD_S = 2.0
"""How long the end of a training may take to be told."""


def can_be_forked(spec: Spec) -> bool:
    """Return whether a training can be forked from a process that has loaded the libraries.

    Elsewhere than on Linux, a forked process must not use what the system's libraries hold. The
    libraries were told when they were loaded not to look for models on the hub. A training at a
    host needs none of them, nor does one that only starts others.
    """
    elsewhere = spec.host or spec.machines
    return sys.platform == "linux" and not elsewhere and Path(spec.base).is_dir()


class WarmTrainer:
    """Forks one training at a time, from a process in `folder`.

    A socket's descriptor follows the `command` of that process.
    """

    def __init__(self, folder: Path, command: Sequence[str] = _COMMAND) -> None:
        self._folder = folder
        self._command = command
        self._process: asyncio.subprocess.Process | None = None
        self._socket: socket.socket | None = None
        self._fails = False
        self._last: _Forked | None = None

    async def start(self, spec: Path, log: Path) -> Child | None:
        """Start the training of a specification; None if it has to be started in another way.

        What it writes to stderr goes to `log`.
        """
        if self._last and self._last.returncode is None:
            # Its end was not told.
            await self.close()
        # The process may have ended just now, since it was idle for so long.
        for _ in range(2):
            child = None
            try:
                child = None if self._fails else await self._fork(spec, log)
            finally:
                if not child:
                    await self.close()
            if child:
                return child
        return None

    async def close(self) -> None:
        """End the process; a training that it has forked ends when nobody follows it."""
        if self._process:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        if self._last and not self._last.status.done():
            # It reads the socket, whose other end is closed by now.
            await asyncio.wait([self._last.status], timeout=_TOLD_S)
        if self._socket:
            self._socket.close()
        self._process = self._socket = None

    async def _fork(self, spec: Path, log: Path) -> Child | None:
        loop = asyncio.get_running_loop()
        is_new = self._socket is None
        engine = self._socket or await self._load()
        here, its_stdin = socket.socketpair()
        stdout = asyncio.StreamReader(limit=LONGEST_LINE)
        answer = b""
        with its_stdin, log.open("ab") as stderr:
            _, stdin = await asyncio.open_connection(sock=here)
            try:
                reports, its_stdout = os.pipe()
                with os.fdopen(its_stdout, "wb"):
                    # It closes itself at its end.
                    await loop.connect_read_pipe(
                        lambda: asyncio.StreamReaderProtocol(stdout), os.fdopen(reports, "rb")
                    )
                    with suppress(OSError, TimeoutError):
                        streams = (its_stdin.fileno(), its_stdout, stderr.fileno())
                        socket.send_fds(engine, [os.fsencode(spec)], streams)
                        async with asyncio.timeout(LOADING_S if is_new else FORKING_S):
                            answer = await loop.sock_recv(engine, _LONGEST_ANSWER)
            finally:
                # A training that was forked all the same ends by this.
                if not answer.startswith(b"pid "):
                    stdin.close()
        if not answer.startswith(b"pid "):
            # It can't load the libraries: the training itself will tell why. Or it loaded them, and
            # forked processes can't use the GPUs.
            self._fails = is_new
            return None
        pid = int(answer.split()[1])
        self._last = _Forked(pid, stdout, stdin, asyncio.create_task(_status(engine, pid)))
        return self._last

    async def _load(self) -> socket.socket:
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        here.settimeout(0)
        self._socket = here
        with there:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                str(there.fileno()),
                pass_fds=(there.fileno(),),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                cwd=self._folder,
                env=environment(),
                start_new_session=True,
            )
        return here


@dataclass(frozen=True)
class _Forked:
    """A process that is no child of this one."""

    pid: int
    stdout: asyncio.StreamReader
    stdin: asyncio.StreamWriter
    status: asyncio.Task[int | None]

    @property
    def returncode(self) -> int | None:
        return self.status.result() if self.status.done() else None

    async def wait(self) -> int:
        has_ended = False
        while not self.status.done():
            await asyncio.wait([self.status], timeout=_TOLD_S)
            if has_ended and not self.status.done():
                raise LostChildError  # Whoever has to tell is stopped.
            has_ended = _has_ended(self.pid)
        status = self.status.result()
        if status is None:
            raise LostChildError
        return status


async def _status(engine: socket.socket, pid: int) -> int | None:
    """Wait for a training's end; return its exit status, negative for a signal's number."""
    try:
        answer = await asyncio.get_running_loop().sock_recv(engine, _LONGEST_ANSWER)
    except OSError:
        answer = b""
    if answer:
        return os.waitstatus_to_exitcode(int(answer.split()[1]))
    # Nobody would tell when it ends.
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    return None


def _has_ended(pid: int) -> bool:
    try:
        # After the name of the program, in parentheses, which may hold anything.
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2][:1] in b"ZX"
    except OSError:
        return True
