"""Training processes on a Ray cluster of one machine."""

import json
import os
import subprocess
import sys

import psutil
import pytest

from support.warm_process import WarmProcess
from tests.local.test_machines_train import OPTIONS, assert_alike, data, train
from tests.local.tiny_model import make_tiny_model
from tests.local.training_process import TRAIN, finish, write_spec

pytest.importorskip("ray")

CLUSTER = """
import ray, sys
found = ray.init(num_cpus=2, include_dashboard=False, object_store_memory=80_000_000)
print(found.address_info["gcs_address"], flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_tiny_model(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """The address of a cluster with two CPUs."""
    log = tmp_path_factory.mktemp("ray") / "log"
    with (
        log.open("wb") as out,
        subprocess.Popen(
            [sys.executable, "-c", CLUSTER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=out,
            env=os.environ | {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"},
        ) as process,
    ):
        address = process.stdout.readline().decode().strip()
        assert address, log.read_text()
        yield address
        process.stdin.close()


@pytest.mark.train
@pytest.mark.timeout(400)
def test_a_cluster_trains_as_one_process_does_and_goes_on_after_a_kill(tmp_path, base, cluster):
    alone, _, _ = train(tmp_path / "alone", base, *data(), **OPTIONS)
    machines = {"trainer": "ray", "address": cluster, "processes": 2}
    spec = write_spec(tmp_path / "two", base, *data(), machines=machines, **OPTIONS)
    with WarmProcess(TRAIN, spec) as process:
        for line in process.stdout:
            reported = json.loads(line)
            if reported.get("step") == alone[-1]["checkpoints"][0]["step"] + 1:
                [killed] = [each for each in ranks(spec) if each.environ()["RANK"] == "1"]
                killed.kill()
    assert reported["code"] == "worker_lost", reported
    assert "rank 1 on" in reported["message"]
    assert "SIGKILL" in reported["message"]
    assert not ranks(spec)
    events, status, log = finish(WarmProcess(TRAIN, spec))
    assert status == 0, log
    assert events[0]["resumed_from"] == alone[-1]["checkpoints"][0]["step"]
    assert_alike(events, alone)
    assert (tmp_path / "two" / "trainer-1.log").exists()


def ranks(spec):
    found = []
    for each in psutil.process_iter(["cmdline"]):
        command = each.info["cmdline"] or []
        if command[-1:] == [str(spec)] and "RANK" in each.environ():
            found.append(each)
    return found


@pytest.mark.timeout(300)
def test_a_cluster_without_room_or_that_is_not_there(tmp_path, base, cluster):
    machines = {"trainer": "ray", "address": cluster, "processes": 3, "wait_s": 1}
    events, status, _ = train(tmp_path / "three", base, *data(), machines=machines)
    assert (events[-1]["code"], status) == ("trainer_unavailable", 1)
    assert "no room for ranks 0 to 2, each with a CPU: it has 2 CPUs" in events[-1]["message"]
    machines["address"] = "127.0.0.1:1"
    events, status, _ = train(tmp_path / "nobody", base, *data(), machines=machines)
    assert (events[-1]["code"], status) == ("trainer_unavailable", 1)
    assert "'127.0.0.1:1' can't be used" in events[-1]["message"]
