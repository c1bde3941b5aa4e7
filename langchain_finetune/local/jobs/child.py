"""Runs the training process of one job, and never leaves one behind.

The process gets one argument, the path of its specification, and reports JSON lines on its stdout;
see `langchain_finetune.local.training.events`. It ends itself when its stdin closes, so it dies
with the engine however the engine dies.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from pydantic import ValidationError

from langchain_finetune.home import KEY_VARIABLE
from langchain_finetune.local.training.events import EVENTS, TrainingEvent

TRAINER = (sys.executable, "-m", "langchain_finetune.local.training")
"""Command that trains one job; the path of its specification follows."""

GRACE_S = 1.0
"""How long a process may take to end by itself before it is killed."""

HOST_GRACE_S = 10.0
"""The same for one that closes its session at the host of a training loop."""

LONGEST_LINE = 2**20
"""Bytes of a line of its reports."""


class LostChildError(Exception):
    """A training process has ended, and nobody can tell how."""


class Child(Protocol):
    """A process of a session of its own, as asyncio's `Process` has it."""

    @property
    def pid(self) -> int: ...  # noqa: D102 - as documented there
    @property
    def returncode(self) -> int | None: ...  # noqa: D102
    @property
    def stdin(self) -> asyncio.StreamWriter | None: ...  # noqa: D102
    @property
    def stdout(self) -> asyncio.StreamReader | None: ...  # noqa: D102
    async def wait(self) -> int: ...  # noqa: D102


async def start_child(
    command: Sequence[str], spec: Path, log: Path, *, listener: int | None = None
) -> Child:
    """Start the training process; what it writes to stderr goes to `log`.

    It inherits the descriptor of a `listener`, at which other machines join.
    """
    with log.open("ab") as stderr:
        return await asyncio.create_subprocess_exec(
            *command,
            str(spec),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
            cwd=spec.parent,
            env=environment(),
            limit=LONGEST_LINE,
            pass_fds=() if listener is None else (listener,),
            # A group of its own, so that its helpers can be killed with it.
            start_new_session=True,
        )


def environment() -> dict[str, str]:
    """Return the variables of a training: those of the engine but its key."""
    return {name: value for name, value in os.environ.items() if name != KEY_VARIABLE}


async def follow_child(
    process: Child,
    on_event: Callable[[TrainingEvent], Awaitable[None]],
    stop: asyncio.Event,
    *,
    grace_s: float = GRACE_S,
) -> int:
    """Follow the training process to its end; kill it when this task is cancelled.

    When `stop` is set, the process is asked to save its state and to end; one that is to end at
    once has `grace_s` for that. The result is its exit status, negative for the signal that killed
    it.

    Raises:
        LostChildError: How it has ended is not known.
    """
    asking = asyncio.create_task(_ask_to_stop(process, stop))
    try:
        assert process.stdout
        async for line in process.stdout:
            # Libraries print to stdout too; other lines are ignored.
            try:
                event = EVENTS.validate_json(line)
            except ValidationError:
                continue
            await on_event(event)
        return await process.wait()
    finally:
        asking.cancel()
        await _end(process, grace_s)


async def _ask_to_stop(process: Child, stop: asyncio.Event) -> None:
    await stop.wait()
    assert process.stdin
    with suppress(OSError):
        process.stdin.write(b"stop\n")
        await process.stdin.drain()


async def _end(process: Child, grace_s: float) -> None:
    assert process.stdin
    process.stdin.close()
    if process.returncode is None:
        _signal_group(process, signal.SIGTERM)
        with suppress(TimeoutError, LostChildError):
            await asyncio.wait_for(process.wait(), grace_s)
    # Helpers of the trainer may have outlived it.
    _signal_group(process, signal.SIGKILL)
    with suppress(LostChildError):
        await process.wait()


def _signal_group(process: Child, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
