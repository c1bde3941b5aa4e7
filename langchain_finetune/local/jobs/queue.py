"""Runs the jobs: checks their files, then trains them one at a time, in the order they came."""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.files import Files
from langchain_finetune.local.identifiers import new_id, now
from langchain_finetune.local.jobs.journal import Journal
from langchain_finetune.local.jobs.records import ENDED, Hyperparameters, Job, JobError, Status
from langchain_finetune.local.jobs.training import Training
from langchain_finetune.local.jobs.validation import Param, check_file
from langchain_finetune.local.models import Models
from langchain_finetune.local.quiet_log import log_broken

logger = logging.getLogger(__name__)

_BROKEN = JobError(code="server_error", message="The engine failed; its log says where.")


class JobQueue:
    """The jobs of one engine.

    All methods belong to the event loop's thread.

    Args:
        journal: Where jobs and events are written.
        files: The uploaded files.
        models: Where bases come from and finished models go.
        folder: The jobs' own folders: settings, the trainer's log, unfinished models.
        trainer: The command that trains; the path of its settings follows.
    """

    def __init__(
        self, journal: Journal, files: Files, models: Models, folder: Path, trainer: Sequence[str]
    ) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        self._journal = journal
        self._files = files
        self._training = Training(journal, files, models, folder, trainer)
        self._wake: dict[Status, asyncio.Event] = {
            "validating_files": asyncio.Event(),
            "queued": asyncio.Event(),
        }
        self._workers: list[asyncio.Task[None]] = []
        self._steps: dict[str, asyncio.Task[None]] = {}

    def start(self) -> None:
        """Begin to work; jobs that an earlier engine left in the middle go first."""
        for job in self._journal.with_status("queued", "running"):
            job.status = "queued"
            job.estimated_finish = None
            self._journal.note(
                job, "The engine was started again; the job is queued again.", level="warn"
            )
        self._workers = [
            asyncio.create_task(self._work("validating_files", self._validate)),
            asyncio.create_task(self._work("queued", self._training.run)),
        ]
        for worker in self._workers:
            worker.add_done_callback(_tell_if_broken)

    async def stop(self) -> None:
        """Stop working; a running job goes back to the queue at the next start."""
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)

    def create(
        self,
        *,
        model: str,
        training_file: str,
        validation_file: str | None,
        hyperparameters: Hyperparameters,
        suffix: str | None,
        seed: int,
        metadata: Mapping[str, str] | None,
    ) -> Job:
        """Take on a job for a model that exists.

        Raises:
            ApiError: 400 where a file can't be trained on.
        """
        self._require_file(training_file, "training_file")
        if validation_file:
            self._require_file(validation_file, "validation_file")
        job = Job(
            id=new_id("ftjob"),
            created_at=now(),
            model=model,
            training_file=training_file,
            validation_file=validation_file,
            hyperparameters=hyperparameters,
            requested=hyperparameters,
            user_provided_suffix=suffix,
            seed=seed,
            metadata=dict(metadata) if metadata is not None else None,
        )
        job.settle(hyperparameters)
        self._journal.note(job, f"Created fine-tuning job: {job.id}")
        self._wake["validating_files"].set()
        return job

    async def cancel(self, job_id: str) -> Job:
        """Cancel a job; when this returns, nothing of it runs any more.

        Raises:
            ApiError: 404 where there is none, 400 where it has ended.
        """
        job = self._journal.get(job_id)
        if job.status in ENDED:
            raise ApiError(400, f"Job has already ended: {job_id}", code="job_already_ended")
        self._journal.end(job, "cancelled", "Fine-tuning job cancelled")
        if step := self._steps.get(job_id):
            step.cancel()
            await asyncio.wait([step])
        return job

    def _require_file(self, file_id: str, param: Param) -> None:
        try:
            purpose = self._files.get(file_id).purpose
        except ApiError:
            purpose = None
        if purpose != "fine-tune":
            raise ApiError(
                400,
                f"{file_id} is no file uploaded with the purpose fine-tune.",
                code=f"invalid_{param}",
                param=param,
            )

    async def _work(self, status: Status, step: Callable[[Job], Awaitable[None]]) -> None:
        while True:
            waiting = self._journal.with_status(status)
            if not waiting:
                self._wake[status].clear()
                await self._wake[status].wait()
                continue
            job = waiting[0]
            task = asyncio.ensure_future(self._step(job, step))
            self._steps[job.id] = task
            # Not awaited by itself: whatever goes wrong with one job must not stop the queue.
            (outcome,) = await asyncio.gather(task, return_exceptions=True)
            # The other worker may have gone on with the job meanwhile.
            if self._steps.get(job.id) is task:
                del self._steps[job.id]
            if isinstance(outcome, Exception):
                log_broken(logger, f"Job {job.id}", outcome)
            left = self._journal.get(job.id)
            if left.status == status or (left.status == "running" and status == "queued"):
                self._journal.end(left, "failed", _BROKEN.message, _BROKEN)

    async def _step(self, job: Job, step: Callable[[Job], Awaitable[None]]) -> None:
        logger.info("Job %s: %s", job.id, job.status)
        await step(job)
        logger.info("Job %s: %s", job.id, job.status)

    async def _validate(self, job: Job) -> None:
        files: list[tuple[Param, str | None]] = [
            ("training_file", job.training_file),
            ("validation_file", job.validation_file),
        ]
        for param, file_id in files:
            if file_id is None:
                continue
            self._journal.note(job, f"Validating {param.replace('_', ' ')}: {file_id}")
            if fault := await self._fault_of(file_id, param):
                self._journal.end(job, "failed", fault.message, fault)
                return
        job.status = "queued"
        self._journal.note(job, "Files validated, moving job to queued state")
        self._wake["queued"].set()

    async def _fault_of(self, file_id: str, param: Param) -> JobError | None:
        stop = threading.Event()
        try:
            path = self._files.path(file_id)
            return await asyncio.to_thread(check_file, path, param, stop)
        except ApiError as error:
            return JobError(code=f"invalid_{param}", message=error.message, param=param)
        finally:
            # A thread can't be cancelled; it looks at this instead.
            stop.set()


def _tell_if_broken(worker: asyncio.Task[None]) -> None:
    if not worker.cancelled() and (error := worker.exception()):
        logger.error("The job queue stopped; start the engine again.")
        log_broken(logger, "The job queue", error)
