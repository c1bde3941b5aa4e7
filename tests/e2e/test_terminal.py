"""The command line in a terminal: something moves at once, ids stay whole, Ctrl-C ends it."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from uuid import UUID

import pytest

from langchain_finetune.finetune.ledger import Ledger
from langchain_finetune.local.documents import open_records
from langchain_finetune.local.jobs.journal import Journal
from langchain_finetune.local.jobs.schemas import JobRecord

# A test run in the background of a shell ignores SIGINT, and its children would too.
_MAIN = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from langchain_finetune.cli import main
main()
"""


class Terminal:
    """A command in a terminal of 80 columns."""

    def __init__(self, *arguments, **environment):
        self.begun = time.monotonic()
        self._own, other = pty.openpty()
        termios.tcsetwinsize(other, (24, 80))
        environment = {**os.environ, "TERM": "xterm", "LANGSMITH_TRACING": "false", **environment}
        for name in ("COLUMNS", "LINES", "NO_COLOR"):
            environment.pop(name, None)
        self.process = subprocess.Popen(
            [sys.executable, "-c", _MAIN, *map(str, arguments)],
            stdin=other, stdout=other, stderr=other, env=environment, start_new_session=True,
        )  # fmt: skip
        os.close(other)
        self.text = ""

    def read(self, until=None, timeout=60.0):
        """Read until a text has come, or to the end; return the seconds since the start."""
        end = time.monotonic() + timeout
        while until is None or until not in self.text:
            assert time.monotonic() < end, self.text
            if not select.select([self._own], [], [], 0.05)[0]:
                continue
            try:
                some = os.read(self._own, 65536)
            except OSError:
                some = b""
            if not some:
                assert until is None, self.text
                break
            self.text += some.decode(errors="replace")
        return time.monotonic() - self.begun

    def interrupt(self):
        """Press Ctrl-C, and return the seconds to the end."""
        pressed = time.monotonic()
        self.process.send_signal(signal.SIGINT)
        self.process.wait(60)
        return time.monotonic() - pressed

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self._own)


@contextmanager
def silent_server():
    """A server that has the project `app`, and never answers what runs it has."""
    over = threading.Event()
    asked = threading.Event()

    class Silent(BaseHTTPRequestHandler):
        def do_GET(self):
            project = {"id": str(UUID(int=1)), "tenant_id": str(UUID(int=2)), "name": "app"}
            project |= {"start_time": "2026-01-01T00:00:00", "reference_dataset_id": None}
            body = json.dumps([project] if "/sessions" in self.path else {}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.send_header("content-type", "application/json")
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self):
            asked.set()
            over.wait()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Silent)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        over.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def terminal(tmp_path):
    opened = []

    def run(*arguments, **environment):
        home = {"LCFT_HOME": str(tmp_path / "home")}
        opened.append(Terminal(*arguments, **home, **environment))
        return opened[-1]

    yield run
    for each in opened:
        each.close()


def write_runs(path, count):
    line = {
        "messages": [
            {"role": "user", "content": "Is it a number?"},
            {"role": "assistant", "content": "Yes"},
        ]
    }
    with path.open("w") as file:
        for number in range(count):
            line["messages"][0]["content"] = f"Is {number} a number?"
            file.write(json.dumps(line) + "\n")
    return path


def test_something_moves_at_once_and_the_counts_have_a_rate(terminal, tmp_path):
    chats = write_runs(tmp_path / "chats.jsonl", 20_000)
    prepared = terminal("prepare", "--file", chats, "--out", tmp_path / "set")
    # Importing the libraries takes seconds where all cores are busy.
    assert prepared.read("Loading") < 5
    prepared.read("Reading and converting")
    prepared.read("chats/s")
    prepared.read()
    assert prepared.process.wait() == 0
    assert "Converted 20,000 chats" in prepared.text


@pytest.mark.parametrize("command", ["prepare", "run"])
def test_ctrl_c_ends_it_within_a_second_while_a_server_is_silent(terminal, tmp_path, command):
    more = {"prepare": ("--out", tmp_path / "set"), "run": ("--model", "nano")}[command]
    with silent_server() as (url, asked):
        running = terminal(
            command, "--project", "app", *more, LANGSMITH_ENDPOINT=url, LANGSMITH_API_KEY="k"
        )
        running.read("Reading and converting")
        assert asked.wait(30)
        time.sleep(0.3)
        # A second, and what a machine with busy cores adds.
        assert running.interrupt() < 2
        assert running.process.returncode in {1, 130}


def test_ids_stay_whole_in_a_terminal_of_80_columns(terminal, tmp_path):
    job_id, model = "ftjob-" + "a" * 24, "ft:nano:local:two:" + "b" * 40
    ledger = Ledger(tmp_path / "home")
    ledger.begin(
        "s", "f", account="local", engine="local", base_url="http://127.0.0.1:1/v1",
        base_model="nano", training_sha256="0",
    )  # fmt: skip
    ledger.settle("s", job_id)
    record = JobRecord(
        id=job_id, created_at=1, model="nano", status="succeeded", training_file="file-1",
        hyperparameters={}, requested={}, method={"type": "supervised"}, seed=1,
        fine_tuned_model=model,
    )  # fmt: skip
    Journal(open_records(tmp_path / "home" / "engine.sqlite")).save(record)
    listed = terminal("jobs", "list")
    listed.read()
    assert job_id in listed.text
    assert model in listed.text
    assert max(map(len, listed.text.splitlines())) <= 80 + len("\x1b[?25l")
