"""Prefetching: several sources are read concurrently, and yielded in their order."""

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")

PrefetchSource = Callable[[threading.Event], Iterator[T]]
"""Yields items; called in a thread with an event that is set to stop."""


def in_order(sources: Sequence[PrefetchSource[T]], *, workers: int, ahead: int = 1) -> Iterator[T]:
    """Yield the items of all sources: the first source's, then the second's, and so on.

    Threads read while earlier items are used. They end with the iteration, also if it stops early
    or fails; a read in progress is waited for. An error of a source is raised when its turn comes.

    At most `ahead` items are prefetched of each of `workers` sources. A thread takes the first
    source that is not taken yet, and continues with another when all its items are used.

    Example:
        >>> list(in_order([lambda stop: iter([1, 2]), lambda stop: iter([3])], workers=2))
        [1, 2, 3]
    """
    stop = threading.Event()
    lanes = [_Lane(source, ahead) for source in sources]
    waiting: queue.SimpleQueue[_Lane[T]] = queue.SimpleQueue()
    for lane in lanes:
        waiting.put(lane)

    def work() -> None:
        while not stop.is_set():
            try:
                lane = waiting.get_nowait()
            except queue.Empty:
                return
            lane.fill(stop)

    # Daemons, so that an unfinished iteration does not keep the process alive.
    threads = [
        threading.Thread(target=work, name="langchain-finetune-read", daemon=True)
        for _ in range(min(workers, len(lanes)))
    ]
    try:
        for thread in threads:
            thread.start()
        for lane in lanes:
            yield from lane.drain()
    finally:
        stop.set()
        for lane in lanes:
            lane.release()
        for thread in threads:
            thread.join()


class _End(NamedTuple):
    error: BaseException | None


class _Lane(Generic[T]):
    """The items of one source, passed on from its thread."""

    def __init__(self, source: PrefetchSource[T], ahead: int) -> None:
        self._source = source
        self._items: queue.SimpleQueue[T | _End] = queue.SimpleQueue()
        self._ahead = ahead
        self._room = threading.Semaphore(ahead - 1)

    def fill(self, stop: threading.Event) -> None:
        """Read the source, while there is room for its items."""
        with ExitStack() as ending:
            ending.push(self._end)
            for value in self._source(stop):
                self._items.put(value)
                self._room.acquire()
                if stop.is_set():
                    return
        for _ in range(self._ahead - 1):
            # Until the lane is empty.
            self._room.acquire()

    def drain(self) -> Iterator[T]:
        """Yield the items when they arrive."""
        while not isinstance(found := self._items.get(), _End):
            self._room.release()
            yield found
        if found.error is not None:
            raise found.error

    def release(self) -> None:
        """Let a reader that waits for room continue to its end."""
        self._room.release(self._ahead)

    def _end(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        # An error is passed on, too, and raised by `drain`.
        self._items.put(_End(error))
        return True
