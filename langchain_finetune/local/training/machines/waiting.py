"""Waiting for the machines of a training."""

import threading
import time
from collections.abc import Callable

from langchain_finetune.local.training.events import Reporter, TrainingFailure, Waiting

UNAVAILABLE = "trainer_unavailable"
"""Code of the failure of a training whose machines can't be had."""

_QUIET_S = 5.0
"""How long is waited before it is told."""


class Wait:
    """A wait of at most `seconds` from now on, which a request to stop ends, too."""

    def __init__(self, seconds: float, reporter: Reporter, stop: threading.Event) -> None:
        self._seconds = seconds
        self._reporter = reporter
        self._stop = stop
        self._began = time.monotonic()
        self._told = ""

    def goes_on(self, missing: Callable[[], str]) -> bool:
        """Return whether to wait on, False for a request to stop; tell what is `missing`.

        Raises:
            TrainingFailure: `trainer_unavailable`: it has taken too long.
        """
        waited = time.monotonic() - self._began
        if self._stop.is_set():
            return False
        if waited >= self._seconds:
            message = f"{missing()} The job waited for {self._seconds:.0f} s."
            raise TrainingFailure(UNAVAILABLE, message)
        if waited >= _QUIET_S and (reason := missing()) != self._told:
            self._told = reason
            self._reporter.report(Waiting(reason=reason))
        return True
