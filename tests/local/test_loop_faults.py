"""The training loop where processes die and the wire fails: each example once an epoch."""

import json
import os
import random
import signal
from collections import Counter
from pathlib import Path

import pytest

from support import fireworks_server, loop_server
from support.fireworks_server import MOST_SESSIONS, FireworksServer
from support.loop_server import LoopServer
from support.servers import served
from support.warm_process import WarmProcess
from tests.local.loop_worker import BATCH, EXAMPLES
from tests.local.training_process import finish

WORKER = str(Path(__file__).with_name("loop_worker.py"))
SEEDS = int(os.environ.get("FUZZ_CASES", "40"))
EPOCHS = 3
STEPS = -(-EXAMPLES // BATCH)
REQUESTS = {"tinker": 57, "fireworks": 79}
"""That an undisturbed training sends."""
SERVERS = {"tinker": LoopServer, "fireworks": FireworksServer}
KEYS = {"tinker": loop_server.KEY, "fireworks": fireworks_server.KEY}


def begin(folder, url, host="tinker", **given):
    folder.mkdir(exist_ok=True)
    (folder / "key").write_text(KEYS[host])
    spec = {
        "base": "nano",
        "name": "nano",
        "train": "unused",
        "output": str(folder / "models"),
        "work": str(folder),
        "hyperparameters": {"n_epochs": EPOCHS, "batch_size": BATCH} | given,
        "host": {"name": host, "base_url": url},
        "host_key": str(folder / "key"),
        "job": folder.name,
        "suffix": "even",
    }
    (folder / "spec.json").write_text(json.dumps(spec))
    return WarmProcess(WORKER, folder / "spec.json")


class Faults:
    """What happens to the requests of a job, drawn by a seed."""

    def __init__(self, seed, host="tinker"):
        draw = random.Random(seed)
        self.host, requests = host, REQUESTS[host]
        self.kills = sorted(draw.sample(range(1, requests), draw.randint(0, 3)))
        kinds = draw.choices(["refuse", "lose"], k=draw.randint(0, 4))
        self.answers = {draw.randint(1, requests): kind for kind in kinds}
        self.drawn = dict(self.answers)
        self.process = None
        self.killed = 0

    def __call__(self, number, path):
        if self.kills and number >= self.kills[0]:
            del self.kills[0]
            self.killed += 1
            os.kill(self.process.pid, signal.SIGKILL)
            return "kill"
        return self.answers.pop(number, None)


def trained(folder, server, faults):
    """Run a job until a process ends by itself; return its events."""
    server.fault = faults
    with served(server.app) as url:
        while True:
            faults.process = begin(folder, url, faults.host)
            events, status, log = finish(faults.process)
            if status != -signal.SIGKILL:
                assert status == 0, log
                return events


def epochs_of(seen):
    """How often each datum was in each epoch of what a model has seen, update by update."""
    epochs = [seen[start : start + STEPS] for start in range(0, len(seen), STEPS)]
    return [Counter(datum for step in epoch for datum in step) for epoch in epochs]


def check_models(server, hosted):
    """Each model has seen every example once an epoch."""
    assert set(hosted) == {str(STEPS * (epoch + 1)) for epoch in range(EPOCHS)}
    for step, path in hosted.items():
        epochs = epochs_of(server.saved[path][0])
        assert len(epochs) == int(step) // STEPS
        assert all(len(epoch) == EXAMPLES and {*epoch.values()} == {1} for epoch in epochs)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_each_example_once_an_epoch_and_no_session_left_running(seed, tmp_path):
    server, faults = LoopServer(), Faults(seed)
    events = trained(tmp_path / "job", server, faults)
    done = events[-1]
    assert (done["event"], done["step"]) == ("done", STEPS)  # The loss is the same everywhere.
    check_models(server, done["hosted"])
    assert server.running == []
    models = {path for path in server.saved if "/sampler_weights/" in path}
    assert models == {*done["hosted"].values()}
    kept = server.saved.keys() - models
    # What a killed process had saved and not yet written down expires by itself.
    assert len(kept) <= faults.killed


@pytest.mark.parametrize("seed", range(SEEDS))
def test_fireworks_has_one_model_a_checkpoint_and_no_session_left(seed, tmp_path):
    server, faults = FireworksServer(), Faults(seed, "fireworks")
    events = trained(tmp_path / "job", server, faults)
    done = events[-1]
    assert (done["event"], done["step"]) == ("done", STEPS)
    check_models(server, done["hosted"])
    assert server.running == []
    assert {f"accounts/acme/models/{name}" for name in server.models} == {*done["hosted"].values()}
    # What nobody was told of gets no sign of life, so it ends by itself.
    assert not server.unheard & server.beats.keys()
    assert len(server.unheard) <= faults.killed + len(faults.drawn)
    assert not any("telemetry" in path for path in server.requests)


def test_without_a_search_for_sessions_the_known_ones_are_closed(tmp_path):
    server, faults = LoopServer(searches=False), Faults(0)
    faults.answers, faults.kills = {}, [20]
    trained(tmp_path / "job", server, faults)
    assert len(server.sessions) == 2
    assert server.running == []


def test_a_state_that_is_gone_lets_the_training_begin_anew(tmp_path):
    server, faults = LoopServer(), Faults(0)
    faults.answers, faults.kills = {}, [40]

    def gone(number, path):
        if path == "load_weights":
            server.saved.clear()
        return faults(number, path)

    faults_of = gone
    server.fault = faults_of
    with served(server.app) as url:
        for _ in range(2):
            faults.process = begin(tmp_path / "job", url)
            events, status, log = finish(faults.process)
    assert status == 0, log
    path = events[-1]["hosted"][str(STEPS * EPOCHS)]
    assert len(epochs_of(server.saved[path][0])) == EPOCHS


def test_fireworks_takes_a_state_that_is_gone_as_a_new_beginning(tmp_path):
    server, faults = FireworksServer(), Faults(0, "fireworks")
    faults.answers, faults.kills = {}, [60]

    def gone(number, path):
        if path == "load_weights":
            for name in [*server.saved]:
                if "/run-" in name:
                    del server.saved[name]
        return faults(number, path)

    server.fault = gone
    with served(server.app) as url:
        for _ in range(2):
            faults.process = begin(tmp_path / "job", url, "fireworks")
            events, status, log = finish(faults.process)
    assert status == 0, log
    check_models(server, events[-1]["hosted"])
    assert len(server.models) == EPOCHS
    assert server.running == []


def test_without_a_free_slot_at_fireworks_the_job_waits(tmp_path):
    server = FireworksServer()
    for number in range(MOST_SESSIONS):
        server.sessions[f"other{number}"] = {"status": "active"}

    def frees(number, path):
        if number > 3:
            server.sessions.pop("other0", None)

    server.fault = frees
    with served(server.app) as url:
        events, status, log = finish(begin(tmp_path / "job", url, "fireworks"))
    assert status == 0, log
    waits = [each["reason"] for each in events if each["event"] == "waiting" and each["reason"]]
    assert waits
    assert all("it has no capacity now, status 429" in each for each in waits)
    assert len(server.running) == MOST_SESSIONS - 1


def test_a_base_that_fireworks_does_not_train_ends_the_job_with_its_words(tmp_path, monkeypatch):
    monkeypatch.setattr(fireworks_server, "BASE", "accounts/fireworks/models/other")
    server = FireworksServer()
    with served(server.app) as url:
        events, status, _ = finish(begin(tmp_path / "job", url, "fireworks"))
    assert (status, events[-1]["code"]) == (1, "host_refused")
    assert "no eligible shared trainer found for base model" in events[-1]["message"]
    assert server.running == []
