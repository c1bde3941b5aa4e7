"""The rows that worker processes make of sessions, in order, and what is recorded of them."""

import marshal
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any

from langchain_core.chat_sessions import ChatSession

from langchain_finetune.convert.packed_rows import packed
from langchain_finetune.convert.row_steps import RowSteps
from langchain_finetune.convert.rows import Outcome, Row
from langchain_finetune.convert.workers.errors import error_of
from langchain_finetune.convert.workers.events import EventRecorder, record
from langchain_finetune.convert.workers.in_order import Task
from langchain_finetune.convert.workers.pickled import pickled
from langchain_finetune.convert.workers.pool import results_of
from langchain_finetune.convert.workers.ray_tasks import results_of_ray
from langchain_finetune.convert.workers.work import PartWork, RowRecord, RowWork, row_of
from langchain_finetune.errors import FineTuningError
from langchain_finetune.sessions import SessionParts, Sessions, Skip

_ROWS, _BYTES = 64, 1 << 20
"""Most rows of a task, and about most bytes, if this process reads the chats."""


def rows_of_workers(
    steps: RowSteps, sessions: Iterable[ChatSession], outcome: Outcome, workers: int | str
) -> Generator[Row, None, None]:
    """Yield the rows that `steps.checked` would, each with all that `look_ahead` computes.

    The workers are a number of processes of this machine, or a cluster of Ray; see `Convert.on`.

    Raises:
        ConvertError: As in one process; or a function can't be handed to workers, or these die, or
            the cluster can't be reached.
        MissingExtraError: Ray is not installed.
        LoadError: As in one process.
    """
    if steps.count_tokens == "always":
        steps.counter()  # Downloads what is missing, once.
    if steps.method != "preference" and isinstance(sessions, Sessions):
        parts = sessions.in_parts()
        if parts is not None:
            yield from _of_parts(steps, sessions, parts, outcome, workers)
            return
    yield from _of_rows(steps, sessions, outcome, workers)


def closing_at_end(
    rows: Iterator[Row], made: Generator[Row, None, None]
) -> Generator[Row, None, None]:
    """Yield rows, and at the end close what they are made of, so that no worker is left.

    After Ctrl-C in a step between them, the traceback would keep it until the process ends.
    """
    try:
        yield from rows
    finally:
        made.close()


def _of_parts(
    steps: RowSteps, sessions: Sessions, parts: SessionParts, outcome: Outcome, workers: int | str
) -> Iterator[Row]:
    """Yield the rows of parts that workers read."""
    work = PartWork(steps, parts.read)

    def read(_: Callable[[Skip], None]) -> Iterator[Row]:
        tasks = (Task(str(part), part.plain()) for part in parts.parts)
        for _task, values in _results(tasks, work, workers):
            first = outcome.sessions
            for each in _records(values):
                record(each[1], outcome, sessions.skipped, sessions.notes, first)
                if (row := row_of(each)) is not None:
                    yield _counted_from(first, row)

    yield from sessions.read_by(read)


def _counted_from(first: int, row: Row) -> Row:
    for each in {id(made): made for made in (row, row.fit and row.fit.row) if made}.values():
        each.number = None if each.number is None else each.number + first
    return row


def _of_rows(
    steps: RowSteps, sessions: Iterable[ChatSession], outcome: Outcome, workers: int | str
) -> Iterator[Row]:
    """Yield the rows of sessions that this process reads."""
    work = RowWork(steps)
    for task, values in _results(_row_tasks(steps, sessions), work, workers):
        read, odd = task.note
        done = 0
        for each in _records(work.converted(iter([odd])) if odd else values):
            # What was recorded when the chats were read comes before what the steps recorded.
            for taken in read[done : each[0]]:
                record(taken, outcome, [], Counter(), 0)
            done = max(done, each[0])
            record(each[1], outcome, [], Counter(), 0)
            if (row := row_of(each)) is not None:
                yield row
        for taken in read[done:]:
            record(taken, outcome, [], Counter(), 0)


def _results(
    tasks: Iterator[Task], work: PartWork | RowWork, workers: int | str
) -> Iterator[tuple[Task, Iterator[Any]]]:
    """Yield the tasks with what the workers made of them, in order."""
    if isinstance(workers, str):
        return results_of_ray(tasks, work, workers)
    return results_of(tasks, pickled(work), workers)


def _row_tasks(steps: RowSteps, sessions: Iterable[ChatSession]) -> Iterator[Task]:
    """Yield the rows of sessions as tasks, with what was recorded as each was read."""
    reading = EventRecorder(Outcome(), [], Counter())
    rows: list[bytes] = []
    read: list[tuple[Any, ...]] = []
    ids: list[str] = []

    def task(odd: Row | None = None) -> Task:
        name = f"the chats {ids[0]} to {ids[-1]}" if ids else "no chat"
        made = Task(name, list(rows), (list(read), odd))
        for some in (rows, read, ids):
            some.clear()
        return made

    def rest() -> Iterator[Task]:
        taken = reading.take()
        if rows or taken:
            read.append(taken)
            yield task()

    try:
        for row in steps.made(sessions, reading.outcome):
            taken = reading.take()
            try:
                plain = marshal.dumps(packed(row, row.encoded))
            except ValueError:
                # A value that only this process has, which a check may refuse.
                if rows:
                    yield task()
                read.append(taken)
                yield task(row)
                continue
            ids.append(row.id)
            rows.append(plain)
            read.append(taken)
            if len(rows) >= _ROWS or sum(map(len, rows)) >= _BYTES:
                yield task()
    except FineTuningError:
        yield from rest()
        raise
    yield from rest()


def _records(values: Iterable[Any]) -> Iterator[RowRecord]:
    for value in values:
        if isinstance(value, tuple):
            raise error_of(value)
        yield from value
