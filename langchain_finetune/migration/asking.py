"""What the workers of a recording share: what is still to be asked for, limits, and the journal."""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from langchain_finetune.engines.base import Engine
from langchain_finetune.errors import BudgetError, FineTuningError
from langchain_finetune.migration.estimate import AnswerTask
from langchain_finetune.migration.journal import AnswerJournal, Key
from langchain_finetune.migration.prices import InferencePrice, dollars
from langchain_finetune.migration.progress import MigrationProgress
from langchain_finetune.migration.prompts import METADATA, RecordedPrompt
from langchain_finetune.migration.rate_limits import RateLimits
from langchain_finetune.migration.settings import RecordingSettings
from langchain_finetune.private_files import disk_error

_LOOK_S = 0.1


def request_body(
    model: str,
    prompt: RecordedPrompt,
    number: int,
    mark: str | None = None,
    *,
    takes_zero: bool = True,
) -> dict[str, Any]:
    """Return the body of a request; with `mark`, the server stores the completion under it.

    Answer 0 is asked for at temperature 0, or as the app asks where the model does not take that.

    Example:
        >>> request = {"messages": [], "temperature": 0.7, "top_p": 0.9}
        >>> prompt = RecordedPrompt(
        ...     id="p", request=request, origin="file", stratum="", answer_tokens=1
        ... )
        >>> request_body("m", prompt, 0)
        {'model': 'm', 'messages': [], 'temperature': 0, 'top_p': 0.9}
    """
    body = {"model": model} | prompt.request | {"model": model}
    if number == 0 and takes_zero:
        body["temperature"] = 0
    if mark is not None:
        body |= {"store": True, "metadata": {METADATA: mark}}
    return body


@dataclass
class Asking:
    """What the workers of a recording share; each method may be called from any thread.

    Attributes:
        settings: The settings of the recording.
        recording_id: Its id.
        engine: The engine.
        base_url: Address of the server, for messages.
        journal: The journal.
        tasks: What is still to be asked for.
        price: The price, if known.
        saved: Called from time to time, to write the manifest.
        lost_usd: Most that answers which can't be had may have cost.
        takes_zero: Whether the model takes a temperature of 0; reasoning models do not.
        stores: Whether the server lists the completions that it stores; `proven` once it did.
        error: What stopped all workers.
    """

    settings: RecordingSettings
    recording_id: str
    engine: Engine
    base_url: str
    journal: AnswerJournal
    tasks: deque[AnswerTask]
    price: InferencePrice | None
    saved: Callable[[], None]
    lost_usd: float = 0.0
    limits: RateLimits = field(default_factory=RateLimits)
    error: FineTuningError | OSError | None = None
    proven: bool = False
    takes_zero: bool = True

    def __post_init__(self) -> None:
        self.model = self.settings.model
        self.stores = self.settings.store
        self.retry = self.engine.pace.retry
        self._lock = threading.RLock()
        self._stopped = threading.Event()
        self._busy: dict[Key, AnswerTask] = {}
        self._saved_at = 0.0
        self._total = len(self.tasks)
        self._pilot = False
        self.done = 0
        self.lost_pilots = 0

    # Called by the drivers.

    def stop(self, error: FineTuningError | OSError | None = None) -> None:
        """Ask for nothing more; requests that are on their way are waited for."""
        if isinstance(error, OSError) and not isinstance(error, ConnectionError):
            error = disk_error("The recording", error)
        with self._lock:
            self.error = self.error or error
        self._stopped.set()

    def sleep(self, seconds: float) -> None:
        """Sleep, but not longer than until `stop`."""
        self._stopped.wait(seconds)

    async def asleep(self, seconds: float) -> None:
        """Async version of `sleep`."""
        while seconds > 0 and not self.stopped:
            await asyncio.sleep(min(seconds, _LOOK_S))
            seconds -= _LOOK_S

    @property
    def costs_nothing(self) -> bool:
        """Whether answers are known to be free."""
        return self.price is not None and self.price.input_usd == self.price.output_usd == 0

    @property
    def stopped(self) -> bool:
        """Whether nothing more is asked for."""
        return self._stopped.is_set()

    # Decisions and notes.

    def next(self) -> AnswerTask | float | None:
        """Return the next task, the seconds to wait for it, or None at the end."""
        with self._lock:
            if self._stopped.is_set() or not self.tasks:
                return None
            task = self.tasks[0]
            if self.must_prove and (self._busy or self._pilot):
                return _LOOK_S
            if (limit := self.settings.max_cost_usd) is not None:
                spent = self.journal.usage.cost(self.price) or 0.0
                held = sum(each.most_usd for each in self._busy.values())
                if spent + self.lost_usd + held + task.most_usd > limit:
                    if self._busy:
                        return _LOOK_S
                    raise BudgetError(
                        f"Stopped before max_cost_usd={limit:g} is exceeded: "
                        f"{dollars(spent)} are spent, and the next answer can cost up to "
                        f"{dollars(task.most_usd)}. {len(self.tasks)} answers are missing: "
                        "raise it (--max-cost-usd), and run the same again to go on."
                    )
            wait = self.limits.wait_s(task.tokens, time.monotonic())
            if wait > 0:
                return wait
            self._busy[task.key] = self.tasks.popleft()
            self._pilot = self.must_prove
            return task

    @property
    def must_prove(self) -> bool:
        """Whether it is still to be seen if the server lists what it stores.

        An account may be set so that nothing is stored, whatever the request says. Until one answer
        was found there, a single worker asks: what is not found proves nothing.
        """
        return self.stores and not self.proven

    def piloted(self) -> None:
        """Take note that a worker is done with an answer and what it shows."""
        with self._lock:
            self._pilot = False

    def wait_s(self, task: AnswerTask) -> float:
        """Return the seconds to wait before a task is asked for (again)."""
        with self._lock:
            return self.limits.wait_s(task.tokens, time.monotonic())

    def asked(self, task: AnswerTask, *, stored: bool) -> None:
        """Write down that a request is about to be sent."""
        self.journal.add("asked", task.key, at=time.time(), stored=stored)
        with self._lock:
            self.limits.sent(task.tokens)

    def told(self, headers: Mapping[str, str]) -> None:
        """Take note of a response's headers."""
        with self._lock:
            self.limits.told(headers, time.monotonic(), max(len(self._busy) - 1, 0))

    def pause(self, seconds: float) -> None:
        """Let no worker send anything for some seconds."""
        with self._lock:
            self.limits.pause(seconds, time.monotonic())

    def free(self, task: AnswerTask) -> None:
        """Write down that a request was not carried out."""
        self.journal.add("free", task.key)

    def answered(self, task: AnswerTask, completion: Any, seconds: float | None) -> None:
        """Write down an answer."""
        self.journal.add("answered", task.key, completion=completion, seconds=seconds)
        self._finish(task)

    def failed(self, task: AnswerTask, code: str, reason: str, *, may_pass: bool) -> None:
        """Write down that an answer will not come."""
        fields = {"code": code, "reason": reason[:300], "may_pass": may_pass}
        self.journal.add("failed", task.key, **fields)
        self._finish(task)

    def unknown(self, task: AnswerTask) -> None:
        """Write down that an answer may have been paid for and can't be had."""
        self.journal.add("unknown", task.key)
        with self._lock:
            self.lost_usd += task.most_usd
        self._finish(task)

    def example(self) -> Key | None:
        """Return the newest answer that was received and that the server was asked to store."""
        both = (key for key in reversed([*self.journal.stored]) if key in self.journal.answered)
        return next(both, None)

    def put_back(self, task: AnswerTask) -> bool:
        """Return a task to the end of the queue, if there are others that were not asked for."""
        with self._lock:
            if all(each.key in self.journal.open for each in self.tasks):
                return False
            del self._busy[task.key]
            self.tasks.append(task)
            return True

    def no_store(self) -> None:
        """Take note that the server stores no completions, or does not list them."""
        self.stores = False

    def progress(self) -> MigrationProgress:
        """Return how far the recording is."""
        with self._lock:
            usd = self.journal.usage.cost(self.price)
            cost = "" if usd is None else f", {dollars(usd)}"
            return MigrationProgress(
                "record", f"{self.model}{cost}", done=self.done, total=self._total
            )

    def _finish(self, task: AnswerTask) -> None:
        with self._lock:
            self._busy.pop(task.key, None)
            self.done += 1
            if time.monotonic() - self._saved_at > 1.0:
                self.saved()
                self._saved_at = time.monotonic()
