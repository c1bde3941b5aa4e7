"""The queue in this process: what engines that are processes do not show."""

import asyncio
import io
import sqlite3
import sys
from pathlib import Path

import pytest

from langchain_finetune.local.documents import open_records
from langchain_finetune.local.files import Files
from langchain_finetune.local.identifiers import new_id, now
from langchain_finetune.local.jobs.journal import Journal
from langchain_finetune.local.jobs.queue import JobQueue
from langchain_finetune.local.jobs.schemas import ENDED, JobRecord, method_object
from langchain_finetune.local.models import Models
from langchain_finetune.methods import Hyperparameters

TRAINER = str(Path(__file__).with_name("fake_trainer.py"))


class FullDisk(Journal):
    """Of an engine whose disk is full for as long as a job has checkpoints on it.

    Attributes:
        from_metrics: It is so from the first metrics on, not just when the trainer has ended.
    """

    def __init__(self, database, jobs, *, from_metrics):
        super().__init__(database)
        self.from_metrics = from_metrics
        self._jobs_folder = jobs

    def note(self, job, message, **options):
        is_end = job.status in ENDED
        full = any(self._jobs_folder.glob("*/work/step"))
        if full and (is_end or (self.from_metrics and options.get("metrics"))):
            raise sqlite3.OperationalError("database or disk is full")
        super().note(job, message, **options)


@pytest.fixture
def make(tmp_path, jsonl):
    """Makes a queue on one home, with a file; yields its journal, too."""
    database = open_records(tmp_path / "engine.sqlite")
    files = Files(database, tmp_path / "files")
    models = Models(
        database, tmp_path / "models", aliases={}, resolve_base=lambda _: tmp_path / "base"
    )
    (tmp_path / "base").mkdir()

    async def make(make_journal):
        journal = make_journal(database, tmp_path / "jobs")
        command = (sys.executable, TRAINER, str(tmp_path / "record"))
        queue = JobQueue(journal, files, models, tmp_path / "jobs", command)
        file = await files.upload(io.BytesIO(jsonl()), "a.jsonl")
        queue.start()

        def create(seed):
            auto = Hyperparameters()
            job = JobRecord(
                id=new_id("ftjob"), created_at=now(), model="base", training_file=file.id,
                method=method_object("supervised", auto), hyperparameters=auto, requested=auto,
                seed=seed,
            )  # fmt: skip
            return queue.add(job).id

        return queue, journal, create

    yield make
    database.close()


async def reach(journal, job, *status):
    async with asyncio.timeout(60):
        while (found := journal.get(job)).status not in status:  # noqa: ASYNC110 - it is on disk
            await asyncio.sleep(0.02)
    return found


@pytest.mark.parametrize("from_metrics", [False, True])
async def test_the_queue_goes_on_after_a_job_has_filled_the_disk(make, way, from_metrics):
    queue, journal, create = await make(
        lambda database, jobs: FullDisk(database, jobs, from_metrics=from_metrics)
    )
    try:
        for _ in range(2):
            found = await reach(journal, create(way.FAIL), *ENDED)
            assert found.status == "failed"
            assert found.error.code == ("server_error" if from_metrics else "example_too_long")
    finally:
        await queue.stop()


async def test_a_pause_is_no_start_that_got_no_further(make, way, monkeypatch):
    """Also where the trainer could not save its state in time, and was killed."""
    monkeypatch.setattr("langchain_finetune.local.jobs.queue.PAUSE_S", 0.1)
    monkeypatch.setattr("langchain_finetune.local.jobs.training.MAX_STARTS", 2)
    queue, journal, create = await make(lambda database, _: Journal(database))
    try:
        job = create(way.STUBBORN)
        for _ in range(3):
            await reach(journal, job, "running", *ENDED)
            assert (await queue.pause(job)).status == "paused"
            queue.resume(job)
        await reach(journal, job, "running", *ENDED)
        assert (await queue.cancel(job)).status == "cancelled"
    finally:
        await queue.stop()
