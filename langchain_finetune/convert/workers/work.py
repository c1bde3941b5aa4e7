"""What a worker does: it converts a part of the files, or rows that its parent has read.

It yields lists of records, in the order of the chats. A record is the number of rows that were
converted so far, what was recorded since the last one, and a row that goes on, if there is one.
"""

import marshal
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import IO, Any

from langchain_finetune.convert.packed_rows import packed, read_value, unpacked, write_value
from langchain_finetune.convert.row_steps import RowSteps
from langchain_finetune.convert.rows import Outcome, Row
from langchain_finetune.convert.tokens import counter
from langchain_finetune.convert.too_long import Fit
from langchain_finetune.convert.workers.errors import plain_error
from langchain_finetune.convert.workers.events import EventRecorder
from langchain_finetune.errors import FineTuningError
from langchain_finetune.sessions import ReadPart, Sessions, Skip

RowRecord = tuple[int, tuple[Any, ...], tuple[Any, ...] | None, tuple[Any, ...] | None]
"""Rows converted so far, what was recorded, a packed row, and its packed `Fit`.

That is None if nothing was counted, and empty if the row fits as it is.
"""


_SAMPLE = {
    "messages": [
        {"role": "user", "content": "Wie spät ist es? 12:30, naïve café."},
        {"role": "assistant", "content": "It is half past twelve, unquestionably."},
    ]
}


@dataclass(frozen=True)
class _Work:
    steps: RowSteps

    @cached_property
    def counter(self) -> "counter.Counter | None":
        """What counts tokens; it is loaded once in a process."""
        return self.steps.counter()

    def count(self) -> str:
        """Return how tokens are counted here: another machine may lack a vocabulary."""
        tokens = self.counter
        return "" if tokens is None else repr((tokens.exact, tokens.limit, tokens.count([_SAMPLE])))


@dataclass(frozen=True)
class RowWork(_Work):
    """Converts rows, each as `marshal` wrote what `packed` made of it."""

    def __call__(self, rows: list[bytes]) -> Iterator[list[RowRecord]]:
        """Yield the records of rows."""
        return self.converted(unpacked(marshal.loads(row)) for row in rows)  # noqa: S302 - the parent's

    def converted(self, rows: Iterator[Row]) -> Iterator[list[RowRecord]]:
        """Yield the records of rows."""
        return _converted(self.steps, self.counter, rows, EventRecorder(Outcome(), [], Counter()))


@dataclass(frozen=True)
class PartWork(_Work):
    """Reads a part of the files and converts its chats."""

    read: ReadPart

    def __call__(self, part: Any) -> Iterator[list[RowRecord]]:
        """Yield the records of a part."""
        skipped: list[Skip] = []
        notes: Counter[str] = Counter()
        outcome = Outcome()
        sessions = Sessions(
            lambda _: self.read(part, skipped.append, notes, encoded=False),
            read_encoded=lambda _: self.read(part, skipped.append, notes, encoded=True),
        )
        rows = self.steps.made(sessions, outcome)
        return _converted(self.steps, self.counter, rows, EventRecorder(outcome, skipped, notes))


def do_task(work: RowWork | PartWork, task: IO[bytes], made: IO[bytes]) -> None:
    """Write what is made of a task's data, and at the end the error, if there is one."""
    try:
        for value in work(read_value(task)):
            write_value(value, made)
    except (FineTuningError, OSError) as error:
        write_value(plain_error(error), made)


def _converted(
    steps: RowSteps, tokens: "counter.Counter | None", rows: Iterator[Row], recorder: EventRecorder
) -> Iterator[list[RowRecord]]:
    waiting: list[tuple[int, tuple[Any, ...], Row | None]] = []
    count = 0

    def note(row: Row | None = None) -> None:
        taken = recorder.take()
        if taken or row is not None:
            waiting.append((count, taken, row))

    def each() -> Iterator[Row]:
        nonlocal count
        for row in rows:
            note()  # The row before has passed all steps.
            count += 1
            yield row

    def packed_up() -> list[RowRecord]:
        steps.look_ahead([row for *_, row in waiting if row is not None], tokens)
        records: list[RowRecord] = [
            (number, taken, None, None)
            if row is None
            else (number, taken, packed(row, row.line), _packed_fit(row))
            for number, taken, row in waiting
        ]
        waiting.clear()
        return records

    try:
        for row in steps.checked(each(), recorder.outcome):
            note(row)
            if len(waiting) >= counter.BATCH:
                yield packed_up()
    except FineTuningError:
        note()
        yield packed_up()
        raise
    note()
    yield packed_up()


def _packed_fit(row: Row) -> tuple[Any, ...] | None:
    fit: Fit | None = row.fit
    if fit is None or fit.row is row:
        return None if fit is None else ()
    return fit.row and packed(fit.row, fit.row.line), *fit[1:]


def row_of(record: RowRecord) -> Row | None:
    """Return the row of a record, which knows whether it is within the token limit."""
    _, _, data, fit = record
    if data is None:
        return None
    row = unpacked(data)
    if fit == ():
        row.fit = Fit(row)
    elif fit is not None:
        other, *rest = fit
        row.fit = Fit(other and unpacked(other), *rest)
    return row
