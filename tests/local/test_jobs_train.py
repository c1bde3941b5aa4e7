"""The whole engine with its real trainer and its real chat part."""

import json
import sys

import pytest

from langchain_finetune.local.bases import resolve_base

REAL = (sys.executable, "-m", "langchain_finetune.local", "--home")


def examples():
    for n in range(24):
        yield {
            "messages": [
                {"role": "system", "content": "Answer with one word."},
                {"role": "user", "content": f"Question {n}?"},
                {"role": "assistant", "content": "Yes."},
            ]
        }


@pytest.mark.train
@pytest.mark.parametrize("name", ["tiny", "nano"])
def test_from_upload_to_an_answer(start, until, tiny_model, name):
    base = str(tiny_model) if name == "tiny" else name
    if name == "nano" and not resolve_base("nano").is_dir():
        pytest.skip("this checkout has no nano")
    content = "\n".join(json.dumps(example) for example in examples()).encode()
    with start(command=REAL) as engine, engine.client(max_retries=2) as client:
        file = client.files.create(file=("train.jsonl", content), purpose="fine-tune").id
        made = client.fine_tuning.jobs.create(
            model=base,
            training_file=file,
            validation_file=file,
            suffix="yes",
            seed=1,
            method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2}}},
        )
        ends = {"succeeded", "failed"}
        until(lambda: client.fine_tuning.jobs.retrieve(made.id).status in ends, seconds=240)
        job = client.fine_tuning.jobs.retrieve(made.id)
        assert (job.status, job.error) == ("succeeded", None)
        assert job.fine_tuned_model == f"ft:{name}:local:yes:{job.id[-8:]}"
        assert job.trained_tokens > 0
        assert isinstance(job.hyperparameters.batch_size, int)
        events = list(client.fine_tuning.jobs.list_events(job.id))
        assert any(event.type == "metrics" and "valid_loss" in event.data for event in events)
        answer = client.chat.completions.create(
            model=job.fine_tuned_model,
            messages=[{"role": "user", "content": "Question 7?"}],
            max_tokens=8,
        )
        assert answer.model == job.fine_tuned_model
        assert answer.usage.completion_tokens > 0

        running = client.fine_tuning.jobs.create(
            model=job.fine_tuned_model, training_file=file, hyperparameters={"n_epochs": 50}
        )
        messages = client.fine_tuning.jobs.list_events
        until(lambda: "Step" in messages(running.id).data[0].message, seconds=120)
        assert client.fine_tuning.jobs.cancel(running.id).status == "cancelled"
        assert not list((engine.home / "jobs" / running.id).glob("run-*"))
        assert "Question" not in engine.log()
