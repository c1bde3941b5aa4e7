"""The jobs and their events: reads them, and writes each change together with its event."""

from collections.abc import Mapping
from typing import Any, Literal

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
from langchain_finetune.local.sqlite import Database, Where


class Journal:
    """The jobs and their events; `save` and `add_checkpoint` write one record down."""

    def __init__(self, database: Database) -> None:
        self.transaction = database.transaction
        self._jobs = Table(database, "jobs", JobRecord)
        self._events = Table(database, "events", EventRecord)
        self._checkpoints = Table(database, "checkpoints", Checkpoint)
        self.save = self._jobs.put
        self.add_checkpoint = self._checkpoints.put

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
