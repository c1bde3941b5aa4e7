"""Searches in a SQLite file: connections that only read, beside the one that writes.

In WAL mode readers and the writer do not wait for each other. What they share are the processor
and Python's lock, so of the searches that take long few run at the same time.
"""

import math
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from langchain_finetune.local.api_error import ApiError

MAX_SEARCH_S = 60
"""How long the searches of a request may take, waiting included."""

ASKED_AT: ContextVar[float] = ContextVar("ASKED_AT")
"""When the request came whose searches these are, on the monotonic clock; unset outside of one."""

SLOW_S = 0.5
SLOW_AT_ONCE = max(1, (os.cpu_count() or 1) // 2)
"""Most searches at the same time that take more of the processor than `SLOW_S`; others pause.

On a busy machine, one that reads little may take as long by the clock.
"""

_STEPS = 10_000
"""Steps of SQLite's machine between two looks at the clock."""

_KEPT = 8
"""Connections that are kept open while nobody reads."""

_LOOK_S = 0.05


class EngineStopsError(ApiError):
    """A search was ended because the engine stops; LangSmith's client asks again."""

    def __init__(self) -> None:
        super().__init__(503, "The engine stops: ask again later.", code="engine_stops")


class SearchesBusyError(ApiError):
    """A search spent its time waiting for others; clients ask again."""

    def __init__(self) -> None:
        message = "Other searches take long, and this one waited for them: ask again."
        super().__init__(503, message, code="searches_busy")


class SearchClock:
    """Ends what a connection does once its time is over, or the engine stops.

    `slow` are the turns of requests' searches that take long. A connection that writes waits for
    none, nor does the engine's own work, in threads that others need.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        ended: threading.Event,
        slow: threading.BoundedSemaphore | None = None,
    ) -> None:
        self.connection = connection
        self._ended = ended
        self._slow = slow
        self._deadline = math.inf
        self._used = 0.0
        self._waited = 0.0
        self._pauses = False
        self._has_turn = False
        connection.set_progress_handler(self._is_late, _STEPS)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Bound the time of the searches inside.

        Raises:
            ApiError: 400 where they take too long.
            EngineStopsError: The engine stops.
            SearchesBusyError: Others took long.
        """
        began = time.monotonic()
        self._used = time.thread_time()
        asked_at = ASKED_AT.get(None)
        self._pauses = asked_at is not None
        self._waited = began - asked_at if asked_at is not None else 0.0
        self._deadline = began - self._waited + MAX_SEARCH_S
        try:
            yield
        except sqlite3.OperationalError as error:
            # A function that asks the file itself, and is ended, fails as any function does.
            if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT and not self._is_over():
                raise
            if self._ended.is_set():
                raise EngineStopsError from None
            if self._waited > max(MAX_SEARCH_S / 2, SLOW_S):
                raise SearchesBusyError from None
            raise ApiError(
                400,
                f"The query takes longer than {MAX_SEARCH_S} s: narrow it, such as by time.",
                code="query_too_slow",
            ) from None
        finally:
            self._deadline = math.inf
            if self._slow and self._has_turn:
                self._slow.release()
            self._has_turn = False

    def _is_late(self) -> bool:
        if self._deadline == math.inf:
            return False
        now = time.monotonic()
        pauses = self._pauses and not self._has_turn
        if self._slow and pauses and time.thread_time() - self._used > SLOW_S:
            while not self._is_over() and not self._has_turn:
                self._has_turn = self._slow.acquire(timeout=_LOOK_S)
            self._waited += time.monotonic() - now
        return self._is_over()

    def _is_over(self) -> bool:
        return self._ended.is_set() or time.monotonic() > self._deadline


class Readers:
    """Connections to one file that can't change it; each is used by one thread at a time.

    `connect` opens one. There are as many as threads that read at the same time.
    """

    def __init__(self, connect: Callable[[], sqlite3.Connection], ended: threading.Event) -> None:
        self._connect = connect
        self._ended = ended
        self._slow = threading.BoundedSemaphore(SLOW_AT_ONCE)
        self._idle = threading.Condition()
        self._free: list[SearchClock] = []
        self._used = 0

    @contextmanager
    def one(self) -> Iterator[SearchClock]:
        """Lend a connection, which sees all that was committed before."""
        with self._idle:
            self._used += 1
            reader = self._free.pop() if self._free else None
        try:
            if reader is None:
                reader = SearchClock(self._connect(), self._ended, self._slow)
            yield reader
        finally:
            with self._idle:
                self._used -= 1
                keeps = reader is not None and len(self._free) < _KEPT
                if reader is not None and keeps:
                    self._free.append(reader)
                self._idle.notify_all()
            if reader is not None and not keeps:
                reader.connection.close()

    def close(self) -> None:
        """Close all connections, once nobody reads."""
        with self._idle:
            self._idle.wait_for(lambda: not self._used)
            while self._free:
                self._free.pop().connection.close()
