"""What is undone when Ctrl-C, or a cancelled task, ends a wait."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from langchain_finetune.errors import FineTuningError

_NOT_CANCELLED = "The job could not be cancelled and may go on"


@contextmanager
def when_interrupted(
    cancel: Callable[[], Any] | None, not_done: str = _NOT_CANCELLED
) -> Iterator[None]:
    """Call `cancel` when Ctrl-C ends what is inside; the interrupt goes on."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        if cancel is not None:
            try:
                cancel()
            except FineTuningError as error:
                interrupt.add_note(f"{not_done}: {error}")
        raise


@asynccontextmanager
async def when_cancelled(
    cancel: Callable[[], Awaitable[Any]] | None, not_done: str = _NOT_CANCELLED
) -> AsyncIterator[None]:
    """Await `cancel` when the task inside is cancelled; the cancellation goes on."""
    try:
        yield
    except asyncio.CancelledError as cancelled:
        if cancel is not None:
            try:
                # A cancelled wait ends soon, also where the engine does not answer.
                async with asyncio.timeout(15.0):
                    await cancel()
            except (FineTuningError, TimeoutError) as error:
                cancelled.add_note(f"{not_done}: {error or 'no answer in time'}")
        raise
