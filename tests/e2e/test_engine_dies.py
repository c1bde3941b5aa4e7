"""An engine that is killed while it trains is started again, and the waiting chain carries on."""

import os
import signal

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, HumanMessage

from langchain_finetune import Convert, FineTune, Hyperparameters
from langchain_finetune.engines.local import stop_engine
from langchain_finetune.finetune.callbacks import PROGRESS_EVENT
from langchain_finetune.home import HOME_VARIABLE, RunningEngine

pytestmark = pytest.mark.train


class KillsTheEngine(BaseCallbackHandler):
    """Kills the engine at the first step of training; remembers what was told."""

    raise_error = True

    def __init__(self, home):
        self.home = home
        self.killed = None
        self.told = []
        self.jobs = set()

    def on_custom_event(self, name, data, **_):
        if name != PROGRESS_EVENT:
            return
        self.told.append(data["status"])
        self.jobs.add(data["job_id"])
        if self.killed is None and "step" in data["data"]:
            self.killed = RunningEngine.read(self.home)
            os.kill(self.killed.pid, signal.SIGKILL)


def test_the_chain_outlives_the_engine(tmp_path, monkeypatch):
    home = tmp_path / "home"
    monkeypatch.setenv(HOME_VARIABLE, str(home))
    chats = [{"messages": [HumanMessage(f"Is {n} even?"), AIMessage("Yes")]} for n in range(40)]
    handler = KillsTheEngine(home)
    step = FineTune(
        model="nano", engine="local", hyperparameters=Hyperparameters(n_epochs=6), timeout_s=300
    )
    try:
        model = step.invoke(Convert().invoke(chats), {"callbacks": [handler]})
        assert model.invoke("Is 3 even?").content
        assert RunningEngine.read(home).pid != handler.killed.pid
    finally:
        stop_engine(home, timeout_s=60)
    assert "the engine does not answer, trying again" in handler.told
    assert len(handler.jobs) == 1
