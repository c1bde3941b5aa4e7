"""The jobs and their events: reads them, and writes each change together with its event."""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.documents import Page, Table
from langchain_finetune.local.identifiers import new_id, now
from langchain_finetune.local.jobs.schemas import (
    ENDED,
    Checkpoint,
    EventRecord,
    JobErrorRecord,
    JobRecord,
    JobState,
)
from langchain_finetune.local.safe_logging import log_failure
from langchain_finetune.local.sqlite import Database, DatabaseLockedError, Where

logger = logging.getLogger(__name__)

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0

T = TypeVar("T")


class Journal:
    """The jobs and their events; `save` and `add_checkpoint` write one record down.

    Attributes:
        waits: Whether jobs wait for the engine's file, since it is locked or fails.
    """

    def __init__(self, database: Database) -> None:
        self.waits = False
        self.transaction = database.transaction
        self._jobs = Table(database, "jobs", JobRecord)
        self._events = Table(database, "events", EventRecord)
        self._checkpoints = Table(database, "checkpoints", Checkpoint)
        self.save = self._jobs.put
        self.add_checkpoint = self._checkpoints.put

    async def patiently(self, act: Callable[[], T], *, through_failures: bool = False) -> T:
        """Read or write here as soon as the file is not locked by another program.

        With `through_failures`, this waits for the end of other failures, too, such as a full disk.
        """
        pause = _FIRST_PAUSE_S
        while True:
            try:
                done = act()
            except (sqlite3.Error, ApiError) as error:
                passes = through_failures and getattr(error, "status", 500) >= 500  # noqa: PLR2004
                if not passes and not isinstance(error, DatabaseLockedError):
                    raise
                if not self.waits:
                    log_failure(
                        logger, "The engine's file is locked or fails, jobs wait: it", error
                    )
                self.waits = True
            else:
                if self.waits:
                    logger.info("The engine's file can be used again; jobs go on")
                self.waits = False
                return done
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    def get(self, job_id: str) -> JobRecord:
        """Return a job.

        Raises:
            ApiError: 404 if it does not exist.
        """
        job = self._jobs.get(job_id)
        if job is None:
            raise ApiError(
                404,
                f"Could not find fine tune: {job_id}",
                code="fine_tune_not_found",
                param="fine_tuning_job_id",
            )
        return job

    def with_status(self, *status: JobState) -> list[JobRecord]:
        """Return the jobs that are in one of these states, oldest first."""
        marks = ", ".join("?" for _ in status)
        return self._jobs.all(Where(f"json_extract(body, '$.status') IN ({marks})", status))

    def ids(self) -> set[str]:
        """Return the ids of all jobs."""
        return {job.id for job in self._jobs.all()}

    def page(
        self, *, limit: int, after: str | None, metadata: Mapping[str, str] | None
    ) -> Page[JobRecord]:
        """Return a part of the list of jobs, newest first.

        Only of those that carry these pairs of metadata; None is for jobs without metadata.
        """
        if metadata is None:
            where = [Where("json_extract(body, '$.metadata') IS NULL")]
        else:
            # A key may hold any character, so it can't be part of a JSON path.
            pair = "SELECT 1 FROM json_each(body, '$.metadata') WHERE key = ? AND value = ?"
            where = [Where(f"EXISTS ({pair})", item) for item in metadata.items()]
        return self._jobs.page(limit=limit, after=after, where=where)

    def events(self, job_id: str, *, limit: int, after: str | None) -> Page[EventRecord]:
        """Return a part of a job's events, newest first."""
        where = [Where("json_extract(body, '$.job') = ?", (self.get(job_id).id,))]
        return self._events.page(limit=limit, after=after, where=where)

    def metrics(self, job_id: str) -> list[dict[str, Any]]:
        """Return the metrics of a job, by step.

        Of steps that were repeated, after the engine was killed, the last metrics count.
        """
        where = Where(
            "json_extract(body, '$.job') = ? AND json_extract(body, '$.type') = 'metrics'",
            (job_id,),
        )
        by_step = {event.data["step"]: event.data for event in self._events.all(where)}
        return [by_step[step] for step in sorted(by_step)]

    def checkpoints(self, job_id: str, *, limit: int, after: str | None) -> Page[Checkpoint]:
        """Return a part of a job's checkpoints, newest first."""
        where = [Where("json_extract(body, '$.fine_tuning_job_id') = ?", (self.get(job_id).id,))]
        return self._checkpoints.page(limit=limit, after=after, where=where)

    def note(
        self,
        job: JobRecord,
        message: str,
        *,
        level: Literal["info", "warn", "error"] = "info",
        metrics: Mapping[str, Any] | None = None,
    ) -> None:
        """Save a job, with an event that describes the change."""
        event = EventRecord(
            id=new_id("ftevent"),
            created_at=now(),
            job=job.id,
            level=level,
            type="message" if metrics is None else "metrics",
            message=message,
            data=dict(metrics or {}),
        )
        with self.transaction():
            self.save(job)
            self._events.put(event)

    def end(
        self, job: JobRecord, status: JobState, message: str, error: JobErrorRecord | None = None
    ) -> None:
        """Record that a job has ended."""
        assert status in ENDED
        job.status = status
        job.error = error
        job.finished_at = now()
        job.estimated_finish = None
        self.note(job, message, level="error" if error else "info")
