"""Work beside the event loop that nobody waits for when the process ends."""

import asyncio
import threading
from collections.abc import Callable
from typing import Generic, Self, TypeVar

R = TypeVar("R")


async def in_daemon_thread(work: Callable[[], R]) -> R:
    """Run `work` in a thread of its own and return what it returns, or raise what it raises.

    `asyncio.to_thread` would keep a server that was just started from stopping for as long as
    torch takes to import.
    """
    handover = _Handover[R](asyncio.get_running_loop())

    def run() -> None:
        with handover:
            handover.take(work())

    threading.Thread(target=run, daemon=True).start()
    return await handover.future


class _Handover(Generic[R]):
    """Brings a result, or the error that ends its context, into an event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.future: asyncio.Future[R] = loop.create_future()

    def take(self, result: R) -> None:
        self._call(lambda: self.future.set_result(result))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        if error is not None:
            self._call(lambda: self.future.set_exception(error))
        return True

    def _call(self, change: Callable[[], None]) -> None:
        def unless_given_up() -> None:
            if not self.future.done():
                change()

        # The loop may have ended meanwhile; then there is nobody to tell.
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(unless_given_up)
