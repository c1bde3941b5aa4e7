"""Homes that earlier versions wrote open as they are, and all in them can be read."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import tarfile
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from langchain_finetune import Job
from langchain_finetune.finetune.ledger import Ledger
from langchain_finetune.local import documents
from langchain_finetune.local.store import schema

FIXTURES = Path(__file__).parents[1] / "fixtures" / "homes"
KEY = "a key for tests"
HOMES = sorted(path.name for path in FIXTURES.iterdir() if (path / "home.tar.xz").exists())

# Signed addresses, the engine's own address and the time of its start are others each time.
OTHER_EACH_TIME = re.compile(
    r"expires=\d+&signature=\w+|http://127\.0\.0\.1:\d+|\"created\":\d+(?=,\"owned_by\")"
)


@pytest.fixture(params=HOMES)
def version(request):
    return request.param


@pytest.fixture
def home(tmp_path, version):
    with tarfile.open(FIXTURES / version / "home.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    key = tmp_path / "home" / "api_key"
    key.touch(0o600)
    key.write_text(KEY)
    return tmp_path / "home"


def plain(text):
    return OTHER_EACH_TIME.sub("...", text)


def test_every_record_is_read_as_it_was(start, home, version):
    answers = json.loads((FIXTURES / version / "answers.json").read_text())
    assert len(answers) > 50
    with start() as engine:
        headers = {"X-API-Key": KEY, "Authorization": f"Bearer {KEY}"}
        with httpx.Client(base_url=engine.url, headers=headers) as api:
            for method, path, body, before in answers:
                answer = api.request(method, path, json=body)
                assert (answer.status_code, plain(answer.text)) == (200, plain(before)), path
            addresses = set()
            for _, path, _, before in answers:
                if "/public/attachments/" in before and path.startswith(("/runs/", "/examples")):
                    now = api.get(path).text
                    addresses |= set(re.findall(r"/public/attachments/[^\"]+", now))
            contents = {httpx.get(engine.url + each).content for each in addresses}
    assert contents == {b"a leaf", b"attached"}


def test_work_goes_on_in_it(start, home, until, jsonl, way):
    with start() as engine, engine.client() as client:
        jobs = client.fine_tuning.jobs
        [paused] = [job for job in jobs.list() if job.status == "paused"]
        jobs.resume(paused.id)
        until(lambda: jobs.retrieve(paused.id).status == "running")
        jobs.cancel(paused.id)
        file = client.files.create(file=("a.jsonl", jsonl()), purpose="fine-tune").id
        made = jobs.create(model="nano", training_file=file, seed=way.SUCCEED)
        until(lambda: jobs.retrieve(made.id).status == "succeeded")
        [tuned] = [job for job in jobs.list() if job.user_provided_suffix == "teas"]
        client.models.delete(tuned.fine_tuned_model)
        names = [model.id for model in client.models.list()]
    assert tuned.fine_tuned_model not in names


def test_jobs_and_ledger_are_read(home, version):
    text = (FIXTURES / version / "job.json").read_text()
    job = Job.model_validate_json(text)
    assert json.loads(job.model_dump_json()) == json.loads(text)
    [entry] = Ledger(home).entries()
    assert (entry.job_id, entry.training_sha256) == (job.job_id, job.training_sha256)
    [submission] = Ledger(home).submissions(job.fingerprint)
    assert submission.job_id == job.job_id


MIGRATE = """
import sys
from pathlib import Path
from langchain_finetune.local import documents
from langchain_finetune.local.store import schema

def wait(connection):
    tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
    for row in connection.execute(tables).fetchall():
        connection.execute(f"ALTER TABLE {row['name']} ADD COLUMN newer")
    print("in the middle", flush=True)
    sys.stdin.read()

for module in (documents, schema):
    module.MIGRATIONS = (*module.MIGRATIONS, wait)
path = Path(sys.argv[1])
(documents.open_records if path.name == "engine.sqlite" else schema.open_store_file)(path)
"""


@pytest.mark.parametrize(
    ("name", "open_file"),
    [("engine.sqlite", documents.open_records), ("runs.sqlite", schema.open_store_file)],
)
def test_a_migration_that_is_killed_leaves_the_old_home(home, name, open_file):
    before = dumped(home / name)
    command = [sys.executable, "-c", MIGRATE, str(home / name)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"in the middle\n"
        os.kill(process.pid, signal.SIGKILL)
    assert dumped(home / name) == before
    open_file(home / name).close()


def dumped(path):
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())
