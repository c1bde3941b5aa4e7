"""Power cuts of a disk, under load: nothing that was acknowledged is lost, and the engine starts.

The home lies on ext4 on `support/losing_disk.py`. It takes root, FUSE and loop devices.

POWER_CUTS=60 POWER_CUTS_SEED=1 pytest tests/local/test_power_cuts_of_a_disk.py
"""

import os
import random
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from tests.local.conftest import running_engine
from tests.local.sigkill_load import ENDED, LINE, Book, finish, under_load
from tests.local.test_sigkills import check, ended_well, nothing_is_left_over, reader

CUTS = int(os.environ.get("POWER_CUTS", "3"))
SEED = int(os.environ.get("POWER_CUTS_SEED", "5"))
SIZE = 2**30
ACTORS = 3
DISK = Path(__file__).parents[1] / "support" / "losing_disk.py"

pytestmark = pytest.mark.skipif(
    not (
        sys.platform == "linux"
        and os.geteuid() == 0
        and os.access("/dev/fuse", os.R_OK)
        and os.access("/dev/loop-control", os.R_OK)
        and shutil.which("mkfs.ext4")
    ),
    reason="takes root, FUSE, loop devices and ext4",
)


def run(*command):
    subprocess.run(command, check=True, capture_output=True, timeout=60)


class Machine:
    """A disk with a file system, and the power to cut."""

    def __init__(self, folder, disk):
        self.image, self.mount = folder / "disk" / "image", folder / "mount"
        self._disk = disk
        self.mount.mkdir()
        run("mkfs.ext4", "-q", "-F", str(self.image))

    def _tell(self, command):
        self._disk.stdin.write(f"{command}\n")
        self._disk.stdin.flush()
        return self._disk.stdout.readline().strip()

    @contextmanager
    def on(self):
        run("mount", "-o", "loop", str(self.image), str(self.mount))
        try:
            yield self.mount / "home"
        finally:
            self._end_processes()
            run("umount", str(self.mount))

    def cut(self, engine, seed):
        """Lose power; return how many blocks that were written are lost."""
        lost = int(self._tell(f"cut {seed}"))
        # Whoever asks now is not answered: nothing more is acknowledged.
        engine.process.kill()
        time.sleep(0.2)
        self._tell("release")
        engine.process.wait()
        return lost

    def restore(self):
        self._tell("on")

    def _end_processes(self):
        for process in psutil.process_iter(["cmdline", "pid"]):
            if str(self.mount) in " ".join(process.info["cmdline"] or ()):
                with suppress(psutil.Error):
                    process.kill()
                    process.wait(30)


@pytest.fixture
def machine(tmp_path):
    (tmp_path / "disk").mkdir()
    command = [sys.executable, str(DISK), str(tmp_path / "disk"), str(SIZE)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as disk:
        assert disk.stdout.readline() == "mounted\n"
        try:
            yield Machine(tmp_path, disk)
        finally:
            subprocess.run(["umount", "-l", str(tmp_path / "mount")], check=False, stderr=-3)
            subprocess.run(["umount", "-l", str(tmp_path / "disk")], check=False, stderr=-3)
            disk.stdin.close()


def begin(book, client):
    """Train, whatever the actors do."""
    file = client.files.create(file=("a.jsonl", (LINE % 1) * 12), purpose="fine-tune").id
    book.jobs[client.fine_tuning.jobs.create(model="nano", training_file=file, seed=8).id] = "run"


@pytest.mark.timeout(600 + 90 * CUTS)
def test_power_cuts_lose_nothing(machine, until):
    chance, book, lost = random.Random(SEED), Book(), []
    for cut in range(CUTS):
        with machine.on() as home, running_engine(home, stop=False) as engine:
            with reader(engine) as store, engine.client() as client:
                check(book, client, store)
                if not book.jobs:
                    begin(book, client)
            with under_load(engine, book, f"{SEED}.{cut}", ACTORS, cut + 2):
                time.sleep(chance.uniform(0.3, 3))
                lost.append(machine.cut(engine, f"{SEED}.{cut}"))
        machine.restore()
    with ExitStack() as stack:
        engine = stack.enter_context(running_engine(stack.enter_context(machine.on())))
        with reader(engine) as store, engine.client() as client:
            check(book, client, store)
            for upload in book.sure(list(book.uploads)):
                finish(book, client, upload)
            jobs = client.fine_tuning.jobs
            for job in book.jobs:
                if jobs.retrieve(job).status == "paused":
                    jobs.resume(job)
            for job in book.jobs:
                until(lambda: jobs.retrieve(job).status in ENDED, seconds=240)  # noqa: B023
            check(book, client, store)
            assert sum(ended_well(book, client, job) for job in book.jobs)
            nothing_is_left_over(engine.home, client)
    # Of what was not acknowledged; in a few cuts it may be nothing.
    assert any(lost) or CUTS < 20


def test_the_disk_loses_what_is_not_flushed(machine):
    """The test above can fail."""
    with machine.on() as folder:
        for name in ("kept", "lost"):
            (folder.with_name(name)).write_bytes(name.encode() * 1000)
        with (folder.with_name("kept")).open("rb") as kept:
            os.fsync(kept.fileno())
        parent = os.open(folder.parent, os.O_RDONLY)
        os.fsync(parent)
        os.close(parent)

        class Nobody:
            class process:  # noqa: N801 - has its face
                kill = wait = staticmethod(lambda: None)

        machine.cut(Nobody, "0")
    machine.restore()
    with machine.on() as folder:
        assert (folder.with_name("kept")).read_bytes() == b"kept" * 1000
        assert (folder.with_name("lost")).read_bytes() != b"lost" * 1000
