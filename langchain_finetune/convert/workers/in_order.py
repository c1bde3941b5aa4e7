"""Tasks that others work on: results in order, and a lost task is done again.

Tasks and results wait in a folder, so that memory does not grow with their number.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from langchain_finetune.convert.packed_rows import read_value, write_value
from langchain_finetune.errors import ConvertError, FineTuningError

AHEAD = 2
"""Tasks that a worker has: one waits, so that it begins at once."""

WAITING = 2
"""Results that may wait for an earlier one, for each worker; they are on disk."""

ATTEMPTS = 3
"""How often a task is begun, of which the worker is lost each time."""


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


class OrderedTasks(ABC):
    """Tasks that are given to workers, and their results in the order of the tasks.

    Args:
        folder: Where a task waits as `NUMBER.task`, and what was made of it as `NUMBER.done`.
        tasks: The tasks, which are taken when there is a worker for them.
        workers: How many workers there are.
    """

    def __init__(self, folder: Path, tasks: Iterator[Task], workers: int) -> None:
        self.folder = folder
        self.workers = workers
        self.idle: deque[int] = deque()
        """Numbers of the tasks that no worker has."""
        self._tasks: Iterator[Task] | None = tasks
        self._open: deque[tuple[int, Task]] = deque()
        """Tasks whose results were not given yet, in order."""
        self._done: set[int] = set()
        self._begun: dict[int, int] = {}
        self._count = 0
        self._error: FineTuningError | None = None

    @abstractmethod
    def assign(self) -> None:
        """Give the idle tasks to workers that have too few."""

    @abstractmethod
    def hear(self, *, wait: bool) -> None:
        """Take in what the workers tell; with `wait`, at least one thing."""

    @abstractmethod
    def end(self) -> None:
        """End all work at once."""

    def results(self) -> Iterator[tuple[Task, Iterator[Any]]]:
        """Yield each task with the values that a worker made of it, in the order of the tasks.

        An error of the tasks is raised after the results of those before.

        Raises:
            ConvertError: The workers can't start, or a task is lost each time that it is begun.
        """
        try:
            while (done := self._next()) is not None:
                number, task = done
                path = self.folder / f"{number}.done"
                with path.open("rb") as file:
                    yield task, self._values(file)
                path.unlink()
        finally:
            self.end()

    def finish(self, number: int) -> None:
        """Note that a task's result is there."""
        self._done.add(number)
        self.path(number).unlink()

    def lost(self, number: int, who: str, why: str) -> None:
        """Note that a task was begun, and its worker is lost.

        Raises:
            ConvertError: It has happened too often. The sentence begins with `who`, such as `A
                worker process ended`, and ends with `why`.
        """
        self._begun[number] = self._begun.get(number, 0) + 1
        if self._begun[number] >= ATTEMPTS:
            raise ConvertError(f"{who} as it converted {self.name(number)}. {why}")

    def name(self, number: int) -> str:
        """Return the name of a task whose result was not given yet."""
        [name] = [task.name for each, task in self._open if each == number]
        return name

    def path(self, number: int) -> Path:
        """Return the file that has a task's data."""
        return self.folder / f"{number}.task"

    def _next(self) -> tuple[int, Task] | None:
        """Wait for the next task in order; None after the last one."""
        while True:
            self.hear(wait=False)
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
            self.hear(wait=True)

    def _values(self, file: Any) -> Iterator[Any]:
        """Yield a result's values, and give the workers more to do between them."""
        while (value := read_value(file)) is not None:
            yield value
            self.hear(wait=False)
            self._fill()

    def _fill(self) -> None:
        while self._tasks is not None and len(self._open) < self.workers * (AHEAD + WAITING):
            try:
                task = next(self._tasks, None)
            except FineTuningError as error:
                # What was before it comes first.
                task, self._error = None, error
            if task is None:
                self._tasks = None
                break
            with self.path(self._count).open("wb") as file:
                write_value(task.data, file)
            self._open.append((self._count, task._replace(data=None)))
            self.idle.append(self._count)
            self._count += 1
            self.assign()
        self.assign()
