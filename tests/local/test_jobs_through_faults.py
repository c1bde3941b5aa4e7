"""A chain, a proxy that breaks HTTP on a real socket, and a real engine (with a fake trainer)."""

import asyncio
import os
import random
import signal
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest
from langchain_core.callbacks import BaseCallbackHandler

from langchain_finetune import Convert, FineTune, FineTuningError
from langchain_finetune.finetune.callbacks import PROGRESS_EVENT
from langchain_finetune.home import HOME_VARIABLE
from support.fault_proxy import AFTER, BEFORE, FaultProxy
from support.jobs import chats, quick_flows
from support.warm_process import WarmProcess

SEEDS = int(os.environ.get("PROXY_CASES", "30"))
KILLS = int(os.environ.get("KILL_CASES", "5"))
CLIENT = str(Path(__file__).parents[1] / "support" / "client_process.py")

# The requests of a run: 0 looks for the job, 1 for the base, 2 uploads, 3 creates, then it waits.
STEPS = [(3, "after"), (3, "before"), (2, "after"), (6, "before"), (4, "after")]
STEPS += [(n, when) for n in range(7) for when in ("before", "after") if (n, when) not in STEPS]


class Hears(BaseCallbackHandler):
    raise_error = True

    def __init__(self):
        self.events = []

    def on_custom_event(self, name, data, **_):
        if name == PROGRESS_EVENT and data["event_id"]:
            self.events.append(data["event_id"])


def made(client, training_name):
    """Return the jobs, and the uploaded files, of one training set, by the job's file."""
    files = [file for file in client.files.list() if file.filename == training_name]
    ids = {file.id for file in files}
    return [job for job in client.fine_tuning.jobs.list() if job.training_file in ids], files


def check(client, home, model_name, heard):
    """Hold what has to be: one job, one file, its model, every event once and in order."""
    with closing(sqlite3.connect(home / "ledger.sqlite")) as ledger:
        [(sha256,)] = ledger.execute("SELECT sha256 FROM files").fetchall()
    [job], [_] = made(client, f"{sha256}.jsonl")
    assert model_name == job.fine_tuned_model
    events = [event.id for event in client.fine_tuning.jobs.list_events(job.id)][::-1]
    assert heard == events


@pytest.mark.parametrize("seed", range(SEEDS))
def test_the_wire_breaks(engine, client, tmp_path, monkeypatch, seed):
    rng = random.Random(seed)
    rate = rng.uniform(0.1, 0.4)

    def choose(_number, _line):
        return rng.choice([*BEFORE, *AFTER]) if rng.random() < rate else None

    home = tmp_path / "home"
    monkeypatch.setenv(HOME_VARIABLE, str(home))
    examples = Convert().invoke(chats(text=f"Wire {seed}, {{n}}?"))
    hears = Hears()
    with FaultProxy(engine.url, choose) as proxy, quick_flows():
        step = FineTune(model="nano", base_url=f"{proxy.url}/v1", api_key=engine.key, seed=0)
        for _ in range(20):
            try:
                if seed % 2:
                    model = asyncio.run(step.ainvoke(examples, {"callbacks": [hears]}))
                else:
                    model = step.invoke(examples, {"callbacks": [hears]})
                break
            except FineTuningError:
                # Somebody starts the chain again.
                continue
        else:
            pytest.fail("it never ended")
    check(client, home, model.model_name, hears.events)


def client_process(engine, url, home, *arguments):
    environment = {
        **os.environ,
        "OPENAI_BASE_URL": f"{url}/v1",
        "OPENAI_API_KEY": engine.key,
        HOME_VARIABLE: str(home),
    }
    return WarmProcess(CLIENT, *arguments, env=environment, stderr=sys.__stderr__)


def test_two_processes_at_once_make_one_job(engine, client, tmp_path):
    home = tmp_path / "home"
    heard = [str(tmp_path / "one"), str(tmp_path / "two")]
    with (
        client_process(engine, engine.url, home, heard[0], "Two at once") as one,
        client_process(engine, engine.url, home, heard[1], "Two at once") as two,
    ):
        names = [process.stdout.read() for process in (one, two)]
    assert names[0] == names[1]
    told = max((Path(path).read_text().split() for path in heard), key=len)
    check(client, home, names[0], told)


@pytest.mark.parametrize(("number", "when"), STEPS[:KILLS])
def test_the_client_is_killed(engine, client, tmp_path, number, when):
    home, heard = tmp_path / "home", tmp_path / "heard"
    process = None

    def kill(at, _line):
        if at == number and process.poll() is None:
            process.kill()
            process.wait(60)

    hooks = {"choose": kill} if when == "before" else {"after": kill}
    with FaultProxy(engine.url, **hooks) as proxy:
        arguments = engine, proxy.url, home, str(heard), f"Killed {when} {number}"
        with client_process(*arguments) as process:
            assert process.wait(240) == -signal.SIGKILL
        with client_process(*arguments) as process:
            model_name = process.stdout.read()
    told = heard.read_text().split()
    # An event that was being told when the process died is told again, under the same id.
    once = [name for name, before in zip(told, [None, *told], strict=False) if name != before]
    check(client, home, model_name, once)
