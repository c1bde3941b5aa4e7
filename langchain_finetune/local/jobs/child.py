"""Runs the training process of one job, and never leaves one behind.

The process gets one argument, the path of its settings, and reports JSON lines on its stdout.
It ends itself when its stdin closes, so it dies with the engine however the engine dies.
"""

import asyncio
import math
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from langchain_finetune.home import KEY_VARIABLE
from langchain_finetune.local.jobs.schemas import Hyperparameters

GRACE_S = 1.0
"""How long a process may take to end by itself before it is killed."""

_MAX_LINE = 2**20


class Settings(BaseModel):
    """What the trainer has chosen, before its first step."""

    event: Literal["settings"]
    hyperparameters: Hyperparameters
    trained_tokens: int
    total_steps: int
    examples: int
    method: str
    resumed_from: int | None = None


class Measures(BaseModel):
    """What was measured at one step; rewards are DPO's."""

    step: int
    train_loss: float | None = None
    train_mean_token_accuracy: float | None = None
    train_reward_accuracy: float | None = None
    train_reward_margin: float | None = None
    valid_loss: float | None = None
    valid_mean_token_accuracy: float | None = None
    valid_reward_accuracy: float | None = None
    valid_reward_margin: float | None = None

    def data(self) -> dict[str, Any]:
        """Return the numbers that JSON can hold; a loss may have become infinite or NaN."""
        return {
            name: value
            for name, value in self.model_dump(exclude={"event"}).items()
            if value is not None and math.isfinite(value)
        }


class Metrics(Measures):
    """How one step went."""

    event: Literal["metrics"]
    total_steps: int
    epoch: float | None = None


class Done(BaseModel):
    """The models lie in the output folder: the model itself, and the other checkpoints."""

    event: Literal["done"]
    trained_tokens: int
    step: int
    checkpoints: list[Measures]


class Stopped(BaseModel):
    """The trainer has saved its state and ended, as it was asked to."""

    event: Literal["stopped"]
    step: int


class Failed(BaseModel):
    """The trainer gave up, and knows why."""

    event: Literal["failed"]
    code: str
    message: str


ChildEvent = Settings | Metrics | Done | Stopped | Failed

_EVENTS: TypeAdapter[ChildEvent] = TypeAdapter(Annotated[ChildEvent, Field(discriminator="event")])


async def run_child(
    command: Sequence[str],
    settings: Path,
    log: Path,
    on_event: Callable[[ChildEvent], None],
    stop: asyncio.Event,
) -> int:
    """Run the training process to its end; kill it when this task is cancelled.

    Args:
        command: How to start it; the path of the settings follows.
        settings: Its settings, a JSON file; the process works in that folder.
        log: Where its stderr goes.
        on_event: Called with each report.
        stop: When it is set, the process is asked to save its state and to end.

    Returns:
        Its exit status; negative for the signal that killed it.
    """
    environment = {name: value for name, value in os.environ.items() if name != KEY_VARIABLE}
    with log.open("ab") as stderr:
        process = await asyncio.create_subprocess_exec(
            *command,
            str(settings),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
            cwd=settings.parent,
            env=environment,
            limit=_MAX_LINE,
            # A group of its own, so that its helpers can be killed with it.
            start_new_session=True,
        )
    asking = asyncio.create_task(_ask_to_stop(process, stop))
    try:
        assert process.stdout
        async for line in process.stdout:
            # Libraries print to stdout too; whatever is no report is passed over.
            with suppress(ValidationError):
                on_event(_EVENTS.validate_json(line))
        return await process.wait()
    finally:
        asking.cancel()
        await _end(process)


async def _ask_to_stop(process: asyncio.subprocess.Process, stop: asyncio.Event) -> None:
    await stop.wait()
    assert process.stdin
    with suppress(OSError):
        process.stdin.write(b"stop\n")
        await process.stdin.drain()


async def _end(process: asyncio.subprocess.Process) -> None:
    assert process.stdin
    process.stdin.close()
    if process.returncode is None:
        _signal_group(process, signal.SIGTERM)
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), GRACE_S)
    # Helpers of the trainer may have outlived it.
    _signal_group(process, signal.SIGKILL)
    await process.wait()


def _signal_group(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
