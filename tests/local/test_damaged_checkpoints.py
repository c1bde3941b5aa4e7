"""A damaged checkpoint, or a stopped trainer of a dead engine, does not end a training."""

import json
import os
import signal
import sys
from contextlib import suppress

import pytest

from tests.local.test_jobs_train import examples

REAL = (sys.executable, "-m", "langchain_finetune.local", "--home")


def begin(client, base, epochs):
    content = "\n".join(map(json.dumps, examples())).encode()
    file = client.files.create(file=("lines.jsonl", content), purpose="fine-tune").id
    asked = {"n_epochs": epochs, "batch_size": 8, "lora_rank": 0}
    return client.fine_tuning.jobs.create(model=base, training_file=file, hyperparameters=asked).id


def killed_at(start, until, base, *, checkpoints, stopped=False, epochs=30):
    """Kill an engine whose training has so many checkpoints; return its home, and the job."""
    with start(command=REAL, stop=False) as engine, engine.client(max_retries=2) as client:
        job = begin(client, base, epochs)
        work = engine.home / "jobs" / job / "work"
        until(lambda: len(list(work.glob("checkpoint-*/complete"))) >= checkpoints, seconds=240)
        trainer = int((work / ".owner").read_text())
        if stopped:
            os.kill(trainer, signal.SIGSTOP)
        engine.process.kill()
        engine.process.wait()
        if not stopped:
            # Until the next engine ends it, it would write further checkpoints.
            with suppress(ProcessLookupError):
                os.kill(trainer, signal.SIGKILL)
    return work, job, trainer


def steps_of(work):
    return sorted(int(mark.parent.name[11:]) for mark in work.glob("checkpoint-*/complete"))


@pytest.mark.train
@pytest.mark.parametrize("damaged", ["model.safetensors", "trainer_state.json", "optimizer.pt"])
def test_a_damaged_checkpoint_gives_way_to_the_earlier_one(start, until, tiny_model, damaged):
    work, job, _ = killed_at(start, until, str(tiny_model), checkpoints=3)
    *_, earlier, last = steps_of(work)
    os.truncate(work / f"checkpoint-{last}" / damaged, 0)
    with start(command=REAL) as engine, engine.client(max_retries=2) as client:
        jobs = client.fine_tuning.jobs
        until(lambda: jobs.retrieve(job).status in {"succeeded", "failed"}, seconds=240)
        messages = [event.message for event in jobs.list_events(job, limit=100)]
        log = (work.parent / "trainer.log").read_text()
        assert jobs.retrieve(job).status == "succeeded", (messages, log)
        assert any(f"going on after step {last}" in message for message in messages)
        assert any("may be damaged" in message for message in messages)
        assert any(f"going on after step {earlier}" in message for message in messages)


@pytest.mark.train
def test_a_stopped_trainer_of_a_dead_engine_does_not_block_the_next(start, until, tiny_model):
    _, job, trainer = killed_at(
        start, until, str(tiny_model), checkpoints=1, stopped=True, epochs=50
    )
    with start(command=REAL) as engine, engine.client(max_retries=2) as client:
        jobs = client.fine_tuning.jobs

        def goes_on():
            return any("going on" in each.message for each in jobs.list_events(job, limit=100))

        until(goes_on, seconds=240)
        assert jobs.retrieve(job).status in {"running", "succeeded"}
    with pytest.raises(ProcessLookupError):
        os.kill(trainer, signal.SIGCONT)
