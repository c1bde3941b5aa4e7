"""Runs the jobs: checks their files, then trains them one at a time, in the order they came."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.files import Files
from langchain_finetune.local.jobs.file_check import Param, check_training_file, require_uploaded
from langchain_finetune.local.jobs.journal import Journal
from langchain_finetune.local.jobs.schemas import ENDED, JobErrorRecord, JobRecord, JobState
from langchain_finetune.local.jobs.training import Training
from langchain_finetune.local.models import Models
from langchain_finetune.local.safe_logging import log_failure
from langchain_finetune.local.sqlite import DatabaseLockedError
from langchain_finetune.local.training.machines.settings import Machines

logger = logging.getLogger(__name__)

MAX_WAITING = 100
"""Maximum number of waiting jobs; a client that creates more is most likely in a loop."""

PAUSE_S = 30.0
"""How long a training may take to save its state before it is killed."""

STOP_S = 5.0
"""The same when the engine stops."""

T = TypeVar("T")

_WAITING: tuple[JobState, ...] = ("validating_files", "queued")
_BROKEN = JobErrorRecord(code="server_error", message="The engine failed; see its log.")


class JobQueue:
    """The jobs of one engine; all methods belong to the event loop's thread.

    `folder` holds a folder for each job: the trainer's log, checkpoints, unfinished models. The
    path of a specification follows the command `trainer`, where one replaces the engine's own.
    Training processes run on the `machines`, or here alone.
    """

    def __init__(
        self,
        journal: Journal,
        files: Files,
        models: Models,
        folder: Path,
        trainer: Sequence[str] | None = None,
        *,
        machines: Machines | None = None,
    ) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        self._journal = journal
        self._files = files
        self._models = models
        self._training = Training(journal, files, models, folder, trainer, machines=machines)
        self._stop_training = asyncio.Event()
        self._wake = {status: asyncio.Event() for status in _WAITING}
        self._stopping = False
        self._pausing: set[str] = set()
        self._workers: list[asyncio.Task[None]] = []
        self._steps: dict[str, asyncio.Task[None]] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Start; an unfinished job of a previous engine is resumed."""
        self._files.sweep()
        self._models.sweep(self._journal.ids())
        self._close_left(self._training.sweep())
        for job in self._journal.with_status("queued", "running"):
            job.status = "queued"
            job.estimated_finish = None
            message = "The engine was started again; the job is queued again."
            self._journal.note(job, message, level="warn")
        self._workers = [
            asyncio.create_task(self._work("validating_files", self._validate)),
            asyncio.create_task(self._work("queued", self._train)),
        ]

    async def stop(self) -> None:
        """Stop; a running job saves its state, and is resumed at the next start."""
        self._stopping = True
        self._stop_training.set()
        for job in self._journal.with_status("running"):
            if step := self._steps.get(job.id):
                await asyncio.wait([step], timeout=STOP_S)
        ending = [*self._workers, *self._closing]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        await self._training.close()

    def add(self, job: JobRecord) -> JobRecord:
        """Take on a job for a model that exists.

        Raises:
            ApiError: 400 if a file cannot be trained on; 429 if too many jobs are queued.
        """
        if len(self._journal.with_status(*_WAITING)) >= MAX_WAITING:
            raise ApiError(
                429,
                f"{MAX_WAITING} jobs are waiting: let some end, or cancel some.",
                code="rate_limit_exceeded",
            )
        for param, file_id in _files_of(job):
            require_uploaded(self._files, file_id, param)
        self._journal.note(job, f"Created fine-tuning job: {job.id}")
        self._wake["validating_files"].set()
        return job

    async def cancel(self, job_id: str) -> JobRecord:
        """Cancel a job; when this returns, it no longer runs.

        Raises:
            ApiError: 404 if it does not exist, 400 if it has ended.
        """
        job = self._journal.get(job_id)
        if job.status in ENDED:
            raise ApiError(400, f"Job has already ended: {job_id}", code="job_already_ended")
        self._journal.end(job, "cancelled", "Fine-tuning job cancelled")
        await self._break_off(job_id)
        self._tidy(job)
        return job

    async def pause(self, job_id: str) -> JobRecord:
        """Pause a job; when this returns, its state is saved and it no longer runs.

        Raises:
            ApiError: 404 if it does not exist, 400 if it has ended or is paused.
        """
        job = self._journal.get(job_id)
        if job.status in ENDED or job.status == "paused":
            message = f"Job is {job.status}, so it can't be paused: {job_id}"
            raise ApiError(400, message, code="invalid_status")
        if job.status == "running" and (step := self._steps.get(job_id)):
            # The step itself records this: until it has ended, it writes the job's record.
            self._pausing.add(job_id)
            self._stop_training.set()
            await asyncio.wait([step], timeout=PAUSE_S)
        else:
            self._note_paused(job)
        await self._break_off(job_id)
        # It may have ended while it was being stopped.
        return self._journal.get(job_id)

    def resume(self, job_id: str) -> JobRecord:
        """Resume a paused job at its old position in the queue.

        Raises:
            ApiError: 404 if it does not exist, 400 if it is not paused.
        """
        job = self._journal.get(job_id)
        if job.status != "paused":
            raise ApiError(400, f"Job is not paused: {job_id}", code="invalid_status")
        job.status = "queued" if job.validated else "validating_files"
        self._journal.note(job, "Fine-tuning job resumed")
        self._wake[job.status].set()
        return job

    async def _break_off(self, job_id: str) -> None:
        if (step := self._steps.get(job_id)) and not step.done():
            step.cancel()
            await asyncio.wait([step])

    def _note_paused(self, job: JobRecord) -> None:
        job.status = "paused"
        job.estimated_finish = None
        # It ended because it was asked to, whether it could save its state in time or not.
        job.starts = 0
        self._journal.note(job, "Fine-tuning job paused")

    async def _work(self, status: JobState, step: Callable[[JobRecord], Awaitable[None]]) -> None:
        while not self._stopping:
            waiting = await self._patiently(partial(self._journal.with_status, status))
            if not waiting:
                self._wake[status].clear()
                await self._wake[status].wait()
                continue
            job = waiting[0]
            task = asyncio.ensure_future(self._step(job, step))
            self._steps[job.id] = task
            # Not awaited directly: an error of one job must not stop the queue.
            (outcome,) = await asyncio.gather(task, return_exceptions=True)
            # The other worker may have started the job meanwhile.
            if self._steps.get(job.id) is task:
                del self._steps[job.id]
            if isinstance(outcome, Exception):
                log_failure(logger, f"Job {job.id}", outcome)
            if not self._stopping:
                await self._patiently(partial(self._settle, job.id, status, outcome))

    async def _patiently(self, act: Callable[[], T]) -> T:
        return await self._journal.patiently(act, through_failures=True)

    def _settle(self, job_id: str, status: JobState, outcome: BaseException | None) -> None:
        """Record how a job goes on whose step has ended, if the step did not."""
        left = self._journal.get(job_id)
        if left.status == status or (left.status == "running" and status == "queued"):
            if isinstance(outcome, DatabaseLockedError):
                # As after a new start of the engine: it goes on from its last checkpoint.
                left.status = status
                left.estimated_finish = None
                self._journal.note(left, "The engine's file was locked; again.", level="warn")
                return
            # First, since what broke may be a disk that is full of the job's checkpoints.
            self._training.clear(left)
            self._journal.end(left, "failed", _BROKEN.message, _BROKEN)
        self._tidy(left)

    def _tidy(self, job: JobRecord) -> None:
        self._training.tidy(job)
        if self._training.leftovers.has(job):
            self._close_left([job])

    def _close_left(self, jobs: Sequence[JobRecord]) -> None:
        """Close what ended jobs have left at their hosts, beside the queue."""
        if jobs:
            task = asyncio.create_task(self._close_each(jobs))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def _close_each(self, jobs: Sequence[JobRecord]) -> None:
        for job in jobs:
            try:
                await self._training.close_left(job)
            except OSError as error:
                log_failure(logger, f"Closing what job {job.id} has left at its host", error)

    async def _step(self, job: JobRecord, step: Callable[[JobRecord], Awaitable[None]]) -> None:
        logger.info("Job %s: %s", job.id, job.status)
        try:
            await step(job)
        finally:
            if job.id in self._pausing:
                self._pausing.discard(job.id)
                left = self._journal.get(job.id)
                if left.status not in ENDED:
                    self._note_paused(left)
        logger.info("Job %s: %s", job.id, job.status)

    async def _train(self, job: JobRecord) -> None:
        self._stop_training.clear()
        await self._training.run(job, self._stop_training)

    async def _validate(self, job: JobRecord) -> None:
        for param, file_id in _files_of(job):
            self._journal.note(job, f"Validating {param.replace('_', ' ')}: {file_id}")
            found = await check_training_file(self._files, file_id, param, job.method_type)
            if found.fault:
                self._journal.end(job, "failed", found.fault.message, found.fault)
                return
            if param == "training_file":
                job.examples = found.examples
            else:
                job.validation_examples = found.examples
        job.status = "queued"
        job.validated = True
        self._journal.note(job, "Files validated, moving job to queued state")
        self._wake["queued"].set()


def _files_of(job: JobRecord) -> Iterator[tuple[Param, str]]:
    yield "training_file", job.training_file
    if job.validation_file:
        yield "validation_file", job.validation_file
