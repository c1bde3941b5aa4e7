"""Work that an app does not wait for: bounded, and never felt by its callers."""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import Context

logger = logging.getLogger(__name__)

MAX_PENDING = 16
"""Most pieces of work that wait or run; more are given up."""

_THREADS = 4


class Background:
    """Does work in threads or, where it is awaited, in tasks of the event loop that runs.

    What fails is logged by its type only; what finds no room is counted in `lost`. Work in threads
    is finished before Python ends, and none begins once the main thread has ended; tasks end with
    their event loop.
    """

    def __init__(self) -> None:
        self.lost = 0
        self._lock = threading.Lock()
        self._threads: ThreadPoolExecutor | None = None
        self._pending: set[Future[object] | asyncio.Task[object]] = set()

    def __reduce__(self) -> tuple[type["Background"], tuple[()]]:
        # A copy, also in another process, has work of its own.
        return Background, ()

    def submit(self, work: Callable[[], object]) -> None:
        """Do work in a thread."""
        if not self._has_room():
            return
        with self._lock:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="rollout-shadow")
            try:
                # Without the caller's context: the work is not part of its trace.
                future = self._threads.submit(Context().run, work)
            except RuntimeError:  # Python ends, or the system gives no more threads.
                self.lost += 1
                logger.warning("A shadow was not asked: no thread is left (%d so far).", self.lost)
                return
            self._pending.add(future)
        future.add_done_callback(self._ended)

    def start(self, work: Callable[[], Awaitable[object]]) -> None:
        """Do work in a task."""
        if not self._has_room():
            return

        async def run() -> object:
            return await work()

        task = asyncio.get_running_loop().create_task(run(), context=Context())
        with self._lock:
            self._pending.add(task)
        task.add_done_callback(self._ended)

    def finish(self, timeout_s: float | None = None) -> bool:
        """Wait for the work in threads; return whether all of it has ended."""
        with self._lock:
            futures = {each for each in self._pending if isinstance(each, Future)}
        return not wait(futures, timeout_s).not_done

    async def afinish(self, timeout_s: float | None = None) -> bool:
        """Wait for the work of this event loop; return whether all of it has ended."""
        loop = asyncio.get_running_loop()
        with self._lock:
            tasks = {each for each in self._pending if isinstance(each, asyncio.Task)}
        mine = {task for task in tasks if task.get_loop() is loop}
        if not mine:
            return True
        _, pending = await asyncio.wait(mine, timeout=timeout_s)
        return not pending

    def _has_room(self) -> bool:
        with self._lock:
            if len(self._pending) < MAX_PENDING:
                return True
            self.lost += 1
        logger.warning("A shadow was not asked: too many are (%d so far).", self.lost)
        return False

    def _ended(self, work: Future[object] | asyncio.Task[object]) -> None:
        with self._lock:
            self._pending.discard(work)
        if work.cancelled():  # Its event loop has ended.
            with self._lock:
                self.lost += 1
            logger.warning("A shadow was not answered: its event loop ended (%d lost).", self.lost)
        elif error := work.exception():
            logger.warning("A shadow failed: %s.", type(error).__name__)
