"""Training at a host, end to end: an engine of its own, and what its home and page show."""

import os
import signal
import time
from contextlib import contextmanager

import httpx2
import pytest

from langchain_finetune import Convert, FineTune
from langchain_finetune.engines.local import find_engine, stop_engine
from langchain_finetune.home import HOME_VARIABLE, RunningEngine
from support.jobs import chats
from support.servers import served


@contextmanager
def own_home(folder, engine):
    """A home with an engine of its own, which has no key for any host in its environment."""
    home = folder / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(HOME_VARIABLE, str(home))
        for name in ("API_KEY", "BASE_URL"):
            patch.delenv(f"{engine.upper()}_{name}", raising=False)
        yield home
        stop_engine(home)


@contextmanager
def addressed(server):
    """Serve a host, which knows its `address`."""
    with served(server.app) as url:
        server.address = url
        yield server


def step_at(server, engine, key, **settings):
    """A step that trains `nano` at a host."""
    usual = {"model": "nano", "base_url": server.address, "api_key": key, "seed": 1}
    given = {"hyperparameters": {"n_epochs": 2, "batch_size": 6}}
    return FineTune(engine=engine, **usual | given | settings)


def examples(text="Is {n} even?"):
    return Convert().invoke(chats(text=text))


def holders_of_key(home, key):
    """The files of a home that have the key."""
    files = (path for path in home.rglob("*") if path.is_file())
    return [path for path in files if key.encode() in path.read_bytes()]


def pages(home, *paths):
    """The texts of pages of the engine."""
    engine = find_engine(home)
    key = {"Authorization": f"Bearer {engine.api_key.get_secret_value()}"}
    with httpx2.Client(base_url=engine.url, trust_env=False, follow_redirects=True) as browser:
        ticket = browser.post("/ui/tickets", headers=key).json()["ticket"]
        browser.get("/ui/sign-in", params={"ticket": ticket})
        return [browser.get(path).text for path in paths]


def kill_engine_and_trainer(home, job_id):
    """Kill both at once, so that neither can close anything."""
    [owner] = home.rglob(f"{job_id}/work/.owner")
    trainer = int(owner.read_text())
    os.kill(trainer, signal.SIGSTOP)
    os.kill(RunningEngine.read(home).pid, signal.SIGKILL)
    os.kill(trainer, signal.SIGKILL)


def until(condition, seconds=240):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.05)
