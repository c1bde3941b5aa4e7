"""The process that trainings are forked from, with specifications that are programs."""

import asyncio
import os
import signal
import sys
import time
from contextlib import suppress

import psutil
import pytest

from langchain_finetune.local.jobs import warm_child
from langchain_finetune.local.jobs.child import LostChildError, follow_child
from langchain_finetune.local.jobs.warm_child import WarmTrainer

PROGRAM = """
import os, sys, time
from langchain_finetune.local.training import warm

def train():
    sys.stderr.write(f"{os.getcwd()} {os.getppid()} {os.getsid(0) == os.getpid()}")
    sys.stderr.flush()
    exec(open(sys.argv[1]).read())
    return 0

warm.IDLE_S, warm._LIBRARIES, warm.train = float(sys.argv.pop(1)), (), train
sys.exit(warm.main())
"""
"""A process that loads no libraries, and runs each specification as a program."""

WAITS = "os.read(0, 1); os._exit(3)"
STUBBORN = """
import signal; signal.signal(15, signal.SIG_IGN)
sys.stderr.write(" ready"); time.sleep(99)
"""


@pytest.fixture
async def make(tmp_path):
    made = []

    def make(idle_s=60, program=PROGRAM):
        made.append(WarmTrainer(tmp_path, (sys.executable, "-c", program, str(idle_s))))
        return made[-1]

    yield make
    for trainer in made:
        await trainer.close()


@pytest.fixture
def started(tmp_path):
    """Starts a training: its process, and a function that returns its log."""

    async def start(trainer, program):
        spec, log = tmp_path / "run" / "spec", tmp_path / "log"
        spec.parent.mkdir(exist_ok=True)
        spec.write_text(program)
        log.unlink(missing_ok=True)
        return await trainer.start(spec, log), log.read_text

    return start


async def ended(child, stop=None):
    async def ignore(event):
        pass

    return await follow_child(child, ignore, stop or asyncio.Event(), grace_s=0.2)


async def until(holds, seconds=20):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("program", "status"),
    [("", 0), ("raise SystemExit(7)", 7), ("os.kill(os.getpid(), 9)", -9), ("1 / 0", 1)],
)
async def test_each_training_is_a_process_of_its_own(make, started, tmp_path, program, status):
    trainer = make()
    parents = set()
    for _ in range(2):
        child, log = await started(trainer, program)
        assert await ended(child) == child.returncode == status
        folder, parent, leads = log().split()[:3]
        assert (folder, leads) == (
            str(tmp_path / "run"),
            "True" + "Traceback" * (program == "1 / 0"),
        )
        parents.add(parent)
    assert len(parents) == 1


async def test_it_can_be_asked_to_stop_and_be_broken_off(make, started):
    trainer = make()
    child, _ = await started(trainer, WAITS)
    stop = asyncio.Event()
    stop.set()
    assert await ended(child, stop) == 3
    child, log = await started(trainer, STUBBORN)
    following = asyncio.create_task(ended(child))
    await until(lambda: "ready" in log())
    # So that the task has begun.
    await asyncio.sleep(0)
    following.cancel()
    with suppress(asyncio.CancelledError):
        await following
    assert child.returncode == -signal.SIGKILL
    # The process that forked it is still there for the next.
    child, _ = await started(trainer, "")
    assert await ended(child) == 0


async def test_an_idle_process_ends_and_is_started_again(make, started):
    trainer = make(idle_s=0.2)
    child, log = await started(trainer, "")
    assert await ended(child) == 0
    first = int(log().split()[1])
    await until(lambda: not psutil.pid_exists(first))
    child, log = await started(trainer, "")
    assert await ended(child) == 0
    assert int(log().split()[1]) != first


LOST = PROGRAM.replace("warm.IDLE_S,", "warm._has_lost_the_gpus = lambda: True; warm.IDLE_S,")


@pytest.mark.parametrize("program", ["", LOST])
async def test_a_process_that_can_not_load_leaves_it_to_others(make, started, tmp_path, program):
    tries = tmp_path / "tries"
    trainer = make(program=f"open({str(tries)!r}, 'a').write('x')\n{program}")
    for _ in range(2):
        assert (await started(trainer, ""))[0] is None
    assert tries.read_text() == "x"


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_training_whose_end_nobody_can_tell_is_lost(make, started, monkeypatch, how):
    monkeypatch.setattr(warm_child, "_TOLD_S", 0.2)
    trainer = make()
    child, log = await started(trainer, "time.sleep(1)")
    await until(log)
    warm = int(log().split()[1])
    os.kill(warm, how)
    with pytest.raises(LostChildError):
        await ended(child)
    await until(lambda: not psutil.pid_exists(child.pid) or how == signal.SIGSTOP)
    # The next one has another process.
    child, log = await started(trainer, "")
    assert await ended(child) == 0
    assert int(log().split()[1]) != warm
    assert not psutil.pid_exists(warm)


async def test_breaking_off_ends_where_the_process_is_stopped(make, started, monkeypatch):
    monkeypatch.setattr(warm_child, "_TOLD_S", 0.2)
    trainer = make()
    child, log = await started(trainer, "time.sleep(99)")
    await until(log)
    os.kill(trainer._process.pid, signal.SIGSTOP)
    following = asyncio.create_task(ended(child))
    await asyncio.sleep(0.1)
    following.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(following, 10)
    assert psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE
    await trainer.close()


async def test_a_process_that_is_stopped_while_idle_gives_way(make, started, monkeypatch):
    monkeypatch.setattr(warm_child, "FORKING_S", 0.2)
    trainer = make()
    child, _ = await started(trainer, "")
    assert await ended(child) == 0
    stopped = trainer._process.pid
    os.kill(stopped, signal.SIGSTOP)
    child, _ = await started(trainer, "")
    assert await ended(child) == 0
    assert not psutil.pid_exists(stopped)


@pytest.mark.parametrize("turns", [*range(8), 200])
async def test_a_start_that_is_broken_off_leaves_no_process(make, started, turns):
    """However often the loop has turned: what is not closed then would be a warning."""
    trainer = make(program="import time; time.sleep(99)")
    before = {each.pid for each in psutil.Process().children()}
    starting = asyncio.create_task(started(trainer, ""))
    for _ in range(turns):
        await asyncio.sleep(0.001)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    await until(lambda: {each.pid for each in psutil.Process().children()} <= before)


async def test_it_ends_with_its_engine(make, started):
    trainer = make()
    child, _ = await started(trainer, "")
    assert await ended(child) == 0
    # As the system does when an engine is killed.
    trainer._socket.close()
    await asyncio.wait_for(trainer._process.wait(), 20)
    assert trainer._process.returncode == 0
