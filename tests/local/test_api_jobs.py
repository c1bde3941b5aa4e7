"""The Fine-tuning API, through the openai SDK and a fake trainer."""

import base64
import csv
import io
import json
import re

import openai
import pytest


def test_success(engine, client, create, ended, upload):
    validation = upload()
    made = create(suffix="my bot/ü", validation_file=validation, metadata={"a": "b"})
    assert re.fullmatch("ftjob-[A-Za-z0-9]{24}", made.id)
    assert made.status == "validating_files"
    assert made.hyperparameters.n_epochs == "auto"
    assert (made.fine_tuned_model, made.finished_at, made.trained_tokens) == (None, None, None)
    job = ended(made.id)
    assert job.error is None
    assert (job.status, job.error, job.seed, job.metadata) == ("succeeded", None, 0, {"a": "b"})
    assert job.model == "nano"
    assert job.fine_tuned_model == f"ft:nano:local:my-bot-ü:{job.id[-8:]}"
    assert job.trained_tokens == 90
    assert job.finished_at >= job.created_at
    assert job.estimated_finish is None
    assert job.hyperparameters.to_dict() == {
        "n_epochs": 3,
        "batch_size": 2,
        "learning_rate_multiplier": 1.5,
    }
    assert job.method.type == "supervised"
    assert job.method.supervised.hyperparameters.to_dict() == job.hyperparameters.to_dict()
    assert job.to_dict()["user_provided_suffix"] == "my bot/ü"
    assert "requested" not in job.to_dict()

    (result,) = job.result_files
    assert client.files.retrieve(result).purpose == "fine-tune-results"
    table = base64.b64decode(client.files.content(result).content).decode()
    assert table.splitlines()[0] == (
        "step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy"
    )
    rows = list(csv.DictReader(io.StringIO(table)))
    assert [row["step"] for row in rows] == ["1", "2", "3"]
    assert list(rows[1].values()) == ["2", "0.5", "0.2", "0.5", "0.25"]

    assert [path.name for path in (engine.home / "jobs" / job.id).iterdir()] == ["trainer.log"]
    assert "step by step" in (engine.home / "jobs" / job.id / "trainer.log").read_text()
    assert "secret" not in engine.log()
    assert engine.key not in engine.log()


def test_events_newest_first_and_paged(client, create, ended):
    job = ended(create().id)
    events = list(client.fine_tuning.jobs.list_events(job.id, limit=2))  # several requests
    messages = [event.message for event in events][::-1]
    assert messages[0] == f"Created fine-tuning job: {job.id}"
    assert messages[1] == f"Validating training file: {job.training_file}"
    assert messages[2:4] == [
        "Files validated, moving job to queued state",
        "Fine-tuning job started",
    ]
    assert messages[4] == "Training on 12 examples in 3 steps (full)"
    assert messages[-3] == "Step 3/3: training loss=0.3333"
    assert messages[-1] == "The job has successfully completed"
    assert len(messages) == 10
    (step,) = [event for event in events if event.message.startswith("Step 2/3")]
    assert (step.type, step.level) == ("metrics", "info")
    assert step.data == {
        "step": 2,
        "total_steps": 3,
        "epoch": 1.0,
        "train_loss": 0.5,
        "train_mean_token_accuracy": 0.2,
    }
    page = client.fine_tuning.jobs.list_events(job.id, after=events[-2].id)
    assert ([event.id for event in page.data], page.has_more) == ([events[-1].id], False)


def test_a_loss_that_is_no_number(client, create, ended, way):
    job = ended(create(seed=way.NAN).id)
    assert job.status == "succeeded"
    events = list(client.fine_tuning.jobs.list_events(job.id))
    assert all("train_loss" not in event.data for event in events)


@pytest.mark.parametrize("place", ["method", "hyperparameters"])
def test_hyperparameters_and_a_tuned_model_as_the_base(client, create, ended, place):
    asked = {"n_epochs": 1, "learning_rate_multiplier": 0.5, "batch_size": "auto"}
    options = {place: asked}
    if place == "method":
        options = {"method": {"type": "supervised", "supervised": {"hyperparameters": asked}}}
    made = create(model="gpt-3.5-turbo", **options)
    assert made.hyperparameters.to_dict() == asked
    assert made.model == "nano"
    first = ended(made.id)
    assert first.hyperparameters.n_epochs == 1
    assert first.hyperparameters.batch_size == 2
    second = ended(create(model=first.fine_tuned_model).id)
    assert second.model == first.fine_tuned_model
    assert second.fine_tuned_model == f"ft:nano:local::{second.id[-8:]}"
    answer = client.chat.completions.create(
        model=second.fine_tuned_model, messages=[{"role": "user", "content": "hi"}]
    )
    assert json.loads(answer.choices[0].message.content)["base"].endswith(first.id)


@pytest.mark.parametrize(
    ("way_to_fail", "code", "message"),
    [
        ("FAIL", "example_too_long", "Example 3 is too long"),
        ("CRASH", "server_error", "status 7"),
        ("KILLED", "out_of_memory", "take a batch_size of 1"),
        ("NO_MODEL", "server_error", "too early"),
    ],
)
def test_failures(engine, client, create, ended, way, way_to_fail, code, message):
    job = ended(create(seed=getattr(way, way_to_fail)).id)
    assert (job.status, job.error.code) == ("failed", code)
    assert message in job.error.message
    assert (job.fine_tuned_model, job.result_files) == (None, [])
    assert job.finished_at
    assert next(iter(client.fine_tuning.jobs.list_events(job.id))).level == "error"
    assert not list((engine.home / "jobs" / job.id).glob("run-*"))
    assert not (engine.home / "models" / job.id).exists()


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ('{"messages": "my secret', "not_json"),
        ("[" * 100_000, "not_json"),
        ('{"messages": [{"role": "user", "content": "my secret"}]}', "no_assistant_message"),
        ('"my secret"', "not_an_object"),
        ("\ufffe\udcff".encode("utf-8", "surrogatepass"), "not_json"),
    ],
)
@pytest.mark.parametrize("param", ["training_file", "validation_file"])
def test_a_bad_line(client, create, ended, upload, jsonl, line, rule, param):
    content = jsonl().splitlines()
    content[3] = line if isinstance(line, bytes) else line.encode()
    job = ended(create(**{param: upload(b"\n".join(content))}).id)
    assert (job.status, job.error.code, job.error.param) == ("failed", f"invalid_{param}", param)
    assert job.error.message.startswith(f"Line 4 of the {param.replace('_', ' ')}: ")
    assert rule in job.error.message
    assert "secret" not in job.error.message


def test_a_line_that_breaks_the_check_does_not_stop_the_queue(create, ended, upload, jsonl):
    content = jsonl().splitlines()
    content[3] = b'{"messages": [{"role": [], "content": "my secret"}]}'
    job = ended(create(training_file=upload(b"\n".join(content))).id)
    assert job.status == "failed"
    assert "secret" not in job.error.message
    assert ended(create().id).status == "succeeded"


def test_too_few_examples(create, ended, upload, jsonl):
    job = ended(create(training_file=upload(jsonl(9) + b"\n\n\n")).id)
    assert (job.status, job.error.code) == ("failed", "invalid_n_examples")
    assert "9 example" in job.error.message
    assert ended(create(training_file=upload(b"\n" + jsonl(10) + b"\n")).id).status == "succeeded"


@pytest.mark.parametrize(
    ("options", "code", "param"),
    [
        ({"training_file": "file-nope"}, "invalid_training_file", "training_file"),
        ({"validation_file": "file-nope"}, "invalid_validation_file", "validation_file"),
        ({"method": {"type": "grpo"}}, "unsupported_method", "method.type"),
        (
            {"method": {"type": "reinforcement", "reinforcement": {"grader": {}}}},
            "unsupported_method",
            "method.type",
        ),
        ({"suffix": "x" * 65}, None, "suffix"),
        ({"seed": -1}, None, "seed"),
        ({"metadata": {str(n): "" for n in range(17)}}, None, "metadata"),
        ({"metadata": {"k" * 65: ""}}, None, None),
        ({"metadata": {"k": "v" * 513}}, None, "metadata.k"),
        ({"hyperparameters": {"n_epochs": 51}}, None, None),
        ({"hyperparameters": {"n_epoch": 2}}, None, "hyperparameters.n_epoch"),
        ({"hyperparameters": {"learning_rate_multiplier": 0}}, None, None),
        ({"hyperparameters": {"beta": 0.1}}, None, "hyperparameters.beta"),
        ({"hyperparameters": {"lora_rank": 0, "lora_alpha": 4}}, None, "lora_rank"),
        ({"hyperparameters": {"lora_rank": 0, "load_in_4bit": True}}, None, "load_in_4bit"),
        ({"hyperparameters": {"early_stopping_patience": 2}}, None, "validation_file"),
        ({"hyperparameters": {"eval_steps": 2}}, None, "validation_file"),
        ({"hyperparameters": {"lora_rank": 4, "lora_targets": ["q"]}}, None, "lora_targets"),
        # They are the output layer's weights as well.
        (
            {"hyperparameters": {"lora_rank": 4, "lora_targets": ["q_proj", "embed_tokens"]}},
            None,
            "lora_targets",
        ),
        ({"method": {"type": "dpo", "dpo": {"hyperparameters": {"beta": 3}}}}, None, None),
        ({"extra_body": {"trainingType": "x"}}, None, "trainingType"),
        (
            {"integrations": [{"type": "wandb", "wandb": {"project": "p"}}]},
            "unsupported_integration",
            "integrations",
        ),
    ],
)
def test_refused_requests(create, options, code, param):
    with pytest.raises(openai.BadRequestError) as refused:
        create(**options)
    assert refused.value.code == code
    if param:
        assert refused.value.param == param
    assert refused.value.type == "invalid_request_error"


def test_a_result_file_is_no_training_file(create, ended):
    (result,) = ended(create().id).result_files
    with pytest.raises(openai.BadRequestError) as refused:
        create(training_file=result)
    assert refused.value.code == "invalid_training_file"


def test_an_unknown_base(create):
    with pytest.raises(openai.NotFoundError) as refused:
        create(model="gpt-4o-mini")
    assert (refused.value.code, refused.value.param) == ("model_not_found", "model")


def test_an_unknown_job(client):
    jobs = client.fine_tuning.jobs
    calls = (jobs.retrieve, jobs.cancel, jobs.pause, jobs.resume, jobs.list_events)
    for call in (*calls, jobs.checkpoints.list):
        with pytest.raises(openai.NotFoundError) as refused:
            call("ftjob-nope")
        assert refused.value.code == "fine_tune_not_found"


def test_lists_jobs_in_pages_and_by_metadata(client, create, ended):
    key = 'it\'s "my" $.key]'
    ids = [ended(create(metadata={key: str(n % 2), "x": ""}).id).id for n in range(4)]
    listed = [job.id for job in client.fine_tuning.jobs.list(limit=2)]
    assert listed[:4] == ids[::-1]
    assert len(set(listed)) == len(listed)

    def found(**metadata):
        return [job.id for job in client.fine_tuning.jobs.list(metadata=metadata, limit=1)]

    assert found(**{key: "1"}) == [ids[3], ids[1]]
    assert found(**{key: "1", "x": ""}) == [ids[3], ids[1]]
    assert found(**{key: "1", "x": "y"}) == []
    without = create()
    listed = client.fine_tuning.jobs.list(extra_query={"metadata": "null"}, limit=1)
    assert listed.data[0].id == without.id
    assert all(job.metadata is None for job in listed)
    page = client.fine_tuning.jobs.list(after=ids[1], limit=1)
    assert page.data[0].id == ids[0]
    ended(without.id)


def test_a_job_that_has_ended_cannot_be_cancelled(client, create, ended):
    job = ended(create().id)
    with pytest.raises(openai.BadRequestError, match="already ended"):
        client.fine_tuning.jobs.cancel(job.id)
    assert client.fine_tuning.jobs.retrieve(job.id).status == "succeeded"


async def test_async_client(engine, upload, way):
    async with openai.AsyncOpenAI(base_url=f"{engine.url}/v1", api_key=engine.key) as client:
        job = await client.fine_tuning.jobs.create(
            model="nano", training_file=upload(), seed=way.SUCCEED
        )
        events = [event async for event in client.fine_tuning.jobs.list_events(job.id)]
        assert events[-1].message.startswith("Created")
