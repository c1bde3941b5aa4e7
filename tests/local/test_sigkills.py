"""SIGKILL at random moments, under load: nothing that was acknowledged is lost.

KILLS=200 KILLS_SEED=1 pytest tests/local/test_sigkills.py
"""

import base64
import hashlib
import os
import random
import time

import httpx
import openai
import pytest

from langchain_finetune.local.jobs.training import MAX_STARTS
from tests.local.sigkill_load import ENDED, Book, finish, under_load

KILLS = int(os.environ.get("KILLS", "4"))
SEED = int(os.environ.get("KILLS_SEED", "7"))
ACTORS = 3
JOBS_A_KILL = 1


@pytest.mark.timeout(600 + 60 * KILLS)
def test_sigkills_lose_nothing(start, until):
    chance, book = random.Random(SEED), Book()
    for kill in range(KILLS):
        with start(stop=False) as engine:
            with reader(engine) as store, engine.client() as client:
                if kill % 10 == 0 or kill < 10:
                    check(book, client, store)
            most_jobs = JOBS_A_KILL * (kill + 1)
            with under_load(engine, book, f"{SEED}.{kill}", ACTORS, most_jobs):
                time.sleep(chance.uniform(0.05, 2))
                engine.process.kill()
                engine.process.wait()
    with start() as engine, reader(engine) as store, engine.client() as client:
        check(book, client, store)
        for upload in book.sure(list(book.uploads)):
            finish(book, client, upload)
        jobs = client.fine_tuning.jobs
        for job, wish in book.jobs.items():
            if jobs.retrieve(job).status == "paused":
                assert wish == "paused" or job in book.unsure
                jobs.resume(job)
        for job in book.jobs:
            until(lambda: jobs.retrieve(job).status in ENDED, seconds=240)  # noqa: B023
        check(book, client, store)
        succeeded = [job for job in book.jobs if ended_well(book, client, job)]
        assert succeeded
        assert nothing_is_left_over(engine.home, client)


def reader(engine):
    return httpx.Client(base_url=engine.url, headers={"X-API-Key": engine.key}, timeout=60)


def check(book, client, store):
    """Hold everything in the book against what the engine says."""
    files = {file.id: file for file in client.files.list(limit=10_000)}
    for file, sha256 in book.files.items():
        assert hashlib.sha256(client.files.content(file).content).hexdigest() == sha256
        assert files[file].bytes == len(client.files.content(file).content)
    for job in book.jobs:
        check_job(book, client, job)
    for model in book.sure(book.models):
        if f"/v1/models/{model}" not in book.gone:
            assert client.models.retrieve(model).id == model
            # The fake chat part answers with a file of the model's folder.
            hello = [{"role": "user", "content": "Hello"}]
            assert client.chat.completions.create(model=model, messages=hello).choices
    for run, inputs in book.runs.items():
        assert store.get(f"/runs/{run}").raise_for_status().json()["inputs"] == inputs
    for feedback in book.sure(book.feedback):
        if f"/feedback/{feedback}" not in book.gone:
            found = store.get(f"/feedback/{feedback}").raise_for_status().json()
            assert found["score"] == book.feedback[feedback]
    for dataset, examples in book.datasets.items():
        assert store.get(f"/datasets/{dataset}").raise_for_status()
        found = store.get("/examples", params={"dataset": dataset}).raise_for_status().json()
        assert {each["id"] for each in found} >= examples
    for path in book.gone:
        assert store.get(path).status_code == httpx.codes.NOT_FOUND


def check_job(book, client, job):
    found = client.fine_tuning.jobs.retrieve(job)
    if job in book.ended:
        assert found.to_dict() == book.ended[job]
    if job not in book.unsure:
        assert (found.status == "cancelled") == (book.jobs[job] == "cancelled")
        if book.jobs[job] == "paused" and found.status == "paused":
            assert found.estimated_finish is None
    ids = [each.id for each in client.fine_tuning.jobs.list_events(job, limit=1000)][::-1]
    seen = book.events.get(job, [])
    assert ids[: len(seen)] == seen
    assert len(ids) == len(set(ids)) > 0


def ended_well(book, client, job):
    """It has succeeded, with all that belongs to it, or ended for a reason that is to be seen."""
    found = client.fine_tuning.jobs.retrieve(job)
    events = [each.message for each in client.fine_tuning.jobs.list_events(job, limit=1000)]
    match found.status:
        case "succeeded":
            table = base64.b64decode(client.files.content(found.result_files[0]).content)
            assert len(table.splitlines()) == 4
            assert len(list(client.fine_tuning.jobs.checkpoints.list(job))) == 3
            if f"/v1/models/{found.fine_tuned_model}" not in book.gone | book.unsure:
                assert client.models.retrieve(found.fine_tuned_model)
            assert events.count("The job has successfully completed") == 1
        case "cancelled":
            assert book.jobs[job] == "cancelled" or job in book.unsure
        case "failed":
            # So many kills in a row, each before the trainer had done a step.
            assert found.error.code == "training_interrupted"
            assert events.count("Fine-tuning job started") >= MAX_STARTS
    return found.status == "succeeded"


def nothing_is_left_over(home, client):
    """Each file and folder belongs to something that the engine knows."""
    models = {model.id for model in client.models.list() if model.id.startswith("ft:")}
    assert len(list((home / "models").iterdir())) == len(models)
    files = {file.id for file in client.files.list(limit=10_000)}
    assert {path.name for path in (home / "files").iterdir()} == files
    assert not list((home / "jobs").glob("*/*/"))
    return True


def test_the_book_finds_what_is_lost(start):
    """The test above can fail."""
    with start() as engine, reader(engine) as store, engine.client() as client:
        check(Book(), client, store)
        with pytest.raises(openai.NotFoundError):
            check(Book(files={"file-1": ""}), client, store)
        with pytest.raises(openai.NotFoundError):
            check(Book(jobs={"ftjob-1": "run"}), client, store)
        with pytest.raises(httpx.HTTPStatusError):
            check(Book(runs={"019a6b4e-0000-7000-8000-000000000000": {}}), client, store)
