"""Records that this version can't read: left out and named, and all else goes on."""

import sqlite3
from contextlib import closing
from pathlib import Path

import openai
import pytest

VALUE = "a status of the future"


def change(home, table, record_id, path, value=VALUE):
    with closing(sqlite3.connect(home / "engine.sqlite", isolation_level=None)) as records:
        records.execute(
            f"UPDATE {table} SET body = json_set(body, ?, ?) WHERE id = ?",
            (path, value, record_id),
        )


def test_one_record_of_an_unknown_kind_does_not_stop_the_start(start, until, jsonl, way):
    with start() as engine, engine.client() as client:
        files = [
            client.files.create(file=("a.jsonl", jsonl()), purpose="fine-tune").id for _ in range(3)
        ]
        jobs = client.fine_tuning.jobs
        made = [
            jobs.create(model="nano", training_file=files[0], seed=way.SUCCEED).id for _ in range(2)
        ]
        until(lambda: {jobs.retrieve(job).status for job in made} == {"succeeded"})
        models = [jobs.retrieve(job).fine_tuned_model for job in made]
        upload = client.uploads.create(
            filename="b", bytes=9, mime_type="text/plain", purpose="fine-tune"
        )
        part = client.uploads.parts.create(upload.id, data=b"123456789")
    changed = {
        "files": (files[1], "$.status"),
        "jobs": (made[0], "$.status"),
        "models": (models[0], "$.job"),
        "uploads": (upload.id, "$.status"),
    }
    for table, (record_id, path) in changed.items():
        # The job of a model is a text; its status is not one of a list.
        change(engine.home, table, record_id, path, 1 if table == "models" else VALUE)
    before = engine.log()
    with start() as engine, engine.client() as client:
        jobs = client.fine_tuning.jobs
        assert [file.id for file in client.files.list(purpose="fine-tune", limit=1)] == [
            files[2],
            files[0],
        ]
        assert [job.id for job in jobs.list(limit=1)] == [made[1]]
        for ask in (
            lambda: client.files.content(files[1]),
            lambda: jobs.retrieve(made[0]),
            lambda: client.chat.completions.create(model=models[0], messages=[]),
        ):
            with pytest.raises(openai.InternalServerError) as refused:
                ask()
            assert refused.value.code == "record_unreadable"
        client.models.retrieve(models[1])
        job = jobs.create(model="nano", training_file=files[2], seed=way.SUCCEED).id
        until(lambda: jobs.retrieve(job).status == "succeeded")
        log = engine.log().removeprefix(before)
        for record_id, _ in changed.values():
            assert log.count(f"The record {record_id} in the table") == 1
        assert VALUE not in log
        assert "Traceback" not in log
    # What belongs to them is still there: with the version that wrote them, they are whole.
    assert (engine.home / "files" / files[1]).read_bytes() == jsonl()
    assert (engine.home / "uploads" / upload.id / part.id).read_bytes() == b"123456789"
    assert list(Path(engine.home / "models" / made[0]).iterdir())
    change(engine.home, "jobs", made[0], "$.status", "succeeded")
    with start() as engine, engine.client() as client:
        assert client.fine_tuning.jobs.retrieve(made[0]).fine_tuned_model == models[0]
