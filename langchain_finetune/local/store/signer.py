"""Keeps the signatures of runs in the store's file, and finds what a search need not read.

The runs of a block share rows of bits, one for each mark. Runs that are not in a block, since they
are new or have changed, are in a list of their own, and always read; a thread makes blocks of them.
What a block says of a run that has changed or gone does no harm: all that it finds is read.
"""

import logging
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from uuid import UUID

import orjson

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.sqlite import Database, one_of, run_script
from langchain_finetune.local.store.signatures import (
    MARKS,
    Marks,
    marks_of_run,
    packed,
    places_with_all,
)
from langchain_finetune.local.store.values import now

logger = logging.getLogger(__name__)

TABLES = """
CREATE TABLE IF NOT EXISTS signed_blocks (block INTEGER PRIMARY KEY, ids BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS signed_rows (place INTEGER PRIMARY KEY, bits BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS unsigned_runs (change INTEGER PRIMARY KEY, id TEXT NOT NULL);
CREATE TRIGGER IF NOT EXISTS run_to_sign_again
AFTER UPDATE OF name, error, inputs, outputs, metadata ON runs
BEGIN INSERT INTO unsigned_runs (id) VALUES (NEW.id); END;
INSERT INTO unsigned_runs (id) SELECT id FROM runs;
"""
"""Each change of a run is one in the list, so that nothing is looked for as runs come in.

Whoever adds runs, or replaces them, calls `note_changes`: a trigger for that makes taking in a run
take a third longer.
"""

BLOCK = 4096
"""Runs of a block."""

MOST_FOUND = 50_000
"""If more runs have all marks, a search reads them as it comes."""

_READ_AT_ONCE = 64
_INTERVAL_S = 5.0
_PAUSE_S = 0.2
_LOOKS_PER_CHECK = 12
_SETTLED = 24 * 3600 * 10**6
"""After so long, in microseconds, a run that has no end is signed as it is."""

_FEW = 0.25
_ID_BYTES = 16

_TO_SIGN = """
SELECT u.change, u.id FROM unsigned_runs AS u LEFT JOIN runs AS r ON r.id = u.id
WHERE r.id IS NULL OR r.status <> 'pending' OR r.start_time < ? ORDER BY u.change LIMIT ?
"""


def make_tables(connection: sqlite3.Connection) -> None:
    """Make the tables of signatures, with all runs yet to be signed."""
    run_script(connection, TABLES)


def note_changes(database: Database, run_ids: Iterable[str]) -> None:
    """Have runs read by all searches until they are signed, again if they were."""
    ids = orjson.dumps(list(run_ids)).decode()
    database.run("INSERT INTO unsigned_runs (id) SELECT value FROM json_each(?)", (ids,))


def add_signature_functions(connection: sqlite3.Connection) -> None:
    """Make `is_rare` and `may_have` known to a connection.

    Both take marks as a list in JSON: whether few runs may have them all, and the ids of those, in
    JSON.
    """

    def is_rare(marks: str) -> bool:
        [listed] = connection.execute("SELECT count(*) AS n FROM unsigned_runs").fetchall()
        found = listed["n"]
        for _, places in _blocks_with(connection, orjson.loads(marks)):
            found += len(places)
            if found > MOST_FOUND:
                return False
        return True

    def may_have(marks: str) -> str:
        ids = [row["id"] for row in connection.execute("SELECT id FROM unsigned_runs")]
        for data, places in _blocks_with(connection, orjson.loads(marks)):
            parts = (data[place * _ID_BYTES : (place + 1) * _ID_BYTES] for place in places)
            ids += [str(UUID(bytes=part)) for part in parts]
        return orjson.dumps(ids).decode()

    connection.create_function("is_rare", 1, is_rare, deterministic=True)
    connection.create_function("may_have", 1, may_have, deterministic=True)


def _blocks_with(
    connection: sqlite3.Connection, marks: list[int]
) -> Iterator[tuple[bytes, list[int]]]:
    """Yield the ids of each block that has runs with all marks, and the places of those."""
    wanted = ", ".join("?" * len(marks))
    sql = f"SELECT bits FROM signed_rows WHERE place IN ({wanted})"  # noqa: S608 only marks
    for block in connection.execute("SELECT block, ids FROM signed_blocks").fetchall():
        first = block["block"] * MARKS
        rows = connection.execute(sql, [first + mark for mark in marks]).fetchall()
        count = len(block["ids"]) // _ID_BYTES
        if places := places_with_all([row["bits"] for row in rows], count):
            yield block["ids"], places


class Signer:
    """Signs the runs of a store, in a thread of its own once there are enough for a block."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ended = threading.Event()
        self._checked = 0
        self._thread = threading.Thread(target=self._sign_regularly, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._ended.set()
        self._thread.join()

    def sign(self, least: int | None = None) -> bool:
        """Make a block of runs that are in none, if there are enough; return whether there were."""
        found = self._database.rows(_TO_SIGN, (now() - _SETTLED, BLOCK))
        if not found or len(found) < (least or BLOCK):
            return False
        ids = list(dict.fromkeys(row["id"] for row in found))
        marks: dict[str, Marks] = {}
        for start in range(0, len(ids), _READ_AT_ONCE):
            if self._ended.is_set():
                return False
            one = one_of("id", ids[start : start + _READ_AT_ONCE])
            sql = f"SELECT id, name, error, inputs, outputs, metadata FROM runs WHERE {one.sql}"  # noqa: S608
            rows = self._database.rows(sql, one.values)
            marks |= {row["id"]: marks_of_run(row) for row in rows}
        bits = packed(list(marks.values()))
        done = one_of("change", [row["change"] for row in found])
        with self._database.transaction():
            if marks:
                self._keep(list(marks), [row.tobytes() for row in bits])
            # What has changed meanwhile is a later change in the list.
            self._database.run(f"DELETE FROM unsigned_runs WHERE {done.sql}", done.values)  # noqa: S608
        return True

    def _keep(self, ids: list[str], rows: list[bytes]) -> None:
        [last] = self._database.rows("SELECT coalesce(max(block), 0) AS block FROM signed_blocks")
        block = last["block"] + 1
        data = b"".join(UUID(each).bytes for each in ids)
        self._database.put("signed_blocks", {"block": block, "ids": data})
        places = ({"place": block * MARKS + mark, "bits": row} for mark, row in enumerate(rows))
        self._database.put_all("signed_rows", places)

    def clear(self) -> None:
        """Look at one block; if most of its runs are gone, the others are to be signed anew."""
        block = self._database.row(
            "SELECT block, ids FROM signed_blocks WHERE block > ? ORDER BY block LIMIT 1",
            (self._checked,),
        )
        self._checked = block["block"] if block else 0
        if block is None:
            return
        data = block["ids"]
        ids = [str(UUID(bytes=data[at : at + _ID_BYTES])) for at in range(0, len(data), _ID_BYTES)]
        one = one_of("id", ids)
        sql = f"SELECT id FROM runs WHERE {one.sql}"  # noqa: S608 constants and "?"
        with self._database.transaction():
            left = self._database.rows(sql, one.values)
            if len(left) > _FEW * len(ids):
                return
            first = block["block"] * MARKS
            self._database.run(
                "DELETE FROM signed_rows WHERE place BETWEEN ? AND ?", (first, first + MARKS - 1)
            )
            self._database.run("DELETE FROM signed_blocks WHERE block = ?", (block["block"],))
            for row in left:
                self._database.put("unsigned_runs", {"id": row["id"]})

    def _sign_regularly(self) -> None:
        looks = 0
        while not self._ended.wait(_INTERVAL_S):
            try:
                while self.sign() and not self._ended.wait(_PAUSE_S):
                    pass
                looks += 1
                if looks % _LOOKS_PER_CHECK == 0:
                    self.clear()
            except ApiError as error:
                logger.warning("Runs could not be indexed: %s", error.message)
            except sqlite3.Error as error:
                logger.warning("Runs could not be indexed: %s.", error)
