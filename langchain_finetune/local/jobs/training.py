"""Training of a job: starts the process, follows its reports, registers the models."""

import asyncio
import base64
import contextlib
import csv
import io
import shutil
import signal
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from langchain_finetune.durable import flush_tree
from langchain_finetune.home import host_key_file
from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.files import Files
from langchain_finetune.local.hardware import require_space
from langchain_finetune.local.identifiers import new_id, now
from langchain_finetune.local.jobs.child import (
    GRACE_S,
    HOST_GRACE_S,
    TRAINER,
    Child,
    LostChildError,
    follow_child,
    start_child,
)
from langchain_finetune.local.jobs.file_check import Param
from langchain_finetune.local.jobs.follower import Follower
from langchain_finetune.local.jobs.journal import Journal
from langchain_finetune.local.jobs.leftovers import Leftovers
from langchain_finetune.local.jobs.schemas import ENDED, Checkpoint, JobErrorRecord, JobRecord
from langchain_finetune.local.jobs.warm_child import WarmTrainer, can_be_forked
from langchain_finetune.local.models import Models
from langchain_finetune.local.training.checkpoints import set_aside
from langchain_finetune.local.training.events import (
    LESS_MEMORY,
    WORKER_LOST,
    Done,
    Measures,
    TrainingEvent,
)
from langchain_finetune.local.training.machines.settings import Machines
from langchain_finetune.local.training.spec import Spec

_FULL = {
    "valid_loss": "full_valid_loss",
    "valid_mean_token_accuracy": "full_valid_mean_token_accuracy",
}
"""OpenAI's names for metrics of a whole validation file, as all of them are here."""

_COLUMNS = {
    "step": "step",
    "train_loss": "train_loss",
    "train_accuracy": "train_mean_token_accuracy",
    "valid_loss": "valid_loss",
    "valid_mean_token_accuracy": "valid_mean_token_accuracy",
}
"""Columns of the result file (OpenAI's fine-tuning guide), and the metrics that fill them."""

MAX_STARTS = 5
"""Starts in a row without a new checkpoint before a job is given up: where the engine ended during
each of them, training it may be the cause (memory, most likely)."""

_UNEXPLAINED = {"internal_error", "server_error"}
"""Codes of failures that a damaged checkpoint may have caused."""

_INTERRUPTED = JobErrorRecord(
    code="training_interrupted",
    message=f"The engine ended {MAX_STARTS} times while it trained this job, each time before"
    f" there was a new checkpoint, so it is given up. Where memory is short, {LESS_MEMORY}.",
)

_GIVEN_UP = (
    f" The job is given up after {MAX_STARTS} starts without a new checkpoint. Where memory is"
    f" short, {LESS_MEMORY}."
)


class Training:
    """Trains one job after the other; see `JobQueue` for the arguments."""

    def __init__(
        self,
        journal: Journal,
        files: Files,
        models: Models,
        folder: Path,
        trainer: Sequence[str] | None,
        *,
        machines: Machines | None = None,
    ) -> None:
        self._journal = journal
        self._files = files
        self._models = models
        self._folder = folder
        self._trainer = trainer
        self._machines = machines
        self._warm = WarmTrainer(folder)
        self.leftovers = Leftovers(folder, trainer)

    async def run(self, job: JobRecord, stop: asyncio.Event) -> None:
        """Train a queued job until it has succeeded or failed, or is asked to stop.

        Cancelling this kills the training and leaves the job's record as it is. Checkpoints stay
        in the job's folder until the job has ended; see `tidy`. When `stop` is set, the training
        saves its state and ends.
        """
        while await self._start(job, stop):
            pass

    async def close(self) -> None:
        """End what was kept for the next job."""
        await self._warm.close()

    async def _start(self, job: JobRecord, stop: asyncio.Event) -> bool:
        """Train a job; return whether it has to be started again, from an earlier checkpoint."""
        if job.starts >= MAX_STARTS:
            self._journal.end(job, "failed", _INTERRUPTED.message, _INTERRUPTED)
            return False
        job.status = "running"
        job.starts += 1
        job.started_at = job.started_at or now()
        job.settle(job.requested)
        self._journal.note(job, "Fine-tuning job started")
        own = self._folder / job.id
        work = own / "work"
        work.mkdir(mode=0o700, parents=True, exist_ok=True)
        # A folder of its own for every start: the process of a killed engine may still be ending.
        for stale in own.glob("run-*"):
            shutil.rmtree(stale, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=own, prefix="run-", ignore_cleanup_errors=True) as run:
            output = Path(run) / "models"
            try:
                spec = await self._spec(job, work, output)
            except ApiError as error:
                fault = JobErrorRecord(
                    code=error.code or "server_error", message=error.message, param=error.param
                )
                self._journal.end(job, "failed", fault.message, fault)
                return False
            path = Path(run) / "spec.json"
            path.write_text(spec.model_dump_json())
            follower = Follower(self._journal, job)
            log = own / "trainer.log"

            async def take(event: TrainingEvent) -> None:
                await self._journal.patiently(lambda: follower.take(event))

            grace_s = HOST_GRACE_S if job.host else GRACE_S
            child = await self._child(spec, path, log)
            try:
                status = await follow_child(child, take, stop, grace_s=grace_s)
            except LostChildError:
                self._journal.note(job, "The training process was lost; again.", level="warn")
                return True
            if follower.done and output.is_dir():
                await asyncio.to_thread(flush_tree, output)
            # There is no await from here on, so the job can't be cancelled half-way.
            if follower.stopped:
                job.starts = 0
                self._journal.save(job)
                return False
            failure = follower.fault(status, output / "model")
            if self._starts_again(job, follower, failure, status):
                return True
            if failure:
                # First, since the record needs some of the disk that checkpoints may have filled.
                self.clear(job)
                self._journal.end(job, "failed", failure.message, failure)
            elif follower.done:
                self._succeed(job, follower.done, output)
        return False

    def _starts_again(
        self, job: JobRecord, follower: Follower, failure: JobErrorRecord | None, status: int
    ) -> bool:
        """Return whether a training that has broken is started again, and note why."""
        work = self._folder / job.id / "work"
        if job.host and status < 0 and not follower.done:
            # Its session has to be closed, and the host has what was trained so far.
            message = f"The training process was ended by {signal.Signals(-status).name}; again"
        elif failure and failure.code == WORKER_LOST:
            if job.starts >= MAX_STARTS:
                failure.message += _GIVEN_UP
                return False
            message = f"{failure.message} All start again, from the last checkpoint."
        elif failure and failure.code in _UNEXPLAINED and set_aside(work, follower.resumed_from):
            message = (
                f"The training broke when it went on after step {follower.resumed_from}: the"
                " checkpoint may be damaged, so it goes on from an earlier one, or starts over."
            )
        else:
            return False
        self._journal.note(job, message, level="warn")
        return True

    async def _child(self, spec: Spec, path: Path, log: Path) -> Child:
        child = None
        if self._trainer is None and can_be_forked(spec):
            child = await self._warm.start(path, log)
        listener = spec.machines.listener if spec.machines else None
        return child or await start_child(self._trainer or TRAINER, path, log, listener=listener)

    def tidy(self, job: JobRecord) -> None:
        """Remove the temporary files of a job that has ended, except its log.

        What it has left at a host is closed later: until then, the files that say so stay.
        """
        if job.status in ENDED and not self.leftovers.has(job):
            for folder in (self._folder / job.id).glob("*/"):
                shutil.rmtree(folder, ignore_errors=True)

    def clear(self, job: JobRecord) -> None:
        """Free the disk of what a job has, except its log and what tells what is at its host."""
        work = self._folder / job.id / "work"
        for folder in (self._folder / job.id).glob("*/"):
            if not (job.host and folder == work):
                shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(work / "adapter", ignore_errors=True)

    def sweep(self) -> list[JobRecord]:
        """Remove what a killed engine has left of ended jobs; return those with more at a host."""
        left = []
        for folder in {path.parent for path in self._folder.glob("*/*/")}:
            with contextlib.suppress(ApiError):
                job = self._journal.get(folder.name)
                self.tidy(job)
                if self.leftovers.has(job):
                    left.append(job)
        return left

    async def close_left(self, job: JobRecord) -> None:
        """Close what an ended job has left at its host; if that fails, the next start tries again.

        Raises:
            OSError: The process that does so can't be started.
        """
        if await self.leftovers.close(job):
            self.tidy(job)

    async def _spec(self, job: JobRecord, work: Path, output: Path) -> Spec:
        host, validation = job.host, job.validation_file
        if host and host.weights == "host":
            base = await asyncio.to_thread(self._models.tokenizer_of, job.model)
        else:
            base = await asyncio.to_thread(self._models.resolve, job.model)
            await asyncio.to_thread(require_space, self._folder, base)
        return Spec(
            base=str(base),
            name=self._models.base_of(job.model),
            method=job.method_type,
            train=self._path(job.training_file, "training_file"),
            validation=validation and self._path(validation, "validation_file"),
            output=output,
            work=work,
            hyperparameters=job.requested,
            seed=job.seed,
            machines=None if host else self._machines,
            host=host,
            host_key=host and host_key_file(self._folder.parent, host.base_url),
            job=job.id,
            suffix=job.user_provided_suffix,
        )

    def _path(self, file_id: str, param: Param) -> Path:
        try:
            return self._files.path(file_id)
        except ApiError as error:
            # It was deleted while the job waited.
            raise ApiError(400, error.message, code=f"invalid_{param}", param=param) from None

    def _succeed(self, job: JobRecord, done: Done, output: Path) -> None:
        """Take over the models.

        If the engine is killed in here, the next start goes on from the last checkpoint.
        """
        metrics = self._journal.metrics(job.id)
        with self._journal.transaction():
            results = self._files.add_results(result_file(metrics), "step_metrics.csv")
            if (output / "model").is_dir():
                job.fine_tuned_model = self._models.keep(
                    output / "model", job=job.id, model=job.model, suffix=job.user_provided_suffix
                )
            else:
                job.fine_tuned_model = done.hosted[done.step]
            for measures in done.checkpoints:
                hosted = done.hosted.get(measures.step)
                self._keep_checkpoint(
                    job, measures, output, best=measures.step == done.step, hosted=hosted
                )
            job.trained_tokens = done.trained_tokens
            job.result_files = [results.id]
            best = f", from step {done.step}" if len(done.checkpoints) > 1 else ""
            self._journal.note(job, f"New fine-tuned model created: {job.fine_tuned_model}{best}")
            self._journal.end(job, "succeeded", "The job has successfully completed")
        self._files.settle(results)

    def _keep_checkpoint(
        self, job: JobRecord, measures: Measures, output: Path, *, best: bool, hosted: str | None
    ) -> None:
        assert job.fine_tuned_model
        name = job.fine_tuned_model
        step = measures.step
        if not best and hosted:
            name = hosted
        elif not best:
            name = self._models.keep_checkpoint(output / f"step-{step}", model=name, step=step)
        metrics = measures.data()
        metrics |= {full: metrics[part] for part, full in _FULL.items() if part in metrics}
        self._journal.add_checkpoint(
            Checkpoint(
                id=new_id("ftckpt").replace("-", "_", 1),
                created_at=now(),
                fine_tuning_job_id=job.id,
                fine_tuned_model_checkpoint=name,
                step_number=step,
                metrics=metrics,
            )
        )


def result_file(metrics: Iterable[Mapping[str, Any]]) -> bytes:
    """Return the table of a job's metrics as OpenAI's result file: CSV, encoded in base64.

    Example:
        >>> base64.b64decode(result_file([{"step": 1, "train_loss": 0.5}])).decode().split()[1]
        '1,0.5,,,'
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows([row.get(metric, "") for metric in _COLUMNS.values()] for row in metrics)
    return base64.b64encode(text.getvalue().encode())
