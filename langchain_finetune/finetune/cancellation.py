"""Handles interruption and cancellation of the wait for a job."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from langchain_finetune.errors import FineTuningError

_CANCEL_S = 15.0
"""A cancelled wait ends soon, also where the engine does not answer."""


@contextmanager
def when_interrupted(cancel: Callable[[], Any] | None) -> Iterator[None]:
    """Call `cancel` when Ctrl-C ends what is inside; the interrupt goes on."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        if cancel is not None:
            try:
                cancel()
            except FineTuningError as error:
                interrupt.add_note(_note(error))
        raise


@asynccontextmanager
async def when_cancelled(cancel: Callable[[], Awaitable[Any]] | None) -> AsyncIterator[None]:
    """Await `cancel` when the task inside is cancelled; the cancellation goes on."""
    try:
        yield
    except asyncio.CancelledError as cancelled:
        if cancel is not None:
            try:
                async with asyncio.timeout(_CANCEL_S):
                    await cancel()
            except (FineTuningError, TimeoutError) as error:
                cancelled.add_note(_note(error))
        raise


def _note(error: Exception) -> str:
    return f"The job could not be cancelled and may go on: {error or 'no answer in time'}"
