"""Real trainings of two processes, on one machine and on what stand for two."""

import itertools
import json
import os
import random
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager

import psutil
import pytest

from support.warm_process import WarmProcess
from tests.local.tiny_model import example, make_tiny_model
from tests.local.training_process import TRAIN, finish, weights, write_spec

REAL = (sys.executable, "-m", "langchain_finetune.local", "--home")

SHARED_OUT = """
import os, sys
if "RANK" in os.environ:
    from accelerate.state import DistributedType, PartialState
    from langchain_finetune.local.training import fit

    set_up = PartialState.__init__

    def as_on_gpus(self, *given, **named):
        set_up(self, *given, **named)
        if self.distributed_type == DistributedType.MULTI_CPU:
            self.distributed_type = DistributedType.MULTI_MLU

    PartialState.__init__ = as_on_gpus
    fit.must_be_shared_out = lambda *_: True
else:
    from langchain_finetune.local.training.machines import process
    process.COMMAND = (sys.executable, __file__)
from langchain_finetune.local.training.__main__ import main
sys.exit(main())
"""
"""A training whose model is too large for each GPU, though there are none.

accelerate leaves FSDP out on CPUs, though PyTorch has it there: it is told of others.
"""

OPTIONS = {"n_epochs": 2, "batch_size": 8}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_tiny_model(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def alone(tmp_path_factory, base):
    """The reports of one process, by LoRA's rank."""
    folder = tmp_path_factory.mktemp("alone")
    return {
        rank: train(folder / str(rank), base, *data(), lora_rank=rank, **OPTIONS)[0]
        for rank in (0, 4)
    }


def data():
    """Chats of many lengths; neither 13 nor 5 can be shared by two equally."""
    rng = random.Random(1)
    chats = []
    for n in range(18):
        chat = example(n, n + 1)
        said = {"role": "assistant", "content": "It is. " * rng.randint(1, 30), "weight": n % 2}
        asked = {"role": "user", "content": "Sure?"}
        chats.append(
            {**chat, "messages": [*chat["messages"][:1], said, asked, said | {"weight": 1}]}
        )
    return chats[:13], chats[13:]


def train(*given, program=TRAIN, **named):
    return finish(WarmProcess(program, write_spec(*given, **named)))


def losses(events):
    return [
        (each["step"], each["train_loss"], each.get("valid_loss"))
        for each in events
        if each["event"] == "metrics"
    ]


def assert_alike(two, one):
    assert [each["event"] for each in two] == [each["event"] for each in one]
    assert {**two[0], "resumed_from": None} == one[0]
    for found, expected in zip(losses(two), losses(one), strict=True):
        assert found == pytest.approx(expected, abs=1e-3)


@pytest.mark.train
@pytest.mark.parametrize("rank", [0, 4])
def test_two_processes_learn_what_one_does(tmp_path, base, alone, rank):
    machines = {"trainer": "torchrun", "processes": 2}
    events, status, log = train(
        tmp_path / "two", base, *data(), machines=machines, lora_rank=rank, **OPTIONS
    )
    assert status == 0, log
    assert_alike(events, alone[rank])
    assert weights(tmp_path / "two")


@pytest.mark.train
@pytest.mark.timeout(300)
def test_a_model_that_is_shared_out_learns_the_same(tmp_path, base, alone):
    """FSDP2 on CPUs; the second run goes on from the checkpoint of the first epoch."""
    script = tmp_path / "shared_out.py"
    script.write_text(SHARED_OUT)
    machines = {"trainer": "torchrun", "processes": 2}
    spec = write_spec(tmp_path / "two", base, *data(), machines=machines, lora_rank=4, **OPTIONS)
    events, status, log = finish(WarmProcess(str(script), spec))
    assert status == 0, log
    assert_alike(events, alone[4])
    first, last = (tmp_path / "two" / "work" / f"checkpoint-{step}" for step in (2, 4))
    assert (first / "optimizer.bin").exists()
    (last / "complete").unlink()
    (tmp_path / "two" / "models").rename(tmp_path / "before")
    events, status, log = finish(WarmProcess(str(script), spec))
    assert status == 0, log
    assert events[0]["resumed_from"] == 2
    assert_alike(events, alone[4])


@pytest.mark.parametrize("processes", [2, 3])
def test_each_example_is_trained_once_an_epoch(processes):
    from accelerate.data_loader import BatchSamplerShard
    from torch.utils.data import BatchSampler

    from langchain_finetune.local.training.trainers import ByLength

    size, examples = 2, 13
    fillers = -examples % (size * processes)
    sampler = ByLength(
        list(range(1, 1 + examples)), step=size * processes * 2, seed=3, fillers=fillers
    )
    batches = BatchSampler(sampler, size, drop_last=False)
    shares = [list(BatchSamplerShard(batches, processes, rank)) for rank in range(processes)]
    assert len({len(share) for share in shares}) == 1
    seen = [place for share in shares for batch in share for place in batch]
    assert sorted(seen) == list(range(examples + fillers))
    # The examples of the first step are those of a single process's.
    whole = ByLength(list(range(1, 1 + examples)), step=size * processes * 2, seed=3)
    steps = [itertools.chain(*(share[0] + share[1] for share in shares))]
    assert set(*steps) == set(list(whole)[: size * processes * 2])


def test_what_is_decided_for_several_processes(monkeypatch):
    from langchain_finetune.local.training import memory
    from langchain_finetune.local.training.plan import make_plan
    from langchain_finetune.methods import Hyperparameters

    def plan(processes, **asked):
        made = make_plan(
            Hyperparameters(**asked), examples=100, parameters=10**9, processes=processes
        )
        return made.shared_by(processes)

    assert [plan(number).batch_size for number in (1, 2, 3, 16)] == [8, 8, 9, 16]
    assert not memory.must_be_shared_out(plan(2), 10**12)
    monkeypatch.setattr(memory, "device", lambda: "cuda")
    monkeypatch.setattr(memory, "trains_in_bfloat16", lambda: True)
    monkeypatch.setattr(memory, "model_memory", lambda: 40 * 10**9)
    # LoRA holds 2 bytes a parameter; all weights take 16.
    for rank, fits, too_large in ((16, 19, 21), (0, 2, 3)):
        assert not memory.must_be_shared_out(plan(2, lora_rank=rank), fits * 10**9)
        assert memory.must_be_shared_out(plan(2, lora_rank=rank), too_large * 10**9)
        assert not memory.must_be_shared_out(plan(1, lora_rank=rank), too_large * 10**9)
    assert not memory.must_be_shared_out(plan(2, load_in_4bit=True), 21 * 10**9)


@contextmanager
def machine(home, address):
    """What stands for another machine."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("LCFT_")}
    with subprocess.Popen(
        [
            *(sys.executable, "-m", "langchain_finetune.cli", "trainer"),
            *("--join", address, "--processes", "1"),
        ],
        env=environment | {"LCFT_HOME": str(home)},
        stderr=subprocess.PIPE,
    ) as joined:
        try:
            yield psutil.Process(joined.pid)
        finally:
            joined.kill()


@pytest.mark.train
def test_a_job_on_two_machines_goes_on_after_a_kill(start, until, base):
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    variables = {
        "LCFT_TRAINER": "torchrun",
        "LCFT_TRAINER_ADDRESS": address,
        "LCFT_TRAINER_NODES": "2",
        "LCFT_TRAINER_PROCESSES": "1",
    }
    content = "\n".join(json.dumps(example(n, n + 1)) for n in range(24)).encode()
    with (
        start(command=REAL, variables=variables) as engine,
        machine(engine.home, address) as other,
        engine.client(max_retries=2) as client,
    ):
        jobs = client.fine_tuning.jobs
        file = client.files.create(file=("train.jsonl", content), purpose="fine-tune").id
        job = jobs.create(model=str(base), training_file=file, hyperparameters={"n_epochs": 50}).id

        def said(text):
            return [
                each.message for each in jobs.list_events(job, limit=100) if text in each.message
            ]

        until(lambda: said("Step 5/"), seconds=120)
        [process] = other.children()
        process.kill()
        until(lambda: said("All start again, from the last checkpoint."), seconds=60)
        assert "rank 1 on" in said("All start again")[0]
        assert "SIGKILL" in said("All start again")[0]
        until(lambda: said("going on after step"), seconds=60)
        until(lambda: jobs.retrieve(job).status == "running", seconds=60)
        assert client.fine_tuning.jobs.pause(job).status == "paused"
        until(lambda: not other.children(), seconds=20)
        here = psutil.Process(engine.process.pid)
        assert not [each for each in here.children(recursive=True) if "RANK" in each.environ()]
        assert jobs.resume(job).status == "queued"
        until(other.children, seconds=60)
        assert jobs.cancel(job).status == "cancelled"
        until(lambda: not other.children(), seconds=20)
        assert not [each for each in here.children(recursive=True) if "RANK" in each.environ()]
        assert not list((engine.home / "jobs" / job).glob("*/"))
        other.send_signal(signal.SIGTERM)
