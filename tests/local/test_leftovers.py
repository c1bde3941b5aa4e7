"""What an engine that was killed leaves behind, and what the next one makes of it."""

import sys

import pytest

from langchain_finetune.local.jobs.leftovers import Leftovers
from langchain_finetune.local.jobs.schemas import JobRecord
from langchain_finetune.local.jobs.training import MAX_STARTS
from langchain_finetune.local.training.loop.position import Position


def ended(until, jobs, job):
    until(lambda: jobs.retrieve(job).status in {"succeeded", "failed"})
    return jobs.retrieve(job)


def test_only_what_is_nobodys_goes(start, until, jsonl, way):
    with start() as engine, engine.client() as client:
        file = client.files.create(file=("a.jsonl", jsonl()), purpose="fine-tune").id
        upload = client.uploads.create(
            filename="b.jsonl", bytes=9, mime_type="text/plain", purpose="fine-tune"
        ).id
        part = client.uploads.parts.create(upload, data=b"123456789").id
        made = client.fine_tuning.jobs.create(
            model="nano", training_file=file, seed=way.SUCCEED, suffix="mine"
        )
        job = ended(until, client.fine_tuning.jobs, made.id)
        home = engine.home
    known = {path for path in home.rglob("*") if path.is_relative_to(home / "models")}
    # It was killed between the record and the content's name, or before the record.
    (home / "files" / file).rename(home / "files" / f"{file}.new")
    nobodys = [
        home / "files" / "file-0123456789abcdefghijklmn.new",
        home / "uploads" / upload / "part-0123456789abcdefghijklmn.new",
        home / "uploads" / upload / "whole.new",
        home / "models" / f"{job.id}-step-99" / "model.safetensors",
        home / "jobs" / job.id / "run-abc" / "settings.json",
    ]
    # Not the engine's, or of a database that is lost.
    others = [
        home / "files" / "notes.txt",
        home / "models" / "ftjob-0123456789abcdefghijklmn" / "model.safetensors",
        home / "jobs" / "ftjob-0123456789abcdefghijklmn" / "trainer.log",
    ]
    for path in nobodys + others:
        path.parent.mkdir(exist_ok=True, parents=True)
        path.touch()
    nobodys.append(home / "uploads" / "upload-0123456789abcdefghijklmn")
    nobodys[-1].mkdir()
    with start() as engine, engine.client() as client:
        assert client.files.content(file).content == jsonl()
        assert client.uploads.complete(upload, part_ids=[part]).file.bytes == 9
        assert client.models.retrieve(job.fine_tuned_model)
    assert [path for path in nobodys if path.exists()] == []
    assert all(path.exists() for path in others)
    assert known <= set(home.rglob("*"))


@pytest.mark.timeout(600)
def test_a_job_that_gets_no_further_is_given_up(start, until, jsonl, way):
    """Its trainer starts again and again, from the same checkpoint, and its engine is killed."""
    job = None
    for starts in range(1, MAX_STARTS + 2):
        with start(stop=False) as engine, engine.client() as client:
            if job is None:
                file = client.files.create(file=("a.jsonl", jsonl()), purpose="fine-tune").id
                jobs = client.fine_tuning.jobs
                job = jobs.create(model="nano", training_file=file, seed=way.WAIT).id
            events = client.fine_tuning.jobs.list_events
            until(
                lambda: sum("Training on" in each.message for each in events(job)) == starts,  # noqa: B023
                seconds=120,
            )
            until(lambda: events(job).data[0].message.startswith(("Step 3/3", "Training on")))  # noqa: B023
            engine.process.kill()
            engine.process.wait()
    with start() as engine, engine.client() as client:
        found = ended(until, client.fine_tuning.jobs, job)
        assert (found.status, found.error.code) == ("failed", "training_interrupted")
        assert "batch_size" in found.error.message
        assert len(engine.started()) == MAX_STARTS + 1
        # The queue goes on.
        made = client.fine_tuning.jobs.create(
            model="nano", training_file=found.training_file, seed=way.SUCCEED
        )
        assert ended(until, client.fine_tuning.jobs, made.id).status == "succeeded"


HOST = {"name": "tinker", "base_url": "https://host.example"}
FAILS = """
import json, sys
print(json.dumps({"event": "failed", "code": "host_unavailable", "message": "It is away."}))
sys.exit(1)
"""


def hosted(**settings):
    given = {"id": "ftjob-1", "created_at": 1, "model": "nano", "training_file": "file-1"}
    given |= {"method": {"type": "supervised"}, "seed": 1}
    given |= {"hyperparameters": {}, "requested": {}, "host": HOST, "status": "cancelled"}
    return JobRecord.model_validate(given | settings)


@pytest.mark.parametrize(
    ("program", "told"),
    [(FAILS, "It is away."), ("import sys; sys.exit(3)", "its process ended with status 3")],
)
async def test_what_a_host_does_not_close_is_tried_again(tmp_path, caplog, program, told):
    leftovers = Leftovers(tmp_path, [sys.executable, "-c", program])
    job = hosted()
    Position(sessions=["session1"]).write(work_of(tmp_path, job))
    assert leftovers.has(job)
    assert await leftovers.close(job) is False
    assert f"what it left at {HOST['base_url']} is not closed yet" in caplog.text
    assert told in caplog.text
    assert not (tmp_path / job.id / "closing.json").exists()


def work_of(folder, job):
    work = folder / job.id / "work"
    work.mkdir(parents=True)
    return work


def test_a_position_that_can_not_be_read_names_nothing_to_close(tmp_path):
    job = hosted()
    (work_of(tmp_path, job) / "position.json").write_text("{")
    leftovers = Leftovers(tmp_path, None)
    assert leftovers.has(job) is False
    assert leftovers.has(hosted(host=None)) is False
    assert leftovers.has(hosted(status="running")) is False
