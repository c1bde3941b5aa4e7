"""Processes that work on tasks: results in order, a dead one's task is done again."""

import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from langchain_finetune.convert.packed_rows import read_value, write_value
from langchain_finetune.errors import ConvertError, FineTuningError

_AHEAD = 2
"""Tasks that a worker has: one waits, so that it begins at once."""

_WAITING = 2
"""Results that may wait for an earlier one, for each worker; they are on disk."""

_ATTEMPTS = 3
"""How often a task is begun, of which the worker dies each time."""

_PROCESS = "langchain_finetune.convert.workers.process"


class Task(NamedTuple):
    """Something that a worker does.

    Attributes:
        name: Its chats, for people.
        data: What the worker is given, as plain data; it is kept on disk.
        note: What this process keeps until the result is there.
    """

    name: str
    data: Any
    note: Any = None


def results_of(
    tasks: Iterator[Task], work: bytes, workers: int
) -> Iterator[tuple[Task, Iterator[Any]]]:
    """Yield each task with the values that a worker made of it, in the order of the tasks.

    The tasks are taken when there is a worker for them. An error of theirs is raised after the
    results of those before.

    Args:
        tasks: What is to be done.
        work: Pickled function that makes an iterator of plain values of a task's data.
        workers: Number of processes.

    Raises:
        ConvertError: The workers can't start, or a task ends each worker that begins it.
    """
    with TemporaryDirectory(prefix="langchain-finetune-workers-") as name:
        pool = _Pool(Path(name), tasks, workers)
        (pool.folder / "work").write_bytes(work)
        try:
            while (done := pool.next()) is not None:
                number, task = done
                path = pool.folder / f"{number}.done"
                with path.open("rb") as file:
                    yield task, pool.values(file)
                path.unlink()
        finally:
            pool.end()


@dataclass
class _Worker:
    process: "subprocess.Popen[bytes]"
    given: deque[int] = field(default_factory=deque)
    is_ready: bool = False

    def give(self, number: int) -> None:
        self.given.append(number)
        assert self.process.stdin
        with suppress(BrokenPipeError):  # That it has died is heard soon.
            self.process.stdin.write(b"%d\n" % number)
            self.process.stdin.flush()

    def end(self, *, kill: bool) -> int:
        """Wait for its end, and end what it has started; return its exit code."""
        assert self.process.stdin
        if kill:
            self.process.kill()
        code = self.process.wait()
        if hasattr(os, "killpg"):
            with suppress(PermissionError, ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        return code


class _Pool:
    def __init__(self, folder: Path, tasks: Iterator[Task], most: int) -> None:
        self.folder = folder
        self._tasks: Iterator[Task] | None = tasks
        self._most = most
        self._workers: list[_Worker] = []
        self._heard: SimpleQueue[tuple[_Worker, bytes]] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._open: deque[tuple[int, Task]] = deque()
        """Tasks whose results were not given yet, in order."""
        self._idle: deque[int] = deque()
        """Numbers of those that no worker has."""
        self._done: set[int] = set()
        self._begun: dict[int, int] = {}
        self._count = 0
        self._failed_starts = 0
        self._error: FineTuningError | None = None

    def next(self) -> tuple[int, Task] | None:
        """Wait for the next task in order; None after the last one."""
        while True:
            self._hear(wait=False)
            self._fill()
            if not self._open:
                if self._error:
                    raise self._error
                return None
            if self._open[0][0] in self._done:
                number, task = self._open.popleft()
                self._done.discard(number)
                self._begun.pop(number, None)
                return number, task
            self._hear(wait=True)

    def values(self, file: Any) -> Iterator[Any]:
        """Yield a result's values, and give the workers more to do between them."""
        while (value := read_value(file)) is not None:
            yield value
            self._hear(wait=False)
            self._fill()

    def end(self) -> None:
        """End all workers at once."""
        for worker in self._workers:
            worker.end(kill=True)
        for thread in self._threads:
            thread.join()

    def _fill(self) -> None:
        while self._tasks is not None and len(self._open) < self._most * (_AHEAD + _WAITING):
            try:
                task = next(self._tasks, None)
            except FineTuningError as error:
                # What was before it comes first.
                task, self._error = None, error
            if task is None:
                self._tasks = None
                break
            with (self.folder / f"{self._count}.task").open("wb") as file:
                write_value(task.data, file)
            self._open.append((self._count, task._replace(data=None)))
            self._idle.append(self._count)
            self._count += 1
            self._assign()
        self._assign()

    def _assign(self) -> None:
        while self._idle:
            free = min(self._workers, key=lambda each: len(each.given), default=None)
            if (free is None or free.given) and len(self._workers) < self._most:
                free = self._start()
            if free is None or len(free.given) >= _AHEAD:
                return
            free.give(self._idle.popleft())

    def _start(self) -> _Worker:
        # Only the modules that this process finds are found, in the same places.
        code = f"import sys; sys.path[:] = {sys.path!r}; import runpy; "
        code += f"runpy.run_module({_PROCESS!r}, run_name='__main__')"
        process = subprocess.Popen(  # noqa: S603 - this program itself
            [sys.executable, "-c", code, str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Ctrl-C is for this process, which ends them.
            start_new_session=True,
            # They share the cores already.
            env={**os.environ, "TOKENIZERS_PARALLELISM": "false", "RAYON_NUM_THREADS": "1"},
        )
        worker = _Worker(process)
        self._workers.append(worker)
        thread = threading.Thread(target=_listen, args=(worker, self._heard), daemon=True)
        self._threads.append(thread)
        thread.start()
        return worker

    def _hear(self, *, wait: bool) -> None:
        """Take in what the workers tell; with `wait`, at least one thing."""
        while True:
            try:
                worker, told = self._heard.get(block=wait)
            except Empty:
                return
            wait = False
            what, _, rest = told.decode().strip().partition(" ")
            if what == "ready":
                worker.is_ready = True
            elif what == "done":
                worker.given.remove(int(rest))
                self._done.add(int(rest))
                (self.folder / f"{rest}.task").unlink()
                self._assign()
            elif what == "refused":
                raise ConvertError(rest)
            else:
                self._bury(worker)

    def _bury(self, worker: _Worker) -> None:
        """Do a dead worker's tasks again."""
        self._workers.remove(worker)
        code = worker.end(kill=False)
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        if not worker.is_ready:
            self._failed_starts += 1
            if self._failed_starts >= _ATTEMPTS:
                raise ConvertError(
                    f"The worker processes end as they start ({how}); standard error may say why. "
                    "Convert with workers=1."
                )
        elif worker.given:
            first = worker.given[0]
            self._begun[first] = self._begun.get(first, 0) + 1
            if self._begun[first] >= _ATTEMPTS:
                [name] = [task.name for number, task in self._open if number == first]
                why = (
                    "There may be too little memory: take fewer workers, or leave these chats out."
                    if code < 0
                    else "Standard error says why."
                )
                raise ConvertError(
                    f"A worker process ended {_ATTEMPTS} times ({how}) as it converted {name}. "
                    f"{why}"
                )
        self._idle.extendleft(reversed(worker.given))
        self._assign()


def _listen(worker: _Worker, heard: "SimpleQueue[tuple[_Worker, bytes]]") -> None:
    assert worker.process.stdout
    with worker.process.stdout as lines:
        for line in lines:
            heard.put((worker, line))
    heard.put((worker, b"ended"))
