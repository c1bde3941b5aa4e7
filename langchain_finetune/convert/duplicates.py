"""Chats that come more than once, and chats of which one part of the data repeats another."""

from collections.abc import Iterator
from contextlib import closing
from tempfile import TemporaryFile
from typing import IO, Literal

import orjson

from langchain_finetune.convert.duplicate_index import DuplicateIndex, SharedChats
from langchain_finetune.convert.fingerprints import row_key
from langchain_finetune.convert.rows import Outcome, Part, Row
from langchain_finetune.convert.split import Split

Duplicates = Literal["keep", "drop_exact", "drop_near"]
Contamination = Literal["exact", "near"]

_ABOVE: dict[Part, tuple[Part, ...]] = {
    "train": ("test", "validation"),
    "validation": ("test",),
    "test": (),
}
"""The parts that a row must not repeat."""


def unique_rows(
    rows: Iterator[Row], outcome: Outcome, duplicates: Duplicates, near_threshold: float
) -> Iterator[Row]:
    """Yield the rows without those that repeat an earlier one.

    Each of those is rejected with the code `duplicate`, which names the row that it repeats; where
    they are kept, `duplicates` counts the exact ones.
    """
    near = near_threshold if duplicates == "drop_near" else None
    with closing(DuplicateIndex(near)) as index:
        for row in rows:
            repeated = index.repeated(row, add=True)
            if repeated is None:
                yield row
            elif duplicates == "keep":
                outcome.counts["duplicates"] += 1
                yield row
            else:
                outcome.reject_row(row, "duplicate", _reason(*repeated))


def uncontaminated_rows(
    rows: Iterator[Row], split: Split, outcome: Outcome, near_threshold: float | None = None
) -> Iterator[Row]:
    """Yield the rows whose part repeats no other: what is measured on must not have been learnt.

    Chats that are the same word for word share one part, or what users ask most often would all be
    held out, since one of many copies surely is. Where the groups of the copies were drawn for
    several parts, the chat itself is drawn; `split_by_repetition` counts the rows that this moves.

    Of near repetitions the test part wins against validation, and both win against training: those
    that lose are rejected with the code `contaminated`.

    The order of the rows does not matter. For that all rows are read before the first is yielded;
    they wait in a temporary file.

    Args:
        rows: Split into their parts.
        split: Draws the parts.
        outcome: Takes the rejects.
        near_threshold: Similarity from which rows count as repeated; None for exact ones only.
    """
    with TemporaryFile() as waiting, closing(SharedChats()) as chats:
        for row in rows:
            chats.add(row_key(row), row.part)
            _write(row, waiting)
        if near_threshold is None:
            yield from _settled(waiting, chats, split, outcome)
            return
        with (
            closing(DuplicateIndex(near_threshold)) as test,
            closing(DuplicateIndex(near_threshold)) as validation,
        ):
            indices = {"test": test, "validation": validation}
            for row in _settled(waiting, chats, split, Outcome()):
                if row.part != "train":
                    indices[row.part].repeated(row, add=True)
            for row in _settled(waiting, chats, split, outcome):
                for part in _ABOVE[row.part]:
                    if repeated := indices[part].repeated(row, add=False):
                        reason = f"{_reason(*repeated)[:-1]} in the {part} part."
                        outcome.reject_row(row, "contaminated", reason)
                        break
                else:
                    yield row


def _settled(
    waiting: IO[bytes], chats: SharedChats, split: Split, outcome: Outcome
) -> Iterator[Row]:
    """Yield the rows that wait, the copies of a chat in one part."""
    waiting.seek(0)
    while header := waiting.readline():
        row = _read(header, waiting)
        key = row_key(row)
        if chats.are_in_several(key):
            part = split.part_of(f"chat:{key.hex()}")
            if part != row.part:
                outcome.counts["split_by_repetition"] += 1
                row.part = part
        yield row


def _reason(name: str, exact: bool) -> str:  # noqa: FBT001 - as `DuplicateIndex` tells it
    return f"It {'repeats' if exact else 'nearly repeats'} {name}."


_FIELDS = [name for name in Row.__slots__ if not name.startswith("_") and name != "key"]


def _write(row: Row, file: IO[bytes]) -> None:
    fields = {name: getattr(row, name) for name in _FIELDS}
    file.write(orjson.dumps([fields, row_key(row).hex()], option=orjson.OPT_APPEND_NEWLINE))
    file.write(row.line)


def _read(header: bytes, file: IO[bytes]) -> Row:
    fields, key = orjson.loads(header)
    row = Row(fields["id"], fields["source"], line=file.readline())
    for name in _FIELDS:
        setattr(row, name, fields[name])
    row.key = bytes.fromhex(key)
    return row
