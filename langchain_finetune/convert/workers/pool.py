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
from typing import Any

from langchain_finetune.convert.workers.in_order import AHEAD, ATTEMPTS, OrderedTasks, Task
from langchain_finetune.errors import ConvertError

_PROCESS = "langchain_finetune.convert.workers.process"


def results_of(
    tasks: Iterator[Task], work: bytes, workers: int
) -> Iterator[tuple[Task, Iterator[Any]]]:
    """Yield each task with the values that a process made of it; see `OrderedTasks.results`.

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
        yield from pool.results()


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


class _Pool(OrderedTasks):
    def __init__(self, folder: Path, tasks: Iterator[Task], workers: int) -> None:
        super().__init__(folder, tasks, workers)
        self._running: list[_Worker] = []
        self._heard: SimpleQueue[tuple[_Worker, bytes]] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._failed_starts = 0

    def end(self) -> None:
        for worker in self._running:
            worker.end(kill=True)
        for thread in self._threads:
            thread.join()

    def assign(self) -> None:
        while self.idle:
            free = min(self._running, key=lambda each: len(each.given), default=None)
            if (free is None or free.given) and len(self._running) < self.workers:
                free = self._start()
            if free is None or len(free.given) >= AHEAD:
                return
            free.give(self.idle.popleft())

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
        self._running.append(worker)
        thread = threading.Thread(target=_listen, args=(worker, self._heard), daemon=True)
        self._threads.append(thread)
        thread.start()
        return worker

    def hear(self, *, wait: bool) -> None:
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
                self.finish(int(rest))
                self.assign()
            elif what == "refused":
                raise ConvertError(rest)
            else:
                self._bury(worker)

    def _bury(self, worker: _Worker) -> None:
        """Do a dead worker's tasks again."""
        self._running.remove(worker)
        code = worker.end(kill=False)
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        if not worker.is_ready:
            self._failed_starts += 1
            if self._failed_starts >= ATTEMPTS:
                raise ConvertError(
                    f"The worker processes end as they start ({how}); standard error may say why. "
                    "Convert in this process alone."
                )
        elif worker.given:
            why = (
                "There may be too little memory: take fewer workers, or leave these chats out."
                if code < 0
                else "Standard error says why."
            )
            self.lost(worker.given[0], f"A worker process ended {ATTEMPTS} times ({how})", why)
        self.idle.extendleft(reversed(worker.given))
        self.assign()


def _listen(worker: _Worker, heard: "SimpleQueue[tuple[_Worker, bytes]]") -> None:
    assert worker.process.stdout
    with worker.process.stdout as lines:
        for line in lines:
            heard.put((worker, line))
    heard.put((worker, b"ended"))
