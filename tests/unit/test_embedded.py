"""Finding, starting and stopping the embedded engine."""

import http.server
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import suppress

import pytest
from filelock import FileLock

from langchain_finetune.engines import local as embedded
from langchain_finetune.engines.local import (
    ensure_engine,
    find_engine,
    state_of_jobs,
    stop_engine,
    stored_jobs,
)
from langchain_finetune.errors import (
    EngineAuthenticationError,
    EngineError,
    EngineUnreachableError,
    FineTuningError,
)
from langchain_finetune.home import (
    KEY_VARIABLE,
    RunningEngine,
    ensure_key,
    holds_lock,
    read_key,
)

ENSURE = """
import sys
from pathlib import Path
from langchain_finetune.engines.local import ensure_engine
address = ensure_engine(Path(sys.argv[1]))
print(address.base_url, address.api_key.get_secret_value())
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    home = tmp_path / "home"
    yield home
    stop_engine(home, timeout_s=60)


def ask(address, path="/v1/models"):
    key = {"Authorization": f"Bearer {address.api_key.get_secret_value()}"}
    with urllib.request.urlopen(
        urllib.request.Request(address.url + path, headers=key), timeout=60
    ) as answer:
        return json.load(answer)


def test_starts_finds_and_stops(home):
    assert find_engine(home) is None
    assert stop_engine(home) is False
    address = ensure_engine(home)
    pid = RunningEngine.read(home).pid
    assert pid != os.getpid()
    assert os.getsid(pid) == pid  # it outlives this process and its terminal
    assert address.base_url == f"{address.url}/v1"
    assert "nano" in {model["id"] for model in ask(address)["data"]}
    assert address.api_key.get_secret_value() not in repr(address)
    assert ensure_engine(home) == address
    assert RunningEngine.read(home).pid == pid
    assert stop_engine(home) is True
    assert find_engine(home) is None
    # At once, while the first may still be ending.
    again = ensure_engine(home)
    assert again.api_key == address.api_key


def test_two_processes_at_once_end_with_one_engine(home):
    command = [sys.executable, "-c", ENSURE, str(home)]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE) as first,
        subprocess.Popen(command, stdout=subprocess.PIPE) as second,
    ):
        answers = {first.communicate()[0], second.communicate()[0]}
    assert len(answers) == 1
    address = find_engine(home)  # the callers are gone, the engine is not
    assert answers.pop().decode().split()[0] == address.base_url


def test_an_engine_that_cannot_start(home, monkeypatch):
    monkeypatch.setenv("LCFT_ALIASES", "nonsense")
    with pytest.raises(EngineUnreachableError, match="not 'nonsense'") as refused:
        ensure_engine(home)
    assert str(home / "engine.log") in str(refused.value)


@pytest.mark.parametrize(
    "written", [b"", b" \n", b"\xff\xfek\0", b"one\ntwo", "schlüssel".encode()]
)
def test_a_key_file_without_a_key_is_refused_and_kept(home, written):
    home.mkdir()
    (home / "api_key").write_bytes(written)
    (home / "api_key").chmod(0o600)
    for ask_for_it in (read_key, ensure_key):
        with pytest.raises(
            FineTuningError, match=r"stop the engine and (delete|remove) it to create"
        ):
            ask_for_it(home)
    assert (home / "api_key").read_bytes() == written


def test_an_engine_that_does_not_answer_in_time(home, monkeypatch):
    monkeypatch.setattr(embedded, "_find", lambda _: None)
    with pytest.raises(EngineUnreachableError, match=r"within 0\.5 s"):
        ensure_engine(home, timeout_s=0.5)
    monkeypatch.undo()
    ensure_engine(home)


def test_an_engine_that_hangs_is_told_within_seconds_and_named(home, caplog):
    ensure_engine(home)
    pid = RunningEngine.read(home).pid
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(EngineUnreachableError) as hung:
            ensure_engine(home, timeout_s=9)
    finally:
        os.kill(pid, signal.SIGCONT)
    said = rf"\(process {pid}\) does not answer \(timed out\)\. Wait, or run `langchain-fine"
    assert re.search(f"within 9 s: the one at http://.* {said}", str(hung.value))
    assert re.search(f"Waiting up to 9 s for the embedded engine: .* {said}", caplog.text)
    ensure_engine(home)


def test_an_engine_that_hangs_is_given_up_early_and_stop_ends_it(home, monkeypatch):
    monkeypatch.setattr(embedded, "_HANGS_S", 1.0)
    ensure_engine(home)
    pid = RunningEngine.read(home).pid
    os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        with pytest.raises(EngineUnreachableError, match=rf"process {pid}"):
            ensure_engine(home, timeout_s=60)
        assert time.monotonic() - began < 30
        assert stop_engine(home) is True
        assert not holds_lock(home)
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    ensure_engine(home)


def test_stop_kills_no_process_that_does_not_have_the_lock(home):
    """A crashed engine's id is another program's later, and something else may have the lock."""
    home.mkdir()
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        subprocess.Popen(["sleep", "60"]) as other,
        FileLock(home / "engine.lock"),
    ):
        port = silent.getsockname()[1]
        RunningEngine(f"http://127.0.0.1:{port}", other.pid, "1").write(home)
        assert stop_engine(home) is False
        assert other.poll() is None
        other.kill()


def test_an_engine_that_is_starting_is_stopped_once_it_has_started(home):
    process = embedded._start(home)
    while not holds_lock(home):
        time.sleep(0.02)
    assert stop_engine(home, timeout_s=60) is True
    assert process.wait(20) == 0


class Stranger(http.server.BaseHTTPRequestHandler):
    """Another program that got the port of an engine that has crashed."""

    def do_GET(self):
        self.server.asked = [*getattr(self.server, "asked", []), self.path]
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.server.answer)

    def log_message(self, *_):
        pass


@pytest.mark.parametrize("answer", [b"<html>", b"[]", b'{"langchain_finetune": "1", "pid": 1}'])
def test_a_stranger_at_the_engines_address(home, answer):
    with http.server.HTTPServer(("127.0.0.1", 0), Stranger) as server:
        server.answer = answer
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        home.mkdir()
        RunningEngine(f"http://127.0.0.1:{server.server_port}", os.getpid(), "1").write(home)
        with FileLock(home / "engine.lock"):
            assert find_engine(home) is None
            assert stop_engine(home) is False
        server.shutdown()


def test_whoever_takes_the_place_of_a_crashed_engine_is_sent_nothing(home):
    crashed = ensure_engine(home)
    running = RunningEngine.read(home)
    os.kill(running.pid, signal.SIGKILL)
    while holds_lock(home):
        time.sleep(0.02)
    port = int(crashed.url.rpartition(":")[2])
    with http.server.HTTPServer(("127.0.0.1", port), Stranger) as server:
        # Other users see the process id, and the rest in the engine's own answers.
        health = {"langchain_finetune": running.version, "pid": running.pid}
        server.answer, server.asked = json.dumps(health).encode(), []
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        assert find_engine(home) is None
        again = ensure_engine(home)
        assert again.url != crashed.url
        assert "nano" in {model["id"] for model in ask(again)["data"]}
        assert server.asked == []
        server.shutdown()


def test_an_engine_whose_key_is_elsewhere(home):
    ensure_engine(home)
    (home / "api_key").rename(home / "moved")
    with pytest.raises(EngineAuthenticationError, match=f"with a key from {KEY_VARIABLE}"):
        find_engine(home)
    (home / "moved").rename(home / "api_key")


def test_an_engine_that_does_not_come_up_or_end_is_not_waited_for_for_ever(home):
    home.mkdir()
    with FileLock(home / "engine.lock"):
        with pytest.raises(EngineError, match=r"is still starting; see .*engine\.log"):
            stop_engine(home, timeout_s=0.1)
        with subprocess.Popen(
            [sys.executable, "-c", STUBBORN, home], stdout=subprocess.PIPE, text=True
        ) as other:
            port = int(other.stdout.readline())
            RunningEngine(f"http://127.0.0.1:{port}", other.pid, "1").write(home)
            embedded._GRACE_S, grace = 0.1, embedded._GRACE_S
            try:
                with pytest.raises(
                    EngineError, match=rf"process {other.pid}\) does not stop; kill"
                ):
                    stop_engine(home, timeout_s=0.1)
            finally:
                embedded._GRACE_S = grace
                other.kill()


STUBBORN = """
import http.server, json, os, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"pid": os.getpid()}).encode())
server = http.server.HTTPServer(("127.0.0.1", 0), Answer)
print(server.server_port, flush=True)
server.serve_forever()
"""


def test_the_process_of_a_crashed_engine_that_is_gone_has_no_lock(home):
    with subprocess.Popen(["true"]) as ended:
        pass
    home.mkdir()
    with FileLock(home / "engine.lock"):
        assert embedded._has_lock(ended.pid, home) is False
        assert embedded._has_lock(os.getpid(), home) is True
        RunningEngine("http://127.0.0.1:9", ended.pid, "1").write(home)
        assert stop_engine(home) is False
        assert state_of_jobs(home) == "ok"


def test_jobs_in_a_broken_file_are_told(home):
    assert stored_jobs(home) == []
    home.mkdir()
    (home / "engine.sqlite").write_text("no database")
    with pytest.raises(EngineError, match=r"jobs in .*engine\.sqlite can't be read"):
        stored_jobs(home)


def test_a_start_that_left_no_log_says_where_it_would_be(home):
    assert embedded._hint(home) == f"its log is empty (see {home / 'engine.log'})"
