"""The whole engine with its real trainer and its real chat part."""

import json
import sys

import pytest

from langchain_finetune.local.base_models import resolve_base

REAL = (sys.executable, "-m", "langchain_finetune.local", "--home")


def examples_at(n):
    return {
        "messages": [
            {"role": "system", "content": "Answer with one word."},
            {"role": "user", "content": f"Question {n}?"},
            {"role": "assistant", "content": "Yes."},
        ]
    }


def examples():
    return map(examples_at, range(24))


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

        first, last = list(client.fine_tuning.jobs.checkpoints.list(job.id))[::-1]
        names = {each.fine_tuned_model_checkpoint for each in (first, last)}
        assert job.fine_tuned_model in names
        (other,) = names - {job.fine_tuned_model}
        assert other.startswith(f"{job.fine_tuned_model}:ckpt-step-")
        assert first.metrics.full_valid_loss > 0
        answer = client.chat.completions.create(
            model=other, messages=[{"role": "user", "content": "Question 7?"}], max_tokens=8
        )
        assert answer.model == other

        running = client.fine_tuning.jobs.create(
            model=other, training_file=file, hyperparameters={"n_epochs": 50}
        )
        messages = client.fine_tuning.jobs.list_events
        until(lambda: "Step" in messages(running.id).data[0].message, seconds=120)
        assert client.fine_tuning.jobs.cancel(running.id).status == "cancelled"
        assert not list((engine.home / "jobs" / running.id).glob("*/"))
        assert "Question" not in engine.log()


@pytest.mark.train
def test_a_request_during_a_training_is_answered(start, until, tiny_model):
    """The model is loaded and writes while another process trains; the training goes on."""
    base = str(tiny_model)
    # Far more steps than are done before the answers are there.
    content = "\n".join(json.dumps(examples_at(n)) for n in range(1000)).encode()
    with start(command=REAL) as engine, engine.client(max_retries=2) as client:
        jobs, chat = client.fine_tuning.jobs, client.chat.completions
        file = client.files.create(file=("train.jsonl", content), purpose="fine-tune").id
        job = jobs.create(model=base, training_file=file, hyperparameters={"n_epochs": 50}).id

        def steps():
            return sum(each.type == "metrics" for each in jobs.list_events(job, limit=100).data)

        until(steps, seconds=240)
        asked = {"model": base, "messages": [{"role": "user", "content": "Question 7?"}]}
        answer = chat.create(**asked, max_tokens=8)
        assert answer.usage.completion_tokens > 0
        *_, last = chat.create(
            **asked, max_tokens=8, stream=True, stream_options={"include_usage": True}
        )
        assert last.usage.completion_tokens > 0
        assert jobs.retrieve(job).status == "running"
        done = steps()
        until(lambda: steps() > done, seconds=240)
        assert jobs.cancel(job).status == "cancelled"


def preference(n):
    (*given, answer) = examples_at(n)["messages"]
    return {
        "input": {"messages": given},
        "preferred_output": [{"role": "assistant", "content": "No."}],
        "non_preferred_output": [answer],
    }


@pytest.mark.train
def test_dpo_after_supervised_and_through_a_sigkill(start, until, tiny_model):
    """The second job is killed with its engine, and goes on from its last checkpoint."""

    def upload(client, lines):
        content = "\n".join(map(json.dumps, lines)).encode()
        return client.files.create(file=("lines.jsonl", content), purpose="fine-tune").id

    with start(command=REAL, stop=False) as engine, engine.client(max_retries=2) as client:
        jobs = client.fine_tuning.jobs
        made = jobs.create(
            model=str(tiny_model),
            training_file=upload(client, examples()),
            hyperparameters={"n_epochs": 1, "lora_rank": 4},
        )
        until(lambda: jobs.retrieve(made.id).status in {"succeeded", "failed"}, seconds=240)
        job = jobs.retrieve(made.id)
        assert (job.status, job.error) == ("succeeded", None)
        assert (engine.home / "models" / job.id / "adapter" / "adapter_config.json").exists()

        pairs = upload(client, [preference(n) for n in range(24)])
        asked = {"n_epochs": 20, "batch_size": 8, "learning_rate_multiplier": 20.0}
        made = jobs.create(
            model=job.fine_tuned_model,
            training_file=pairs,
            validation_file=pairs,
            method={"type": "dpo", "dpo": {"hyperparameters": asked}},
            seed=1,
        )
        work = engine.home / "jobs" / made.id / "work"
        until(lambda: list(work.glob("checkpoint-*/complete")), seconds=240)
        engine.process.kill()
        engine.process.wait()
    with start(command=REAL) as engine, engine.client(max_retries=2) as client:
        jobs = client.fine_tuning.jobs
        until(lambda: jobs.retrieve(made.id).status in {"succeeded", "failed"}, seconds=240)
        job = jobs.retrieve(made.id)
        assert (job.status, job.error) == ("succeeded", None)
        messages = [event.message for event in jobs.list_events(job.id)]
        assert any("going on after step" in message for message in messages)
        last = next(iter(jobs.checkpoints.list(job.id)))
        assert last.step_number == 60
        assert last.metrics.to_dict()["valid_reward_accuracy"] == 1
        assert job.method.dpo.hyperparameters.beta == 0.1
        assert not work.exists()
        assert "Question" not in engine.log()
