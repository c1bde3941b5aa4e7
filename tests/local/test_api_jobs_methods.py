"""DPO jobs and checkpoints, through the openai SDK and a fake trainer."""

import json
import re

import openai
import pytest


def test_checkpoints_are_models(client, create, ended):
    job = ended(create(suffix="x", hyperparameters={"n_epochs": 5}, validation_file=None).id)
    listed = list(client.fine_tuning.jobs.checkpoints.list(job.id, limit=1))  # several requests
    name = job.fine_tuned_model
    assert [each.step_number for each in listed] == [5, 4, 3]
    names = [each.fine_tuned_model_checkpoint for each in listed]
    assert names == [name, f"{name}:ckpt-step-4", f"{name}:ckpt-step-3"]
    assert re.fullmatch("ftckpt_[A-Za-z0-9]{24}", listed[0].id)
    assert listed[0].fine_tuning_job_id == job.id
    assert (listed[2].metrics.step, listed[2].metrics.train_loss) == (3, 1 / 3)
    assert set(names) <= {model.id for model in client.models.list()}

    def answer(model):
        messages = [{"role": "user", "content": "hi"}]
        answer = client.chat.completions.create(model=model, messages=messages)
        return json.loads(answer.choices[0].message.content)

    assert [answer(model)["step"] for model in names] == [5, 4, 3]
    again = ended(create(model=names[1]).id)
    assert again.fine_tuned_model == f"ft:nano:local::{again.id[-8:]}"
    assert answer(again.fine_tuned_model)["base"].endswith(f"{job.id}-step-4")
    client.models.delete(name)
    assert answer(names[1])["step"] == 4
    client.models.delete(names[1])
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve(names[1])


def preference():
    def said(text):
        return [{"role": "assistant", "content": text}]

    return {
        "input": {"messages": [{"role": "user", "content": "my secret question"}], "tools": []},
        "preferred_output": said("my secret yes"),
        "non_preferred_output": said("my secret no"),
    }


def test_dpo(client, create, ended, upload):
    file = upload("\n".join([json.dumps(preference())] * 12).encode())
    asked = {"beta": 0.3, "n_epochs": 2, "lora_rank": 8}
    made = create(training_file=file, method={"type": "dpo", "dpo": {"hyperparameters": asked}})
    auto = {"batch_size": "auto", "learning_rate_multiplier": "auto"}
    assert made.method.type == "dpo"
    assert made.method.dpo.hyperparameters.to_dict() == asked | auto
    job = ended(made.id)
    assert (job.status, job.error) == ("succeeded", None)
    assert job.method.dpo.hyperparameters.beta == 0.3
    assert job.method.dpo.hyperparameters.batch_size == 2
    assert job.method.supervised is None
    answer = client.chat.completions.create(
        model=job.fine_tuned_model, messages=[{"role": "user", "content": "hi"}]
    )
    assert json.loads(answer.choices[0].message.content)["method"] == "dpo"


@pytest.mark.parametrize(
    ("fault", "rule"),
    [
        ({"input": None}, "invalid_input"),
        ({"preferred_output": []}, "invalid_output"),
        ({"preferred_output": [{"role": "user", "content": "x"}]}, "invalid_output"),
        ({"non_preferred_output": "my secret"}, "invalid_output"),
        ({"input": {"messages": [{"role": "nobody"}]}}, "unknown_role"),
    ],
)
def test_a_bad_preference(create, ended, upload, fault, rule):
    lines = [json.dumps(preference())] * 11 + [json.dumps(preference() | fault)]
    job = ended(create(training_file=upload("\n".join(lines).encode()), method={"type": "dpo"}).id)
    assert (job.status, job.error.code) == ("failed", "invalid_training_file")
    assert job.error.message.startswith("Line 12 of the training file: ")
    assert f"(rule {rule}" in job.error.message
    assert "secret" not in job.error.message


def test_supervised_lines_are_no_preferences(create, ended, upload):
    job = ended(create(training_file=upload(), method={"type": "dpo"}).id)
    assert job.error.code == "invalid_training_file"
    assert "invalid_input" in job.error.message
