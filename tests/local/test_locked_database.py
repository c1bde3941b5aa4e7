"""Another program, such as a backup, locks the engine's file for longer than it waits."""

import json
import sqlite3
import time
import urllib.request
from contextlib import closing, contextmanager

import openai
import pytest


@contextmanager
def locked(home):
    with closing(sqlite3.connect(home / "engine.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def health(engine):
    with urllib.request.urlopen(f"{engine.url}/health") as answer:
        return json.load(answer)["jobs"]


@pytest.mark.parametrize("when", ["before it trains", "while it trains", "when it ends"])
def test_a_job_waits_for_the_lock_and_goes_on(start, until, jsonl, way, when):
    with start() as engine, engine.client() as client:
        jobs = client.fine_tuning.jobs
        file = client.files.create(file=("a.jsonl", jsonl()), purpose="fine-tune").id
        seed = way.WAIT if when == "when it ends" else way.SLOW
        held = jobs.create(model="nano", training_file=file, seed=way.WAIT)
        until(lambda: jobs.retrieve(held.id).status == "running")
        job = held
        if seed == way.SLOW:
            job = jobs.create(
                model="nano",
                training_file=file,
                seed=way.SLOW,
                hyperparameters={"n_epochs": 40},
            )
            until(lambda: jobs.retrieve(job.id).status == "queued")
        if when == "while it trains":
            jobs.cancel(held.id)
            until(lambda: jobs.retrieve(job.id).status == "running")
        with locked(engine.home):
            (engine.home / "go").touch()
            until(lambda: health(engine) != "ok")
            begun = time.monotonic()
            with pytest.raises(openai.InternalServerError) as refused:
                client.files.create(file=("a.jsonl", b"{}"), purpose="fine-tune")
            assert refused.value.code == "database_locked"
            assert time.monotonic() - begun < 4
            # Longer than SQLite itself waits, by default.
            time.sleep(6)
        until(lambda: jobs.retrieve(job.id).status == "succeeded")
        assert health(engine) == "ok"
        other = jobs.create(model="nano", training_file=file, seed=way.SUCCEED)
        until(lambda: jobs.retrieve(other.id).status == "succeeded")
        wanted = 40 if seed == way.SLOW else 3
        events = [event.data for event in jobs.list_events(job.id, limit=100) if event.data]
        steps = {event["step"] for event in events if "step" in event}
        assert steps == set(range(1, wanted + 1))
