"""One job's training: starts the process, follows its reports, takes over the finished model."""

import asyncio
import json
import shutil
import signal
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.files import Files
from langchain_finetune.local.identifiers import now
from langchain_finetune.local.jobs.child import (
    ChildEvent,
    Done,
    Failed,
    Metrics,
    Settings,
    run_child,
)
from langchain_finetune.local.jobs.journal import Journal
from langchain_finetune.local.jobs.records import Job, JobError
from langchain_finetune.local.jobs.results import result_file
from langchain_finetune.local.jobs.validation import Param
from langchain_finetune.local.models import Models


class Training:
    """What it takes to train a job; see `JobQueue` for the arguments."""

    def __init__(
        self, journal: Journal, files: Files, models: Models, folder: Path, trainer: Sequence[str]
    ) -> None:
        self._journal = journal
        self._files = files
        self._models = models
        self._folder = folder
        self._trainer = trainer

    async def run(self, job: Job) -> None:
        """Train a queued job until it has succeeded or failed.

        Cancelling this stops the training and leaves the job's record alone.
        """
        job.status = "running"
        job.settle(job.requested)
        self._journal.note(job, "Fine-tuning job started")
        own = self._folder / job.id
        own.mkdir(mode=0o700, exist_ok=True)
        # A folder of its own for every start: the process of a killed engine may still be ending.
        for stale in own.glob("run-*"):
            shutil.rmtree(stale, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=own, prefix="run-", ignore_cleanup_errors=True) as run:
            try:
                settings = await self._settings(job, Path(run))
            except ApiError as error:
                fault = JobError(
                    code=error.code or "server_error", message=error.message, param=error.param
                )
                self._journal.end(job, "failed", fault.message, fault)
                return
            path = Path(run) / "settings.json"
            path.write_text(json.dumps(settings))
            follower = _Follower(self._journal, job)
            status = await run_child(self._trainer, path, own / "trainer.log", follower.take)
            # From here on nothing waits, so the job can't be cancelled half-way.
            if failure := follower.fault(status, Path(settings["output"])):
                self._journal.end(job, "failed", failure.message, failure)
            else:
                self._succeed(job, follower, Path(settings["output"]))

    async def _settings(self, job: Job, run: Path) -> dict[str, Any]:
        base = await asyncio.to_thread(self._models.resolve, job.model)
        (run / "work").mkdir()
        return {
            "base": str(base),
            "train": self._path(job.training_file, "training_file"),
            "validation": self._path(job.validation_file, "validation_file"),
            "output": str(run / "model"),
            "work": str(run / "work"),
            "hyperparameters": job.requested.model_dump(),
            "seed": job.seed,
        }

    def _path(self, file_id: str | None, param: Param) -> str | None:
        if file_id is None:
            return None
        try:
            return str(self._files.path(file_id))
        except ApiError as error:
            # It was deleted while the job waited.
            raise ApiError(400, error.message, code=f"invalid_{param}", param=param) from None

    def _succeed(self, job: Job, follower: "_Follower", output: Path) -> None:
        results = self._files.add_results(result_file(follower.metrics), "step_metrics.csv")
        job.fine_tuned_model = self._models.keep(
            output, job=job.id, model=job.model, suffix=job.user_provided_suffix
        )
        job.trained_tokens = follower.trained_tokens
        job.result_files = [results.id]
        self._journal.note(job, f"New fine-tuned model created: {job.fine_tuned_model}")
        self._journal.end(job, "succeeded", "The job has successfully completed")


class _Follower:
    """Turns the trainer's reports into events, and remembers what the end needs."""

    def __init__(self, journal: Journal, job: Job) -> None:
        self._journal = journal
        self._job = job
        self._started_at = time.monotonic()
        self._failure: Failed | None = None
        self._done = False
        self.metrics: list[dict[str, Any]] = []
        self.trained_tokens: int | None = None

    def take(self, event: ChildEvent) -> None:
        match event:
            case Settings():
                self._started_at = time.monotonic()
                self._job.settle(event.hyperparameters)
                self._journal.note(
                    self._job,
                    f"Training on {event.examples} examples in {event.total_steps} steps "
                    f"({event.method})",
                )
            case Metrics():
                self._take_metrics(event)
            case Done():
                self._done = True
                self.trained_tokens = event.trained_tokens
            case Failed():
                self._failure = event

    def _take_metrics(self, event: Metrics) -> None:
        self.metrics.append(event.data())
        if event.step > 0:
            per_step = (time.monotonic() - self._started_at) / event.step
            left = max(event.total_steps - event.step, 0)
            self._job.estimated_finish = now() + round(per_step * left)
        loss = "" if event.train_loss is None else f": training loss={event.train_loss:.4g}"
        message = f"Step {event.step}/{event.total_steps}{loss}"
        self._journal.note(self._job, message, metrics=event.data())

    def fault(self, status: int, output: Path) -> JobError | None:
        """Return why the training failed, or None where it left a model."""
        if self._failure:
            return JobError(code=self._failure.code, message=self._failure.message)
        if status < 0:
            name = signal.Signals(-status).name
            hint = "; the machine may lack memory" if status == -signal.SIGKILL else ""
            message = f"The training process was ended by {name}{hint}."
        elif status or not self._done or not output.is_dir():
            message = f"The training process ended too early, with status {status}."
        else:
            return None
        return JobError(code="server_error", message=f"{message} Its log is in the job's folder.")
