"""Turns the reports of a job's training process into events, and records its outcome."""

import signal
import time
from pathlib import Path

from langchain_finetune.display.text import counted
from langchain_finetune.local.identifiers import now
from langchain_finetune.local.jobs.journal import Journal
from langchain_finetune.local.jobs.schemas import JobErrorRecord, JobRecord
from langchain_finetune.local.training.events import (
    LESS_MEMORY,
    OUT_OF_MEMORY,
    Done,
    Failed,
    Metrics,
    Started,
    Stopped,
    TrainingEvent,
    Waiting,
)


class Follower:
    """Follows one training process; what the trainer chose is written into the job.

    `done` is the report of the finished model, and `stopped` says that the process has saved its
    state and ended, as it was asked to. `resumed_from` is the step that it went on from, if any.
    """

    def __init__(self, journal: Journal, job: JobRecord) -> None:
        self._journal = journal
        self._job = job
        self._started_at = time.monotonic()
        self.resumed_from: int | None = None
        self._known = {entry["step"] for entry in journal.metrics(job.id)}
        self._failure: Failed | None = None
        self.done: Done | None = None
        self.stopped = False

    def take(self, event: TrainingEvent) -> None:
        """Take a report."""
        match event:
            case Waiting():
                self._take_waiting(event)
            case Started():
                self._take_start(event)
            case Metrics():
                self._take_metrics(event)
            case Done():
                self.done = event
            case Stopped():
                self.stopped = True
            case Failed():
                self._failure = event

    def fault(self, status: int, model: Path) -> JobErrorRecord | None:
        """Return why the training failed, or None if the process ended well and left its model."""
        if self._failure:
            return JobErrorRecord(code=self._failure.code, message=self._failure.message)
        if status == OUT_OF_MEMORY:
            return JobErrorRecord(code="out_of_memory", message=f"Memory ran out: {LESS_MEMORY}.")
        if status == -signal.SIGKILL:
            message = "The training process was killed, most likely since memory ran out"
            return JobErrorRecord(code="out_of_memory", message=f"{message}: {LESS_MEMORY}.")
        if status < 0:
            message = f"The training process was ended by {signal.Signals(-status).name}."
        elif status or not self.done or not (self.done.hosted or model.is_dir()):
            message = f"The training process ended too early, with status {status}."
        else:
            return None
        message += " Its log is in the job's folder."
        return JobErrorRecord(code="server_error", message=message)

    def _take_waiting(self, event: Waiting) -> None:
        if event.reason:
            self._job.status = "queued"
            self._job.estimated_finish = None
            self._journal.note(self._job, event.reason, level="warn")
        elif self._job.status == "queued":
            self._job.status = "running"
            self._journal.note(self._job, "The host goes on with the training")

    def _take_start(self, event: Started) -> None:
        self._started_at = time.monotonic()
        self.resumed_from = event.resumed_from
        first = event.resumed_from or 0
        if first > self._job.reached:
            self._job.reached, self._job.starts = first, 1
        self._job.settle(event.hyperparameters)
        self._job.examples = event.examples
        again = f", going on after step {first}" if first else ""
        where = f" at {self._job.host.base_url}" if self._job.host else ""
        packed = ", packed" if event.hyperparameters.packing is True else ""
        self._journal.note(
            self._job,
            f"Training on {counted(event.examples, 'example')} in "
            f"{counted(event.total_steps, 'step')} ({event.method}{packed}){where}{again}",
        )

    def _take_metrics(self, event: Metrics) -> None:
        first = self.resumed_from or 0
        if event.step <= first and event.step in self._known:
            return
        if event.step > first:
            spent = time.monotonic() - self._started_at
            left = max(event.total_steps - event.step, 0) / (event.step - first)
            self._job.estimated_finish = now() + round(spent * left)
        self._job.status = "running"
        data = event.model_dump()
        names = {"training": data.get("train_loss"), "validation": data.get("valid_loss")}
        losses = [f"{name} loss={loss:.4g}" for name, loss in names.items() if loss is not None]
        message = f"Step {event.step}/{event.total_steps}"
        message += f": {', '.join(losses)}" if losses else ""
        self._journal.note(self._job, message, metrics=event.data())
