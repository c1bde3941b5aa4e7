"""Training processes on several machines, with programs in place of trainings."""

import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager

import psutil
import pytest

from langchain_finetune.errors import EngineError
from langchain_finetune.local.server import serve
from langchain_finetune.local.training.events import Reporter, TrainingFailure
from langchain_finetune.local.training.machines import nodes as joining
from langchain_finetune.local.training.machines import process
from langchain_finetune.local.training.machines.launch import launch
from langchain_finetune.local.training.machines.settings import Machines, read_machines
from langchain_finetune.local.training.spec import Spec
from langchain_finetune.methods import Hyperparameters

RANK = """
import json, os, sys, time
spec = json.loads(open(sys.argv[1]).read())
place = {name: os.environ.get(name) for name in
         ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")}
rank = place["RANK"]
with open(f"{spec['work']}/{rank}", "w") as out:
    json.dump(place | {"pid": os.getpid()}, out)

def report(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)

def done():
    report("done", trained_tokens=1, step=1, checkpoints=[])

def others(number):
    while len(os.listdir(spec["work"])) < number:
        time.sleep(0.01)

exec(json.loads(spec["name"]).get(rank, "os.read(0, 9)"))
"""
"""A training process that does what its job's name says for its rank, or waits for its end."""

NODE = """
import sys
from pathlib import Path
from langchain_finetune.local.training.machines import join, process
process.COMMAND = (sys.executable, "-c", open(sys.argv[1]).read())
exec(sys.argv[5])
join.join(sys.argv[2], Path(sys.argv[3]), processes=int(sys.argv[4]), tell=print)
"""


@pytest.fixture
def rank(tmp_path, monkeypatch):
    """The program of each training process, as a file."""
    monkeypatch.setattr(process, "COMMAND", (sys.executable, "-c", RANK))
    path = tmp_path / "rank.py"
    path.write_text(RANK)
    return path


@pytest.fixture
def address():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    return f"127.0.0.1:{port}"


@pytest.fixture
def job(tmp_path, rank):
    """A job's specification, its folder and what it has reported."""

    class Job:
        work = tmp_path / "home" / "jobs" / "work"
        out = io.StringIO()
        stop = threading.Event()

        def run(self, programs, *, method="supervised", batch_size="auto", wait_s=20.0, **machines):
            self.work.mkdir(parents=True, exist_ok=True)
            spec = Spec(
                base="base",
                name=json.dumps(programs),
                method=method,
                train=self.work / "train",
                output=self.work / "output",
                work=self.work,
                hyperparameters=Hyperparameters(batch_size=batch_size),
                machines=Machines(trainer="torchrun", wait_s=wait_s, **machines),
            )
            path = self.work.parent / "spec.json"
            path.write_text(spec.model_dump_json())
            endings = []
            launch(spec, path, Reporter(self.out), self.stop, endings)
            assert not endings

        def places(self):
            return [json.loads(path.read_text()) for path in sorted(self.work.iterdir())]

        def events(self):
            return [json.loads(line)["event"] for line in self.out.getvalue().splitlines()]

    return Job()


@contextmanager
def node(job, rank, address, *, processes=1, first="", home=None):
    arguments = (str(rank), address, str(home or job.work.parents[1]), str(processes), first)
    with subprocess.Popen(
        [sys.executable, "-c", NODE, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as joined:
        try:
            yield joined
        finally:
            joined.kill()


def ended(places):
    """Whether all processes have ended; each was told to, so it takes a moment at most."""
    pids = [place["pid"] for place in places]
    deadline = time.monotonic() + 10
    while any(psutil.pid_exists(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not any(psutil.pid_exists(pid) for pid in pids)


def test_settings():
    assert read_machines({}) is None
    given = {"LCFT_TRAINER": "torchrun", "LCFT_TRAINER_PROCESSES": "2"}
    assert read_machines(given) == Machines(trainer="torchrun", processes=2)
    assert read_machines(given, processes=3).processes == 3
    joined = read_machines(given, address="[::1]:29400", nodes=2)
    assert (joined.host_and_port, joined.nodes) == (("::1", 29400), 2)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"nodes": 2}, "need --trainer"),
        ({"trainer": "slurm"}, "trainer must be torchrun or ray, not 'slurm'"),
        ({"trainer": "torchrun", "nodes": 2}, "belong together"),
        ({"trainer": "torchrun", "address": "10.0.0.1:1"}, "belong together"),
        ({"trainer": "torchrun", "nodes": 2, "address": "10.0.0.1"}, "must be HOST:PORT"),
        ({"trainer": "torchrun", "nodes": 2, "address": "10.0.0.1:99999"}, "must be HOST:PORT"),
        ({"trainer": "torchrun", "nodes": 2, "address": "0.0.0.0:29400"}, "other machines reach"),
        ({"trainer": "torchrun", "nodes": -1}, "at least 1"),
    ],
)
def test_settings_that_are_refused(given, says):
    with pytest.raises(EngineError, match=says):
        read_machines({}, **given)
    with pytest.raises(EngineError, match="must be a number, not 'two'"):
        read_machines({"LCFT_TRAINER": "torchrun", "LCFT_TRAINER_NODES": "two"})


def test_ray_chooses_its_machines(monkeypatch):
    from langchain_finetune.local.training.machines import settings

    monkeypatch.setattr(settings, "require_modules", lambda *_: None)
    assert read_machines({}, trainer="ray", processes=2).address is None
    with pytest.raises(EngineError, match="Ray chooses the machines"):
        read_machines({}, trainer="ray", nodes=2)
    with pytest.raises(EngineError, match="must be HOST:PORT"):
        read_machines({}, trainer="ray", address="ray://head:10001/x")


def test_the_first_process_reports_and_each_knows_its_place(job):
    job.run({"0": "others(2); done()", "1": "report('stopped', step=7); done()"}, processes=2)
    first, second = job.places()
    assert job.events() == ["done"]
    assert [place["RANK"] for place in (first, second)] == ["0", "1"]
    assert [place["LOCAL_RANK"] for place in (first, second)] == ["0", "1"]
    assert first["WORLD_SIZE"] == second["WORLD_SIZE"] == "2"
    assert first["MASTER_ADDR"] == "127.0.0.1"
    assert first["MASTER_PORT"] == second["MASTER_PORT"]


def test_a_batch_that_can_not_be_shared_is_refused(job):
    with pytest.raises(TrainingFailure, match="must be a multiple of 3") as failed:
        job.run({}, processes=3, batch_size=8)
    assert failed.value.code == "invalid_hyperparameters"
    assert job.places() == []


@pytest.mark.parametrize("method", ["dpo", "kto"])
def test_a_method_whose_loss_can_not_be_shared_trains_in_one_process(job, method):
    job.run({"0": "done()"}, processes=2, nodes=2, address="127.0.0.1:1", method=method)
    [place] = job.places()
    assert (place["WORLD_SIZE"], place["LOCAL_RANK"]) == ("1", None)


LOST = "report('failed', code='worker_lost', message='Lost.'); sys.exit(1)"
BROKEN = "report('failed', code='internal_error', message='Broken.'); sys.exit(1)"
MISSING = "report('failed', code='base_model_unavailable', message='No base.'); sys.exit(1)"


@pytest.mark.parametrize(
    ("first", "second", "code", "says"),
    [
        (BROKEN, "time.sleep(0.3); os.kill(os.getpid(), 9)", "worker_lost", "rank 1 .*SIGKILL"),
        ("os.kill(os.getpid(), 15)", LOST, "worker_lost", "rank 0 .*SIGTERM"),
        (LOST, LOST, "worker_lost", "Lost."),
        (LOST, BROKEN, "internal_error", "Rank 1 on this machine: Broken."),
        (BROKEN, MISSING, "base_model_unavailable", "Rank 1 on this machine: No base."),
        (MISSING, "os.read(0, 9)", "base_model_unavailable", "^No base."),
        ("os.read(0, 9)", "sys.exit(12)", "out_of_memory", "Memory ran out"),
        ("os.read(0, 9)", "sys.exit(3)", "server_error", "rank 1 .* with status 3"),
        ("pass", "pass", "server_error", "rank 0 .* with status 0"),
    ],
)
def test_the_cause_of_a_failure(job, monkeypatch, first, second, code, says):
    monkeypatch.setattr("langchain_finetune.local.training.machines.launch._SETTLE_S", 0.6)
    with pytest.raises(TrainingFailure, match=says) as failed:
        job.run({"0": f"others(2); {first}", "1": f"others(2); {second}"}, processes=2)
    assert failed.value.code == code
    assert ended(job.places())


def test_a_stop_reaches_the_first_process(job):
    threading.Timer(0.2, job.stop.set).start()
    job.run({"0": "assert os.read(0, 9) == b'stop\\n'; report('stopped', step=2)"}, processes=2)
    assert job.events() == ["stopped"]
    assert ended(job.places())


def test_three_machines(job, rank, address):
    with ExitStack() as stack:
        for processes in (1, 2):
            stack.enter_context(node(job, rank, address, processes=processes))
        job.run({"0": "others(4); done()"}, processes=1, nodes=3, address=address)
        places = job.places()
        assert ended(places)
    assert job.events() == ["done"]
    assert [place["WORLD_SIZE"] for place in places] == ["4"] * 4
    assert sorted(place["LOCAL_RANK"] for place in places) == ["0", "0", "0", "1"]
    assert {place["MASTER_ADDR"] for place in places} == {"127.0.0.1"}


def test_a_machine_that_is_lost_and_comes_again(job, rank, address):
    machines = {"processes": 1, "nodes": 2, "address": address}
    kill = "others(2); os.kill(os.getppid(), 9); os.read(0, 9)"
    for program, says in ((kill, "rank 1 on .* was lost"), ("sys.exit(5)", "status 5")):
        with node(job, rank, address), pytest.raises(TrainingFailure, match=says):
            job.run({"0": "os.read(0, 9)", "1": program}, **machines)
        assert ended(job.places())
    with node(job, rank, address) as joined:
        for _ in range(2):
            job.run({"0": "others(2); done()"}, **machines)
        joined.kill()
        said = joined.stdout.read().decode()
    assert "Training as rank 1 of 2." in said
    assert f"Connected to {address}; waiting for jobs." in said


def test_who_is_missing_is_told(job, rank, address, monkeypatch):
    monkeypatch.setattr("langchain_finetune.local.training.machines.waiting._QUIET_S", 0.1)
    says = f"Of 2 machines, 1 came, .*rank 3 on .*trainer --join {address}.*for 1 s"
    with pytest.raises(TrainingFailure, match=says) as failed:
        job.run({}, processes=3, nodes=2, address=address, wait_s=1)
    assert failed.value.code == "trainer_unavailable"
    assert job.events() == ["waiting"]


def test_a_stop_while_machines_are_awaited(job, address):
    threading.Timer(0.1, job.stop.set).start()
    job.run({}, processes=1, nodes=2, address=address)
    assert job.events() == ["stopped"]


@pytest.mark.parametrize(
    ("first", "home", "theirs", "ours"),
    [
        (
            "process.versions(); join.versions = lambda: process.versions() | {'torch': '1.0'}",
            None,
            "torch 1.0 in place of",
            "was refused: torch 1.0 in place of",
        ),
        ("", "elsewhere", "does not see the engine's home", "does not see the engine's home"),
    ],
)
def test_a_machine_that_does_not_fit(job, rank, address, tmp_path, first, home, theirs, ours):
    other = tmp_path / home if home else None
    with node(job, rank, address, first=first, home=other) as joined:
        with pytest.raises(TrainingFailure, match=ours) as failed:
            job.run({"0": "os.read(0, 9)"}, processes=1, nodes=2, address=address, wait_s=3)
        assert failed.value.code == "trainer_unavailable"
        assert joined.wait(10) == 1
        assert theirs in joined.stderr.read().decode()


def test_strangers_are_no_machines(job, rank, address, monkeypatch):
    """Some other program connects, and says nothing, something else, or nothing more."""
    monkeypatch.setattr(joining, "_HELLO_S", 0.2)
    host, port = address.split(":")
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server((host, int(port))))
        for said in (b"", b"GET / HTTP/1.1\r\n\r\n", b'{"kind": "ended", "status": 0}\n'):
            stack.enter_context(socket.create_connection((host, int(port)))).sendall(said)
        stack.enter_context(node(job, rank, address))
        descriptor = os.dup(listener.fileno())
        machines = {"processes": 1, "nodes": 2, "address": address}
        job.run({"0": "others(2); done()"}, **machines, listener=descriptor)
    assert job.events() == ["done"]


def test_an_address_that_is_taken(job, address, tmp_path):
    host, port = address.split(":")
    with socket.create_server((host, int(port))):
        with pytest.raises(TrainingFailure, match=f"Cannot listen on port {port}") as failed:
            job.run({}, processes=1, nodes=2, address=address)
        machines = Machines(trainer="torchrun", nodes=2, address=address)
        with pytest.raises(EngineError, match=f"Cannot listen on port {port}"):
            serve(tmp_path / "home", machines=machines)
    assert failed.value.code == "trainer_unavailable"


def test_the_command_tries_until_an_engine_answers(job, rank, address):
    with node(job, rank, address) as joined:
        assert b"No engine answers" in joined.stdout.readline()
        host, port = address.split(":")
        with socket.create_server((host, int(port))):
            assert b"Connected" in joined.stdout.readline()
        joined.send_signal(signal.SIGTERM)
        assert joined.wait(10) == -signal.SIGTERM
    with node(job, rank, "no.such.machine.invalid:1") as joined:
        assert joined.wait(30) == 1
        assert b"no machine called" in joined.stderr.read()


def test_doctor_shows_the_trainer(monkeypatch):
    from langchain_finetune.cli.doctor import _trainer

    assert list(_trainer()) == []
    monkeypatch.setenv("LCFT_TRAINER", "torchrun")
    monkeypatch.setenv("LCFT_TRAINER_NODES", "2")
    assert [(each.state, "belong together" in each.detail) for each in _trainer()] == [
        ("bad", True)
    ]
    monkeypatch.setenv("LCFT_TRAINER_ADDRESS", "10.0.0.1:29400")
    [found] = _trainer()
    assert (found.what, found.state) == ("trainer", "good")
    assert found.detail == "torchrun, 2 machines at 10.0.0.1:29400; it was not tried"
