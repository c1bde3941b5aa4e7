"""Waiting for a host: for results of its SDK, and for capacity that it reports to lack."""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from langchain_finetune.local.training.events import Waiting
from langchain_finetune.local.training.loop.host import HostUnavailableError, StopRequestedError

POLL_S = 0.2

_ANSWER_S = 24 * 3600.0

T = TypeVar("T")


class Waits:
    """Waits for one host.

    Args:
        report: Takes `Waiting`, when the host has no capacity and when it has some again.
        stop: Is set when the process is to end soon.
    """

    def __init__(self, report: Callable[[Waiting], None], stop: threading.Event) -> None:
        self._report, self._stop = report, stop
        self._news: deque[str | None] = deque()
        self._paused = False

    def heard(self, state: Any, reason: str | None) -> None:
        """Take the state of the host's queue, an enum of the SDK, in any thread."""
        paused = getattr(state, "name", "").startswith("PAUSED")
        self._news.append((reason or "it has no capacity now") if paused else None)

    def call(self, act: Callable[[], T], *, until_stop: bool = False) -> T:
        """Return what a call returns that blocks, and report meanwhile on the host's capacity.

        Args:
            act: The call; what it raises is raised here.
            until_stop: Whether to end when the process is asked to stop.

        Raises:
            StopRequestedError: The process was asked to stop.
            HostUnavailableError: There is no answer within a day.
        """
        call = _Call(act)
        # A daemon: the process may end while the host still thinks.
        threading.Thread(target=call.run, name="asks-the-host", daemon=True).start()
        for _ in range(int(_ANSWER_S / POLL_S)):
            self._tell()
            try:
                return call.result.result(POLL_S)
            except TimeoutError:
                if call.result.done():
                    raise
            finally:
                self._tell()
            if until_stop and self._stop.is_set():
                raise StopRequestedError
        raise HostUnavailableError("no answer within a day")

    def _tell(self) -> None:
        while self._news:
            reason = self._news.popleft()
            if (reason is not None) != self._paused:
                self._report(Waiting(reason=reason and f"Queued at the host: {reason}"))
            self._paused = reason is not None


class _Call(Generic[T]):
    """A call in a thread of its own; what it raises is raised where its result is asked for."""

    def __init__(self, act: Callable[[], T]) -> None:
        self._act = act
        self.result: Future[T] = Future()

    def run(self) -> None:
        with self:
            self.result.set_result(self._act())

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        if error is not None:
            self.result.set_exception(error)
        return True
