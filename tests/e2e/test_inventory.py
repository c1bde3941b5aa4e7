"""`inventory`: an account's fine-tuned models, the days that they have left, and who calls them."""

import asyncio
import datetime as dt
import json
import uuid
from dataclasses import replace

import pytest
from fastapi import FastAPI

from langchain_finetune import EngineAuthenticationError, FineTuningError, Inventory, LoadError
from langchain_finetune.engines import engine_of
from langchain_finetune.engines.openai import shutdown_of
from langchain_finetune.migration.calls import MOST_PROJECTS, count_calls
from langchain_finetune.migration.listing import ANNOUNCED, Listing
from support.openai_account import KEY, OpenAIAccount, openai_account
from support.servers import served
from support.store import Gate, store_client

NOW = dt.datetime.now(dt.UTC)


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    """No engine runs here, and the environment names no LangSmith."""
    monkeypatch.setenv("LCFT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("LANGSMITH_API_KEY", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def without(path):
    """Answers 404 at a path."""
    return lambda asked, _count: (404, {}) if asked == path else None


def call(client, model, *, project="app", ago=dt.timedelta(hours=1), in_inputs=False):
    """Record a run of a model."""
    run_id, start = uuid.uuid4(), NOW - ago
    metadata = {} if in_inputs else {"ls_model_name": model}
    client.create_run(
        "chat",
        run_type="llm",
        id=run_id,
        trace_id=run_id,
        dotted_order=f"{start:%Y%m%dT%H%M%S%fZ}{run_id}",
        project_name=project,
        start_time=start,
        inputs={"messages": [], **({"model": model} if in_inputs else {})},
        outputs={},
        extra={"metadata": metadata},
    )


def test_every_model_is_listed_those_with_the_fewest_days_left_first(command):
    account = OpenAIAccount()
    with openai_account(account) as url:
        ran = command("inventory", "--base-url", url, "--json")
    models = {model["name"]: model for model in ran.json["models"]}
    last = [name for name, model in models.items() if model["checkpoint_of"] is None]
    assert sorted(last) == sorted(account.names)
    for name in last:
        job, model = account.job_of(name), models[name]
        assert (model["job_id"], model["base"]) == (job["id"], job["model"])
        assert model["method"] == job["method"]["type"]
        assert model["training_file"] == job["training_file"]
        assert model["validation_file"] == job["validation_file"]
        assert model["result_files"] == job["result_files"]
        gone = job["model"] == "gpt-3.5-turbo-0125"
        assert model["status"] == ("shut down" if gone else "available")
        # A fine-tuned model stops with its base, also where the list gives no date of its own.
        told = account.models[job["model"]]["shutdown_date"]
        # Here the server tells none: OpenAI's own, as the name is one of OpenAI's.
        announced = shutdown_of(job["model"])
        assert model["shutdown_date"] == (told or (announced and str(announced)))
        for kept in account.checkpoints[job["id"]]:
            checkpoint = models[kept["fine_tuned_model_checkpoint"]]
            assert (checkpoint["checkpoint_of"], checkpoint["step"]) == (name, kept["step_number"])
            assert checkpoint["status"] == model["status"]
    assert len(models) == 3 * len(last)
    days = [model["days_left"] for model in models.values() if model["days_left"] is not None]
    assert days == sorted(days)
    assert [model["days_left"] for model in models.values()][: len(days)] == days
    taken = dt.datetime.fromisoformat(ran.json["taken_at"]).date()
    assert {(dt.date(2027, 1, 14) - taken).days, (dt.date(2026, 10, 23) - taken).days} == set(days)
    assert {method for method, _ in account.requests} == {"GET"}
    assert KEY not in ran.out + ran.err


def test_the_table_is_for_people(command):
    with openai_account(OpenAIAccount(models=3)) as url:
        ran = command("inventory", "--base-url", url)
    assert ran.code == 0
    assert ran.out.count("ckpt-step") == 0
    assert "6 models of checkpoints without known calls" in ran.out
    assert "days left" in ran.out
    assert ran.err.count("checkpoints of") == 3
    assert "calls were not counted" in ran.err
    with openai_account(OpenAIAccount(models=0)) as url:
        assert "no fine-tuned models" in command("inventory", "--base-url", url).out


def test_who_still_calls_them(tmp_path, command, monkeypatch):
    account = OpenAIAccount(models=4)
    first, second, third, fourth = account.names
    kept = account.checkpoints[account.job_of(first)["id"]][0]["fine_tuned_model_checkpoint"]
    with store_client(tmp_path / "runs.db") as client, openai_account(account) as url:
        call(client, first)
        call(client, first, ago=dt.timedelta(days=2))
        call(client, first, project="batch", ago=dt.timedelta(days=3))
        call(client, second, ago=dt.timedelta(days=40))
        call(client, third, in_inputs=True)
        call(client, kept)
        call(client, "gpt-5")
        client.flush()
        taken = Inventory.fetch(base_url=url, client=client)
        calls = {model.name: model.calls for model in taken.models}
        assert (calls[first].count, calls[first].projects) == (3, ("app", "batch"))
        assert abs(calls[first].last_at - (NOW - dt.timedelta(hours=1))) < dt.timedelta(seconds=1)
        assert [calls[name].count for name in (second, third, fourth, kept)] == [0, 1, 0, 1]
        assert all("OpenAI's own date" in note for note in taken.notes)
        assert f"LangSmith ({client.api_url}), project app, batch" in taken.counted_in
        assert not calls[first].at_least
        longer = Inventory.fetch(base_url=url, client=client, days=60, project=["app"])
        calls = {model.name: model.calls.count for model in longer.models}
        assert [calls[name] for name in (first, second, third)] == [2, 1, 1]
        monkeypatch.setenv("LANGSMITH_ENDPOINT", client.api_url)
        monkeypatch.setenv("LANGSMITH_API_KEY", "any")
        ran = command("inventory", "--base-url", url, "--project", "app", "--json")
        found = {model["name"]: model["calls"]["count"] for model in ran.json["models"]}
        assert found[first] == 2
        assert "has no project 'none'" in (
            command("inventory", "--base-url", url, "--project", "none").error
        )


def test_the_work_is_bounded(tmp_path):
    since = NOW - dt.timedelta(days=30)
    with store_client(tmp_path / "runs.db") as client:
        for number in range(5):
            call(client, "ft:a" if number else "ft:b", ago=dt.timedelta(hours=number + 1))
        client.flush()
        calls, [note], _ = count_calls(client, ["ft:a", "ft:b"], [], since, most=3)
        assert [(calls[name].count, calls[name].at_least) for name in calls] == [
            (2, True),
            (1, True),
        ]
        assert "newest 3 runs" in note
        for number in range(MOST_PROJECTS):
            client.create_project(f"other-{number}")
        _, notes, _ = count_calls(client, ["ft:a"], [], since)
        assert f"Only {MOST_PROJECTS} projects" in notes[0]


def test_calls_that_cannot_be_counted_are_a_note_unless_they_were_asked_for(monkeypatch):
    with openai_account(OpenAIAccount(models=1)) as url:
        [note] = Inventory.fetch(base_url=url).notes
        assert "LANGSMITH_API_KEY" in note
        with pytest.raises(LoadError, match="LANGSMITH_API_KEY"):
            Inventory.fetch(base_url=url, project="app")
        with served(FastAPI()) as broken:
            monkeypatch.setenv("LANGSMITH_ENDPOINT", broken)
            monkeypatch.setenv("LANGSMITH_API_KEY", "any")
            taken = Inventory.fetch(base_url=url)
    assert [model.calls for model in taken.models] == [None] * 3
    assert "has no list of projects" in taken.notes[0]


def test_faults_change_nothing(quick):
    account = OpenAIAccount()
    with openai_account(account) as url:
        calm = Inventory.fetch(base_url=url)
    with openai_account(account, share=0.2, seed=3) as url:
        stormy = asyncio.run(Inventory.afetch(engine=quick, base_url=url))
    assert [model.name for model in stormy.models] == [model.name for model in calm.models]


def test_a_model_that_is_not_listed_was_deleted_unless_there_is_no_list(quick):
    account = OpenAIAccount(models=2)
    newest, oldest = account.names
    del account.models[newest]
    with openai_account(account) as url:
        status = {model.name: model.status for model in Inventory.fetch(base_url=url).models}
    assert (status[newest], status[oldest]) == ("deleted", "available")
    with served(Gate(account.app, without("/v1/models"))) as url:
        taken = Inventory.fetch(base_url=f"{url}/v1")
    assert {model.status for model in taken.models} == {"unknown"}
    assert "does not list its models" in taken.notes[0]


def test_what_other_projects_have_trained_is_listed_too():
    account = OpenAIAccount(models=0)
    account._add_model("ft:gpt-4o-2024-08-06:other::1:ckpt-step-8", 1_760_000_000)
    account._add_model("ft:gpt-4o-2024-08-06:other::1", 1_760_000_000)
    with openai_account(account) as url:
        found = {model.name: model for model in Inventory.fetch(base_url=url).models}
    last = found["ft:gpt-4o-2024-08-06:other::1"]
    assert (last.base, last.job_id) == ("gpt-4o-2024-08-06", None)
    assert str(last.shutdown_date) == "2027-01-14"
    assert len(found) == 2


@pytest.mark.parametrize("broken", [None, 7, "", [], {}, "soon"])
def test_fields_of_any_shape_are_no_obstacle(broken):
    account = OpenAIAccount(models=1)
    [name] = account.names
    job = account.job_of(name)
    for field in ("created_at", "method", "result_files", "training_file", "model"):
        job[field] = broken
    account.models[name]["shutdown_date"] = broken
    with openai_account(account) as url:
        taken = Inventory.fetch(base_url=url)
    assert taken.models[0].name == name


def test_azure_has_dates_of_its_own():
    account = OpenAIAccount(models=2)
    names = {}
    for name in account.names:
        job = account.job_of(name)
        names[name] = job["fine_tuned_model"] = f"{job['model']}.ft-{name[-8:]}"
        account.models[names[name]] = {
            "id": names[name],
            "object": "model",
            "model": job["model"],
            "created_at": 1_760_000_000,
        }
    dated, undated = names.values()
    account.models[dated]["deprecation"] = {"inference": 1_830_000_000}
    with openai_account(account) as url:
        taken = Inventory.fetch(engine="azure", base_url=url, api_key=KEY)
    found = {model.name: model for model in taken.models}
    assert str(found[dated].shutdown_date) == "2027-12-28"
    # Not the date of the base, which the list gives too: the fine-tuned model outlives it.
    assert str(found[undated].shutdown_date) == "2027-10-01"
    assert str(found[undated].training_stops) == "2027-04-01"
    assert "learn.microsoft.com" in found[undated].shutdown_source
    assert "2026-07" in found[undated].shutdown_source
    with pytest.raises(FineTuningError, match="needs the base URL"):
        Inventory.fetch(engine="azure", api_key=KEY)


def test_at_openai_the_dated_data_fills_in():
    job = {"fine_tuned_model": "ft:gpt-4.1-2025-04-14:acme::1", "model": "gpt-4.1-2025-04-14"}
    today = dt.date(2026, 11, 29)
    engine = replace(engine_of("openai"), base_url="https://api.openai.com/v1")
    [model] = Listing({"ftjob-1": job}, {}).tuned(engine, today)
    assert (str(model.shutdown_date), model.days_left) == ("2027-01-14", 46)
    assert str(model.training_stops) == "2027-01-06"
    assert "developers.openai.com" in model.shutdown_source
    elsewhere = replace(engine, base_url="https://other.example/v1")
    [model] = Listing({"ftjob-1": job}, {}).tuned(elsewhere, today)
    assert (str(model.shutdown_date), model.days_left) == ("2027-01-14", 46)
    assert model.shutdown_source == ANNOUNCED
    of_its_own = job | {"fine_tuned_model": "tuned-7"}
    [model] = Listing({"ftjob-1": of_its_own}, {}).tuned(elsewhere, today)
    assert model.shutdown_date is None


def test_a_gateway_without_dates_and_jobs_says_so(command):
    account = OpenAIAccount(models=0)
    for name in ("ft:gpt-4.1-2025-04-14:acme::1", "ft:qwen:acme::2"):
        account._add_model(name, 1_760_000_000)
        account.models[name].pop("shutdown_date", None)
    account.models.pop("gpt-4.1-2025-04-14", None)
    with served(Gate(account.app, without("/v1/fine_tuning/jobs"))) as url:
        ran = command("inventory", "--base-url", f"{url}/v1", "--json")
    assert ran.code == 0, ran.err
    first, second = ran.json["models"]
    assert (first["name"], first["shutdown_date"]) == (
        "ft:gpt-4.1-2025-04-14:acme::1",
        "2027-01-14",
    )
    assert second["shutdown_date"] is None
    no_api, no_date, _ = ran.json["notes"]
    assert "has no fine-tuning API" in no_api
    assert "OpenAI's own date" in no_date
    with served(FastAPI()) as url:
        assert "404" in command("inventory", "--base-url", f"{url}/v1").error


def test_where_calls_were_counted_is_said(tmp_path, command, monkeypatch):
    account = OpenAIAccount(models=1)
    with store_client(tmp_path / "runs.db") as client, openai_account(account) as url:
        monkeypatch.setenv("LANGSMITH_ENDPOINT", client.api_url)
        monkeypatch.setenv("LANGSMITH_API_KEY", "any")
        nothing = Inventory.fetch(base_url=url)
        assert {model.calls for model in nothing.models} == {None}
        assert "has no runs since" in nothing.notes[0]
        call(client, "gpt-5")
        client.flush()
        ran = command("inventory", "--base-url", url)
        assert f"in LangSmith ({client.api_url}), project app, default." in ran.out
        assert {model.calls.count for model in Inventory.fetch(base_url=url).models} == {0}


def test_calls_are_counted_in_files_of_an_app_that_is_not_traced(tmp_path, command):
    account = OpenAIAccount(models=2)
    first, second = account.names
    # Some show that a person rejected a call, others are calls of middleware.
    internal = {"lc_source": "summarization"}
    said = {"role": "tool", "content": "User rejected the tool call for `send`"}
    runs = [
        {
            "id": f"r{number}",
            "run_type": "llm",
            "start_time": (NOW - dt.timedelta(days=days)).isoformat(),
            "inputs": {"model": first, "messages": [{"role": "user", "content": "Hi"}, *more]},
            "extra": {"metadata": metadata},
        }
        for number, (days, more, metadata) in enumerate(
            ((1, [said], {}), (2, [], internal), (3, [], internal), (40, [said], {}))
        )
    ]
    path = tmp_path / "runs.jsonl"
    path.write_text("".join(json.dumps(run) + "\n" for run in runs))
    with openai_account(account) as url:
        ran = command("inventory", "--base-url", url, "--file", path, "--json")
    calls = {model["name"]: model["calls"] for model in ran.json["models"]}
    assert (calls[first]["count"], calls[second]["count"]) == (3, 0)
    assert calls[first]["projects"] == ["runs.jsonl"]
    assert ran.json["counted_in"] == str(path)
    assert ran.json["notes"] == [] or not any("counted" in note for note in ran.json["notes"])


def test_a_wrong_key_is_one_sentence(command, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong-and-secret")
    with openai_account(OpenAIAccount(models=1)) as url:
        ran = command("inventory", "--base-url", url)
        assert "does not accept the key" in ran.error
        assert "sk-wrong" not in ran.out + ran.err
        with pytest.raises(EngineAuthenticationError):
            asyncio.run(Inventory.afetch(base_url=url))
    assert "base URL must be" in command("inventory", "--base-url", "nowhere").error
