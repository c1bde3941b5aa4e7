"""Real engine processes for the tests, driven by the unmodified openai SDK."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from openai import OpenAI

from langchain_finetune.home import RunningEngine, read_key
from support.postgres_server import store_variables
from support.warm_process import WarmProcess

FAKE_ENGINE = str(Path(__file__).with_name("fake_engine.py"))


def _load(name):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def way():
    """The ways a fake training can go: seeds such as `way.FAIL`."""
    return _load("fake_trainer")


@pytest.fixture
def script(monkeypatch):
    """What every served model writes; see `chat_server.Script`."""
    from langchain_finetune.local.serving.scheduler import BatchRow
    from langchain_finetune.local.serving.stream import TokenStream
    from tests.local.chat_server import Script

    script = Script(TokenStream.close)
    # Functions, since a bound method would not get the row.
    monkeypatch.setattr(BatchRow, "draw", lambda row, scores: script.draw(row, scores))  # noqa: PLW0108
    monkeypatch.setattr(TokenStream, "close", lambda *given: script.close(*given))  # noqa: PLW0108
    return script


@pytest.fixture
def tiny_model(tmp_path):
    """A folder with a base that knows nothing."""
    return _load("tiny_model").make_tiny_model(tmp_path / "tiny")


def until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.02)
    return value


def jsonl(n=12, bad=None):
    example = {
        "messages": [
            {"role": "user", "content": "my secret question"},
            {"role": "assistant", "content": "my secret answer"},
        ]
    }
    lines = [json.dumps(example)] * n
    if bad is not None:
        lines[bad[0]] = bad[1]
    return "\n".join(lines).encode()


@dataclass
class Engine:
    home: Path
    process: subprocess.Popen | WarmProcess
    url: str
    key: str

    def client(self, **options):
        options = {"api_key": self.key, "max_retries": 0} | options
        return OpenAI(base_url=f"{self.url}/v1", **options)

    def started(self):
        """(job, pid) of every trainer that was started here."""
        record = self.home / "trainer_record"
        lines = record.read_text().splitlines() if record.exists() else []
        return [(job, int(pid)) for job, pid in (line.split() for line in lines)]

    def log(self):
        return (self.home / "log").read_text()


def _announced(home):
    running = RunningEngine.read(home)
    return running and running.pid


@contextmanager
def running_engine(home, *, command=(FAKE_ENGINE,), stop=True, variables=None):
    """Run an engine: the script that `command` begins with is forked, Python itself is started."""
    home.mkdir(exist_ok=True)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("LCFT_")}
    environment |= store_variables(home) | (variables or {})
    with (home / "log").open("ab") as log:
        if command[0] == sys.executable:
            process = subprocess.Popen([*command, str(home)], stderr=log, env=environment)
        else:
            process = WarmProcess(*command, home, stderr=log, env=environment)
    with process:
        try:
            until(
                lambda: _announced(home) == process.pid or process.poll() is not None, seconds=240
            )
            assert process.returncode is None, (home / "log").read_text()
            running = RunningEngine.read(home)
            yield Engine(home, process, running.url, read_key(home).get_secret_value())
            if stop:
                process.send_signal(signal.SIGTERM)
                assert process.wait(60) == 0
        finally:
            process.kill()


@pytest.fixture(scope="session")
def engine(tmp_path_factory):
    """One engine for all tests that do not restart it."""
    with running_engine(tmp_path_factory.mktemp("engine") / "home") as engine:
        yield engine


@pytest.fixture(name="until")
def _until():
    return until


@pytest.fixture(name="jsonl")
def _jsonl():
    return jsonl


@pytest.fixture
def start(tmp_path):
    """Starts engines on one home of this test's own."""
    return lambda **options: running_engine(tmp_path / "home", **options)


@pytest.fixture
def client(engine):
    with engine.client() as client:
        yield client


@pytest.fixture
def upload(client):
    return lambda content=None: (
        client.files.create(
            file=("train.jsonl", jsonl() if content is None else content), purpose="fine-tune"
        ).id
    )


@pytest.fixture
def create(client, upload, way):
    def create(**options):
        options = {"model": "nano", "seed": way.SUCCEED} | options
        if "training_file" not in options:
            options["training_file"] = upload()
        return client.fine_tuning.jobs.create(**options)

    return create


@pytest.fixture
def ended(client):
    """Waits until a job has ended and returns it."""

    def wait(job_id):
        ends = {"succeeded", "failed", "cancelled"}
        until(lambda: client.fine_tuning.jobs.retrieve(job_id).status in ends)
        return client.fine_tuning.jobs.retrieve(job_id)

    return wait
