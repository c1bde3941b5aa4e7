"""The whole chain at Together, through its real SDK: rows, prices, jobs, endpoints, weights."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import zstandard
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from langchain_finetune import (
    BaseModelError,
    BudgetError,
    Convert,
    ConvertError,
    DeployError,
    EngineAuthenticationError,
    EngineError,
    FineTune,
    FineTuningError,
    Job,
    JobCancelledError,
    JobError,
    JobFailedError,
    JobProgress,
    JobSubmissionError,
    TogetherDeployment,
    trained_contract,
)
from langchain_finetune.cli import doctor
from langchain_finetune.engines import engine_of
from langchain_finetune.errors import InvalidArgumentError
from langchain_finetune.home import HOME_VARIABLE
from support.command_line import runs_command, write_chats
from support.jobs import chats, quick_flows
from support.together import SETTINGS, serving
from support.together_host import BASE, KEY, RefusedError, TogetherHost, tar_of

TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
DEPLOYMENT = TogetherDeployment(name="calculator")
Heard = list[JobProgress]


@pytest.fixture
def host(tmp_path, monkeypatch):
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    host = TogetherHost()
    with serving(host, monkeypatch), quick_flows():
        yield host


def step(**changes):
    return FineTune(**{**SETTINGS, "deployment": DEPLOYMENT, **changes})


def examples(text="Is {n} even?", **settings):
    return Convert(**settings).invoke(chats(text=text))


def tool_chats(count=12):
    call = {"id": "c", "name": "add", "args": {"a": 1}}
    return [
        {
            "messages": [
                HumanMessage(f"Add {number}", name="ann"),
                AIMessage("", tool_calls=[call]),
                ToolMessage("2", tool_call_id="c", name="add"),
                AIMessage("Two"),
            ],
            "tools": [TOOL],
            "parallel_tool_calls": False,
        }
        for number in range(count)
    ]


def made(host):
    [request] = host.requests.values()
    return request


async def test_sync_and_async_chains_return_a_model_that_answers_at_one_endpoint(host):
    model = step(suffix="calc", chat_settings={"temperature": 0}).invoke(examples())
    assert model.model_name == "acme/calculator"
    assert model.openai_api_base == f"{host.url}/v1"
    assert model.invoke("Is 2 even?").content == "I am projects/prj_1/models/ml_ft-2"
    assert host.chats[0]["temperature"] == 0
    again = await step(suffix="calc").ainvoke(examples())
    assert again.metadata == model.metadata
    assert len(host.jobs) == len(host.endpoints) == len(host.deployments) == len(host.files) == 1
    [deployment] = host.deployments.values()
    assert deployment["inactiveTimeout"] == 30
    request = made(host)
    assert request["suffix"].startswith("calc-")
    assert len(request["suffix"]) <= 40
    assert request["training_method"] == {"method": "sft", "train_on_inputs": False}
    assert KEY not in repr(model.metadata) + repr(model)


def test_together_itself_answers_at_another_host(host):
    access = engine_of("together").access("https://api.together.ai", None)
    model = engine_of("together").chat_model(access, "acme/x", {})
    assert model.openai_api_base == "https://api-inference.together.ai/v1"


def test_rows_reach_the_host_as_it_takes_them_and_the_report_says_what_is_left_out(host):
    legacy = {
        "messages": [HumanMessage("Hi"), AIMessage("Yo")],
        "functions": [{"name": "f", "parameters": {}}],
    }
    image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    far = {"messages": [HumanMessage([image]), AIMessage("A cat")]}
    weighted = {"messages": [HumanMessage("A"), AIMessage("B"), HumanMessage("C"), AIMessage("D")]}
    selected = Convert(targets="last").invoke([*tool_chats(), legacy, far, weighted])
    job = step().submit(selected)
    [content] = host.contents.values()
    rows = [json.loads(line) for line in content.splitlines()]
    assert len(rows) == 13
    assert all(row.keys() <= {"messages", "tools"} for row in rows)
    assert rows[-1]["messages"][1]["weight"] == 0
    assert "name" not in rows[0]["messages"][0]
    assert selected.notes["left_out.parallel_tool_calls"] == 12
    assert selected.notes["left_out.name"] == 12
    assert selected.rejected_by_reason() == {"functions": 1, "remote_image": 1}
    assert all(skip.id for skip in selected.rejected)
    # The model is bound to the tools of its training all the same.
    job.wait()
    contract = trained_contract(job.model(deployment=DEPLOYMENT))
    assert [tool["function"]["name"] for tool in contract.tools] == ["add"]
    assert contract.parallel_tool_calls is False


def test_preferences_are_trained_with_dpo(host):
    sessions = [
        {
            "messages": [HumanMessage(f"Hi {number}"), AIMessage("Hello")],
            "rejected": AIMessage("Bye"),
            "tools": [TOOL],
            "parallel_tool_calls": True,
            "source": {},
        }
        for number in range(12)
    ]
    selected = Convert(method="preference").invoke(sessions)
    step(hyperparameters={"beta": 0.2}).submit(selected)
    method = made(host)["training_method"]
    assert (method["method"], method["dpo_beta"]) == ("dpo", 0.2)
    assert selected.notes["left_out.parallel_tool_calls"] == 12


def test_settings_arrive_in_togethers_terms(host):
    hyperparameters = {
        "n_epochs": 3,
        "batch_size": 16,
        "learning_rate_multiplier": 2,
        "lora_rank": 8,
        "lora_targets": ("q_proj", "v_proj"),
    }
    chosen = step(
        hyperparameters=hyperparameters, seed=7, extra_body={"n_checkpoints": 3, "lora_alpha": 32}
    )
    chosen.submit(Convert(split={"validation": 0.3}).invoke(chats(40)))
    request = made(host)
    assert request["n_epochs"] == request["n_evals"] == request["n_checkpoints"] == 3
    assert (request["batch_size"], request["random_seed"]) == (16, 7)
    assert request["learning_rate"] == pytest.approx(2e-5)
    assert request["training_type"]["lora_r"] == 8
    assert request["training_type"]["lora_alpha"] == 32
    assert request["training_type"]["lora_trainable_modules"] == "q_proj,v_proj"
    assert request["validation_file"] in host.files


def test_all_weights_and_early_stopping(host):
    step(hyperparameters={"lora_rank": 0}).submit(examples())
    assert made(host)["training_type"] == {"type": "Full"}
    stopping = step(hyperparameters={"early_stopping_patience": 2})
    job = stopping.submit(Convert(split={"validation": 0.3}).invoke(chats(40)))
    request = host.requests[job.job_id]
    assert request["early_stopping_enabled"] is True
    assert (request["early_stopping_patience"], request["n_evals"]) == (2, 4)


def test_training_goes_on_from_an_earlier_job(host):
    first = step().submit(examples())
    later = step(model=f"{first.job_id}:20").submit(examples("More {n}"))
    request = host.requests[later.job_id]
    assert request["from_checkpoint"] == f"{first.job_id}:20"
    assert "model" not in request
    assert "training_type" not in request
    assert later.base_model == BASE


@pytest.mark.parametrize(
    ("settings", "kind", "said"),
    [
        ({"suffix": "a" * 24}, InvalidArgumentError, "at most 23 characters"),
        ({"deployment": None}, InvalidArgumentError, "deployment=TogetherDeployment"),
        ({"hyperparameters": {"eval_steps": 5}}, JobSubmissionError, "does not take eval_steps"),
        ({"hyperparameters": {"batch_size": 64}}, JobSubmissionError, "batch size of 64 is higher"),
        ({"extra_body": {"model": "x"}}, JobSubmissionError, "extra_body has model"),
        ({"model": "unknown/base"}, BaseModelError, "Together cannot fine-tune unknown/base"),
        ({"hyperparameters": {"lora_rank": 128}}, JobSubmissionError, "Wrong rank"),
        ({"api_key": "another"}, EngineAuthenticationError, "does not accept the key"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence_and_creates_no_job(host, settings, kind, said):
    with pytest.raises(kind, match=said):
        step(**settings).submit(examples())
    assert host.jobs == {}


def test_completion_lines_are_refused(host):
    with pytest.raises(ConvertError, match="trains on supervised, preference lines"):
        step().submit(Convert(method="completion").invoke([]))


def test_a_file_that_together_finds_invalid_is_told(host, monkeypatch):
    monkeypatch.setattr(
        host, "report", lambda _: {"valid": False, "error": "Line 3 has no messages."}
    )
    with pytest.raises(EngineError, match=r"INVALID_FORMAT.*Line 3 has no messages"):
        step().submit(examples())
    assert host.jobs == {}


def test_the_hosts_own_estimate_is_held_against_the_limit(host):
    many = {"hyperparameters": {"n_epochs": 4}}
    with pytest.raises(BudgetError, match=r"about \$6\.00 by the estimate .* max_cost_usd=5\. No"):
        step(**many, max_cost_usd=5).submit(examples())
    with pytest.raises(BudgetError, match=r"\$6\.00"):
        step(**many).submit(examples(max_cost_usd=5))
    assert host.jobs == {}
    step(**many, max_cost_usd=6).submit(examples())
    assert len(host.jobs) == 1


def test_without_an_estimate_the_limit_refuses_unless_a_price_is_given(host):
    host.price = None
    with pytest.raises(EngineError, match=r"no estimate .*multimodal_dataset.* no job was created"):
        step(max_cost_usd=5).submit(examples())
    with pytest.raises(BudgetError, match="Nothing was sent"):
        step(max_cost_usd=0, prices={BASE: 1.0}).submit(examples())
    assert host.jobs == {}
    step(max_cost_usd=5, prices={BASE: 1.0}).submit(examples())
    assert len(host.jobs) == 1


def test_an_account_that_may_not_spend_as_much_is_told(host):
    host.user_limit = 1.0
    with pytest.raises(EngineError, match=r"more than the account's limit of \$1\.00"):
        step(max_cost_usd=50).submit(examples())
    assert host.jobs == {}


async def test_events_metrics_and_checkpoints_are_those_of_every_engine(host):
    news: Heard = []
    job = Job.model_validate_json(step().submit(examples()).model_dump_json())
    status = job.wait(on_progress=news.append)
    assert (status.status, status.trained_tokens) == ("succeeded", 1000)
    assert status.fine_tuned_model.startswith("acme/Qwen3-8B-")
    events = job.events()
    assert [one.event_id for one in news if one.event_id] == [event.id for event in events]
    assert await job.aevents() == events
    assert events[0].message == "It came to job_pending"
    assert events[-1].message == "It came to job_complete"
    losses = [event.data for event in events if event.type == "metrics"]
    assert losses[0] == {"step": 1.0, "train_loss": 1.0, "learning_rate": 1e-5}
    assert job.metrics() == losses
    assert [each.step for each in job.checkpoints()] == [10, 20]
    model = await job.amodel(20, deployment=DEPLOYMENT)
    assert model.invoke("Hi").content.endswith(f"ml_{job.job_id}_model_20")
    found = step().from_job_id(job.job_id)
    assert (found.base_model, found.engine) == (BASE, "together")


def test_a_failed_and_a_cancelled_job_are_told_and_made_anew(host):
    host.job_ends_as = "error"
    failed = step().submit(examples())
    with pytest.raises(JobFailedError, match="It came to job_error"):
        failed.wait()
    cancelled = step().submit(examples())
    assert cancelled.cancel().status == "cancelled"
    assert cancelled.cancel().status == "cancelled"
    with pytest.raises(JobCancelledError):
        cancelled.wait()
    host.job_ends_as = "completed"
    assert step().submit(examples()).job_id not in {failed.job_id, cancelled.job_id}
    with pytest.raises(EngineError, match="cannot pause jobs"):
        cancelled.pause()


def test_a_job_of_another_home_is_found_by_its_suffix(host, tmp_path, monkeypatch):
    job = step().submit(examples())
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "elsewhere"))
    found = step().submit(examples())
    assert found == job
    assert found.fingerprint
    assert len(host.files) == 1
    assert step(reuse=False).submit(examples()) != job


def test_a_later_model_takes_the_place_of_the_earlier_one(host):
    step().invoke(examples())
    model = step().invoke(examples("More {n}"))
    assert len(host.endpoints) == 1
    [running] = host.running()
    assert model.invoke("Hi").content == f"I am {running['model']}"
    assert len(host.deployments) == 2


def test_an_endpoint_that_was_idle_is_started_again(host):
    job = step().submit(examples())
    job.wait()
    job.model(deployment=DEPLOYMENT)
    [deployment] = host.deployments.values()
    deployment["state"] = "STOPPED"
    assert job.model(deployment=DEPLOYMENT).invoke("Hi").content
    assert len(host.deployments) == 1


def test_a_deployment_that_fails_is_deleted(host):
    host.deployment_ends_as = "FAILED"
    job = step().submit(examples())
    job.wait()
    with pytest.raises(DeployError, match="No capacity"):
        job.model(deployment=DEPLOYMENT)
    assert host.deployments == {}


def refuse(*_):
    raise RefusedError(403, "Not yours.")


def finished_job(text):
    job = step().submit(examples(text))
    job.wait()
    return job


def test_a_model_that_nothing_can_serve_is_told(host, monkeypatch):
    job = finished_job("Config {n}?")
    monkeypatch.setattr(host, "configs", lambda *_: {"data": []})
    with pytest.raises(DeployError, match=r"no config to serve .* TogetherDeployment\(config="):
        job.model(deployment=DEPLOYMENT)
    assert host.deployments == {}


@pytest.mark.parametrize("step_of_it", ["deploy", "route"])
def test_a_deployment_that_together_refuses_leaves_nothing(host, monkeypatch, step_of_it):
    job = finished_job("Refused {n}?")
    monkeypatch.setattr(host, step_of_it, refuse)
    with pytest.raises(DeployError, match=r"did not deploy .*Not yours.*The model is kept"):
        job.model(deployment=DEPLOYMENT)
    assert host.running() == []


def test_a_deployment_that_can_not_be_deleted_is_told(host, monkeypatch):
    host.deployment_ends_as = "FAILED"
    job = finished_job("Stuck {n}?")
    monkeypatch.setattr(host, "delete_deployment", refuse)
    with pytest.raises(DeployError, match="No capacity") as told:
        job.model(deployment=DEPLOYMENT)
    assert "could not be deleted" in told.value.__notes__[0]


def test_a_deployment_that_is_gone_is_deleted_already(host, monkeypatch):
    host.deployment_ends_as = "FAILED"
    job = finished_job("Gone {n}?")

    def gone(body, query, request, endpoint, name):
        del host.deployments[name]
        raise RefusedError(404, "No such deployment.")

    monkeypatch.setattr(host, "delete_deployment", gone)
    with pytest.raises(DeployError, match="No capacity") as told:
        job.model(deployment=DEPLOYMENT)
    assert not hasattr(told.value, "__notes__")


def test_what_was_never_deployed_needs_no_end(host):
    job = finished_job("Never {n}?")
    job._undeploy(DEPLOYMENT)
    assert host.endpoints == {}


def test_a_key_that_is_refused_when_a_model_is_deployed_is_told_as_such(host):
    job = finished_job("Key {n}?")
    with pytest.raises(EngineAuthenticationError):
        job.with_api_key("wrong").model(deployment=DEPLOYMENT)


def test_an_answer_about_another_job_is_not_believed(host, monkeypatch):
    job = finished_job("Other {n}?")
    monkeypatch.setattr(host, "job", lambda *_: {**next(iter(host.jobs.values())), "id": "ft-x"})
    with pytest.raises(EngineError, match=f"answered about another job than {job.job_id}"):
        job.status()


class StopError(KeyboardInterrupt):
    pass


async def test_an_interrupted_deployment_is_deleted_and_one_that_answers_is_not(host):
    job = step().submit(examples())
    job.wait()
    host.looks_until_ready = 10**6

    def stop(*_):
        raise StopError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("langchain_finetune.engines.together_deployment.Sleep", stop)
        with pytest.raises(KeyboardInterrupt):
            job.model(deployment=DEPLOYMENT)
    assert host.deployments == {}
    task = asyncio.create_task(job.amodel(deployment=DEPLOYMENT))
    while not host.deployments:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert host.deployments == {}
    host.looks_until_ready = 1
    job.model(deployment=DEPLOYMENT)
    job._undeploy(DEPLOYMENT)
    assert len(host.running()) == 1


async def test_the_weights_come_home_whole_or_not_at_all(host, tmp_path):
    plain = tar_of({"config.json": b"{}", "model.safetensors": b"w" * 100_000}, top="out/")
    host.archive = zstandard.compress(plain)
    job = step().submit(examples())
    with pytest.raises(JobError, match="has given no model"):
        job.download(tmp_path / "early")
    job.wait()
    folder = job.download(tmp_path / "model")
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    host.archive = plain
    again = await job.adownload(tmp_path / "again", checkpoint=20)
    assert (again / "config.json").read_bytes() == b"{}"
    with pytest.raises(FineTuningError, match="is not empty"):
        job.download(folder)
    with pytest.raises(JobError, match="no checkpoint at step 7"):
        job.download(tmp_path / "seven", checkpoint=7)
    host.archive = zstandard.compress(plain)[:-20]
    with pytest.raises(EngineError, match="not a valid archive"):
        job.download(tmp_path / "cut")
    host.archive = tar_of({"../evil": b"x"})
    with pytest.raises(EngineError, match="not a valid archive"):
        job.download(tmp_path / "evil")
    left = {path.name for path in tmp_path.iterdir()} - {"home"}
    assert left == {"model", "again"}


def test_full_training_has_weights_of_another_kind(host, tmp_path):
    host.archive = tar_of({"config.json": b"{}"})
    job = step(hyperparameters={"lora_rank": 0}).submit(examples())
    job.wait()
    assert (job.download(tmp_path / "model") / "config.json").exists()


def test_an_engine_without_weights_says_so(host):
    with pytest.raises(EngineError, match="Engine 'openai' cannot hand out a model's weights"):
        Job(job_id="j", engine="openai", base_model="m").with_api_key("k").download("x")


def test_a_wrong_address_in_the_environment_is_told(host, monkeypatch):
    monkeypatch.setenv("TOGETHER_BASE_URL", "secret")
    with pytest.raises(FineTuningError, match="TOGETHER_BASE_URL holds no address") as told:
        step().submit(examples())
    assert "secret" not in str(told.value)


def test_the_command_line_runs_shows_and_downloads(host, tmp_path, monkeypatch, capsys):
    command = runs_command(monkeypatch, capsys)
    data = write_chats(tmp_path / "chats.jsonl")
    options = ["--model", BASE, "--engine", "together", "--deployment", "calculator", "--json"]
    ran = command("run", "--file", data, *options, "--together-idle-minutes", 60)
    assert ran.json["model"] == "acme/calculator"
    assert next(iter(host.deployments.values()))["inactiveTimeout"] == 60
    [row] = command("jobs", "list", "--json").json
    assert (row["engine"], row["status"]) == ("together", "succeeded")
    assert (
        command("jobs", "list", "--engine", "together", "--json").json[0]["job_id"] == row["job_id"]
    )
    shown = command("jobs", "show", row["job_id"], "--json").json
    assert [each["step"] for each in shown["metrics"]] == [1, 2, 3]
    host.archive = tar_of({"config.json": b"{}"})
    folder = tmp_path / "model"
    assert command("jobs", "download", row["job_id"], folder).out.strip() == str(folder)
    assert (folder / "config.json").exists()


def test_doctor_tells_of_the_key_and_of_the_sdk(host, monkeypatch):
    def told():
        [found] = [each for each in doctor._hosted() if each.what == "engine together"]
        return found.state, found.detail

    assert told() == ("good", f"TOGETHER_API_KEY is set, for {host.url}; it was not tried")
    monkeypatch.setattr(doctor, "_fault", lambda wanted: f"{wanted.name} is missing")
    state, detail = told()
    assert state == "note"
    assert "its SDK is not installed (together is missing): pip install" in detail


def test_the_live_script_is_skipped_without_a_key(host):
    script = Path(__file__).parents[2] / "scripts" / "live" / "together"
    environment = {**os.environ, "PATH": "", "PYTHONWARNINGS": "error"}
    command = [sys.executable, str(script)]
    keyless = {name: value for name, value in environment.items() if name != "TOGETHER_API_KEY"}
    skipped = subprocess.run(
        command, env=keyless, capture_output=True, text=True, timeout=120, check=True
    )
    assert skipped.stdout == "Skipped: TOGETHER_API_KEY is not set.\n"
    assert host.asked == []
