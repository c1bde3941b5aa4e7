"""Duplicate chats, and chats of one part of the data that repeat another part.

The index of earlier chats is a temporary SQLite database: it has no name, contains hashes and ids
but no text, and is gone when it is closed. Near duplicates are found by locality-sensitive hashing:
signatures are divided into bands, and only chats that share a band are compared, by their shingles
(Leskovec, Rajaraman, Ullman: Mining of Massive Datasets, chapter 3.4).
"""

import sqlite3
from array import array
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from tempfile import TemporaryFile
from typing import IO, Literal

from langchain_finetune.convert.fingerprints import PERMUTATIONS, near_print, row_key
from langchain_finetune.convert.packed_rows import read_packed, write_packed
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

_MISSED = 1e-3
"""Highest probability that a pair at the threshold shares no band."""

_FEWEST_ROWS = 2
_OF_A_BAND = "SELECT * FROM (SELECT number FROM band WHERE key = ? LIMIT 20)"
"""At most 20 chats of a band are compared: a form letter may fill it with thousands."""

_ADD_NEAR = "INSERT INTO near (id, shingles) VALUES (?, ?)"
_COMPARED = 50
"""Most chats that are compared: those that share the most bands."""

_SETTINGS = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -4096;
"""
"""A larger cache than 4 MiB would not be faster: the operating system caches the rest."""

_TABLES = """
CREATE TABLE exact (key BLOB PRIMARY KEY, id TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE near (number INTEGER PRIMARY KEY, id TEXT NOT NULL, shingles BLOB NOT NULL);
CREATE TABLE band (key INTEGER, number INTEGER, PRIMARY KEY (key, number)) WITHOUT ROWID;
BEGIN;
"""


def _database(tables: str) -> sqlite3.Connection:
    # An iterator may move between threads, but is never used by two at once.
    database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    database.executescript(_SETTINGS + tables)
    return database


class DuplicateIndex:
    """An index of rows that finds exact duplicates among them, and near ones from a threshold on.

    The threshold is a Jaccard index of their `shingles_of`, from 0.5 to 1; None finds exact ones.
    """

    def __init__(self, threshold: float | None = None) -> None:
        self._threshold = threshold
        self._rows_a_band = rows_a_band(threshold) if threshold is not None else 0
        bands = PERMUTATIONS // self._rows_a_band if self._rows_a_band else 0
        self._candidates = " UNION ALL ".join([_OF_A_BAND] * bands)
        self._database = _database(_TABLES)

    def close(self) -> None:
        """Delete the index."""
        self._database.close()

    def repeated(self, row: Row, *, add: bool) -> tuple[str, bool] | None:
        """Return the id of the earlier row that this one repeats, and whether it is an exact copy.

        If there is none, return None, and with `add` add the row.
        """
        key = row_key(row)
        if add and self._threshold is None and self._added(key, row.id):
            return None
        found = self._database.execute("SELECT id FROM exact WHERE key = ?", (key,)).fetchone()
        if found:
            return found[0], True
        if self._threshold is not None:
            hashes, keys = near_print(row, self._rows_a_band)
            if (near := self._nearest(hashes, keys)) is not None:
                return near, False
            if add:
                fields = (row.id, hashes)
                number = self._database.execute(_ADD_NEAR, fields).lastrowid
                in_bands = [(key, number) for key in keys]
                self._database.executemany("INSERT INTO band VALUES (?, ?)", in_bands)
        if add:
            self._added(key, row.id)
        return None

    def _added(self, key: bytes, name: str) -> bool:
        """Add a row; return whether its key is new."""
        insert = "INSERT OR IGNORE INTO exact VALUES (?, ?)"
        return self._database.execute(insert, (key, name)).rowcount > 0

    def _nearest(self, stored_hashes: bytes, keys: tuple[int, ...]) -> str | None:
        assert self._threshold is not None
        shared = Counter(number for (number,) in self._database.execute(self._candidates, keys))
        hashes = set(array("I", stored_hashes)) if shared else set()
        best, highest = None, self._threshold
        for candidate, _ in shared.most_common(_COMPARED):
            name, stored = self._database.execute(
                "SELECT id, shingles FROM near WHERE number = ?", (candidate,)
            ).fetchone()
            others = array("I", stored)
            common = len(hashes.intersection(others))
            alike = common / (len(hashes) + len(others) - common)
            if alike > highest or (best is None and alike >= highest):
                best, highest = name, alike
        return best


def rows_a_band(threshold: float) -> int:
    """Return the numbers per band with which at most a thousandth of the pairs is missed.

    Example:
        >>> rows_a_band(0.9), rows_a_band(0.7)
        (8, 4)
    """
    return next(
        rows
        for rows in range(PERMUTATIONS, 0, -1)
        if rows <= _FEWEST_ROWS or (1 - threshold**rows) ** (PERMUTATIONS // rows) <= _MISSED
    )


_CHATS = """
CREATE TABLE chat (key BLOB PRIMARY KEY, part TEXT, shared INTEGER DEFAULT 0) WITHOUT ROWID;
BEGIN;
"""
_ADD_CHAT = """
INSERT INTO chat (key, part) VALUES (?, ?)
ON CONFLICT (key) DO UPDATE SET shared = 1 WHERE part <> excluded.part
"""
"""Determines which chats several parts of a split have in common, by their hashes, without text."""


def unique_rows(
    rows: Iterator[Row], outcome: Outcome, duplicates: Duplicates, near_threshold: float
) -> Iterator[Row]:
    """Yield the rows without those that repeat an earlier one.

    Those are rejected as `duplicate`, naming the row that they repeat; if they are kept,
    `duplicates` counts the exact ones.
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
    """Yield the rows without repetitions between parts: no held-out chat is trained on.

    Exact copies of a chat share one part; otherwise the most frequent questions would all be held
    out, since one of many copies surely is. If the groups of the copies were assigned to several
    parts, the chat itself is assigned; `split_by_repetition` counts the rows that this moves.

    Among near repetitions, test takes precedence over validation, and both over training: the
    others are rejected as `contaminated`.

    The order of the rows does not matter: all rows are read before the first is yielded, and kept
    in a temporary file.
    """
    with TemporaryFile() as waiting, closing(_database(_CHATS)) as chats:
        for row in rows:
            chats.execute(_ADD_CHAT, (row_key(row), row.part))
            write_packed(row, waiting)
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
    waiting: IO[bytes], chats: sqlite3.Connection, split: Split, outcome: Outcome
) -> Iterator[Row]:
    """Yield the waiting rows, with all copies of a chat in one part."""
    waiting.seek(0)
    while row := read_packed(waiting):
        key = row_key(row)
        if chats.execute("SELECT shared FROM chat WHERE key = ?", (key,)).fetchone()[0]:
            part = split.part_of(f"chat:{key.hex()}")
            if part != row.part:
                outcome.counts["split_by_repetition"] += 1
                row.part = part
        yield row


def _reason(name: str, exact: bool) -> str:  # noqa: FBT001 - as `DuplicateIndex` returns it
    return f"It {'repeats' if exact else 'nearly repeats'} {name}."
