"""What holds for all tests."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

# Selenium brings trio, whose plugin for hypothesis warns where a served model has frozen the
# garbage collector's objects before hypothesis was loaded; a warning is an error here.
os.environ["HYPOTHESIS_NO_PLUGINS"] = "1"

# Models here are tiny: more threads for one only wait for each other, above all where tests run
# side by side.
os.environ.setdefault("OMP_NUM_THREADS", "1")

MEMORY = Path("/dev/shm")
ROOM = 4 * 2**30
"""Bytes free there; a run takes up to 0.5 GB."""


def _use_memory():
    """Put temporary files into memory, where there is a tmpfs with room: commits wait for no disk.

    What tests say of full disks and killed processes holds there too: they refuse writes by a
    limit, and a process that is killed loses no more than on a disk.
    """
    if "TMPDIR" in os.environ or not os.access(MEMORY, os.W_OK | os.X_OK):
        return
    if shutil.disk_usage(MEMORY).free > ROOM:
        os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)


_use_memory()


def pytest_addoption(parser):
    parser.addoption(
        "--instrumentors", action="store_true", help="run the tests of real instrumentors as well"
    )
    parser.addoption(
        "--postgres", action="store_true", help="keep the runs of tests in a PostgreSQL server"
    )


def pytest_ignore_collect(collection_path, config):
    # They install some 500 MB outside of the project's environment.
    is_long = collection_path.name == "instrumentors" and collection_path.is_dir()
    return True if is_long and not config.getoption("--instrumentors") else None


@pytest.fixture(scope="session")
def postgres_session():
    """A PostgreSQL server; None where none is installed."""
    from support.postgres_server import postgres_server

    with postgres_server() as server:
        yield server


@pytest.fixture(scope="session", autouse=True)
def _stores_in_postgres(request):
    """With `--postgres`, a store that would be a file is a database of a server."""
    if not request.config.getoption("--postgres"):
        yield
        return
    server = request.getfixturevalue("postgres_session")
    assert server is not None, "no PostgreSQL server is installed (Debian's package postgresql)"
    from langchain_finetune.local.store import NO_LIMITS, RunStore
    from support import postgres_server

    make = RunStore.__init__

    def in_server(self, path, limits=NO_LIMITS, *, server=None, _servers=server):
        make(self, path, limits, server=server or _servers.address_for(path))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunStore, "__init__", in_server)
        patch.setattr(postgres_server, "in_use", server)
        yield


# What shares an engine and a model that a training took long to make stays in one process.
WALKTHROUGH = "walkthrough"
WALKTHROUGH_FIXTURES = {"engine", "home", "langsmith", "traffic", "chain", "tuned", "url"}


def pytest_collection_modifyitems(config, items):
    """Where tests run side by side, keep a file's together, and begin with the longest."""
    if config.getoption("--postgres"):
        reason = "speaks of a file, and runs are in a PostgreSQL server"
        for item in items:
            if item.get_closest_marker("file"):
                item.add_marker(pytest.mark.skip(reason=reason))
    if not config.pluginmanager.hasplugin("xdist"):
        return
    walkthrough = {
        item.path
        for item in items
        if item.path.parent.name == "e2e" and WALKTHROUGH_FIXTURES & set(item.fixturenames)
    }
    training = {item.path for item in items if item.get_closest_marker("train")}
    for item in items:
        group = WALKTHROUGH if item.path in walkthrough else item.path.name
        if item.path.stem.endswith("_ray"):
            # Two clusters on one machine may ask for the same ports.
            group = "ray"
        item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=lambda item: (item.path not in walkthrough, item.path not in training))
