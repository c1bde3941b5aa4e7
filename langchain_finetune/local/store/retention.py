"""How long runs stay, and how much room they may take.

The oldest traces are deleted first, and whole: half a trace is useless. Those with feedback, in an
annotation queue, or from which an example of a dataset was made are kept: they hold people's work,
which cannot be made again.
"""

import logging
import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import orjson

from langchain_finetune.errors import EngineError
from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.store.database import StoreDatabase
from langchain_finetune.local.store.values import now

logger = logging.getLogger(__name__)

DAYS_VARIABLE = "LCFT_KEEP_RUNS_DAYS"
"""Days that a trace is kept after its end; by default forever."""

SIZE_VARIABLE = "LCFT_MAX_RUNS_GIB"
"""Largest size of the run store, in GiB; by default unlimited."""

_DAY = 24 * 3600 * 10**6
_GIB = 2**30
_INTERVAL_S = 60.0
_AT_ONCE = 50
"""Traces in one transaction: others wait for it."""

_LISTED = 5000
_ROOM = 0.9
"""Of the bound, after making room: else every run that comes would have to make room again."""

_OLDEST = """
WITH kept AS (
    SELECT trace_id FROM runs WHERE trace_id IS NOT NULL AND id IN (
        SELECT run_id FROM feedback UNION SELECT trace_id FROM feedback
        UNION SELECT run_id FROM queued_runs UNION SELECT source_run_id FROM example_versions
    )
)
SELECT trace_id, max(coalesce(end_time, start_time)) AS last FROM runs
WHERE trace_id IS NOT NULL
GROUP BY trace_id
HAVING max(coalesce(end_time, start_time)) < ? AND trace_id NOT IN (SELECT trace_id FROM kept)
ORDER BY last LIMIT ?
"""
_KEPT_MEANWHILE = """
SELECT DISTINCT r.trace_id FROM runs AS r WHERE r.trace_id IN (SELECT value FROM json_each(?))
AND (EXISTS (SELECT 1 FROM feedback AS f WHERE f.run_id = r.id)
    OR EXISTS (SELECT 1 FROM feedback AS f WHERE f.trace_id = r.trace_id)
    OR EXISTS (SELECT 1 FROM queued_runs AS q WHERE q.run_id = r.id)
    OR EXISTS (SELECT 1 FROM example_versions AS e WHERE e.source_run_id = r.id))
"""
_NEVER = 2**62


@dataclass(frozen=True)
class Limits:
    """How many days a trace stays after its last run ended, and how large the file may be.

    None means no limit.
    """

    days: float | None = None
    size_bytes: int | None = None


def limits_of(environment: Mapping[str, str] = os.environ) -> Limits:
    """Read the limits from the environment: `30` days, `2.5` GiB; unset means no limit.

    Raises:
        EngineError: One is not a number above zero.
    """
    size = _number(environment, SIZE_VARIABLE)
    return Limits(_number(environment, DAYS_VARIABLE), None if size is None else int(size * _GIB))


class Retention:
    """Deletes old traces, in a thread of its own and whenever room is needed."""

    def __init__(self, database: StoreDatabase, limits: Limits) -> None:
        self._database = database
        self._limits = limits
        self._turn = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._delete_regularly, daemon=True)
        if limits.days is not None:
            self._thread.start()

    def make_room(self) -> None:
        """Delete the oldest traces if the store exceeds its maximum size.

        Raises:
            ApiError: 507 where the disk is full, or everything left must be kept.
        """
        self._database.require_room()
        size = self._limits.size_bytes
        if size is None or self._database.used_bytes() < size:
            return
        with self._turn:
            if self._database.used_bytes() >= size:
                self._delete(_NEVER, down_to=int(size * _ROOM))
        if self._database.used_bytes() >= size:
            raise ApiError(
                507,
                f"The run store is full ({size / _GIB:.1f} GiB), and what it holds has feedback, "
                f"waits for review or is a dataset's: raise {SIZE_VARIABLE}, or delete projects.",
                code="run_store_full",
            )

    def delete_old(self) -> int:
        """Delete the traces that are too old; return how many runs those were."""
        if self._limits.days is None:
            return 0
        with self._turn:
            return self._delete(now() - int(self._limits.days * _DAY))

    def stop(self) -> None:
        """End the thread."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def _delete_regularly(self) -> None:
        while not self._ended.is_set():
            try:
                self.delete_old()
            except ApiError as error:
                logger.warning("Old runs could not be deleted: %s", error.message)
            except sqlite3.Error as error:
                # Such as a file that another program holds: it may be free next time.
                logger.warning("Old runs could not be deleted: %s.", error)
            self._ended.wait(_INTERVAL_S)

    def _delete(self, before: int, down_to: int = 0) -> int:
        traces = runs = 0
        for batch in self._oldest(before):
            if self._ended.is_set() or self._database.used_bytes() <= down_to:
                break
            with self._database.transaction():
                listed = orjson.dumps(batch).decode()
                rows = self._database.rows(_KEPT_MEANWHILE, (listed,))
                kept = {row["trace_id"] for row in rows}
                for trace in batch:
                    if trace in kept or self._database.used_bytes() <= down_to:
                        continue
                    traces += 1
                    runs += self._database.run("DELETE FROM runs WHERE trace_id = ?", (trace,))
        if runs:
            self._database.give_back()
            logger.info(
                "The run store deleted its %d oldest traces, with %d runs: %s.",
                traces,
                runs,
                "it was full" if down_to else "they were too old",
            )
        return runs

    def _oldest(self, before: int) -> Iterator[list[str]]:
        while True:
            rows = self._database.rows(_OLDEST, (before, _LISTED))
            for start in range(0, len(rows), _AT_ONCE):
                yield [row["trace_id"] for row in rows[start : start + _AT_ONCE]]
            if len(rows) < _LISTED:
                return


def _number(environment: Mapping[str, str], name: str) -> float | None:
    text = environment.get(name, "").strip()
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    # Compared this way round, a NaN is refused as well.
    if not 0 < value < 10**9:
        raise EngineError(f"{name} must be a number above zero, not {text!r}.")
    return value
