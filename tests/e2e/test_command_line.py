"""Commands that only look: what they say to people and to programs."""

import json
import os
import re
import stat
import subprocess
import sys
from html import unescape
from pathlib import Path

import httpx2
import pytest
from openai import OpenAI

from langchain_finetune.cli.app import COMMANDS
from langchain_finetune.cli.lazy_command import loaded
from langchain_finetune.finetune.ledger import Ledger
from langchain_finetune.local.documents import open_records
from langchain_finetune.local.jobs.journal import Journal
from langchain_finetune.local.jobs.schemas import JobRecord
from support.command_line import runs_command, write_chats
from support.warm_process import run_warm


@pytest.fixture
def command(engine):
    """Run a command in the engine's home."""

    def run(*arguments, **environment):
        here = {"LANGSMITH_API_KEY": "", "LANGSMITH_ENDPOINT": "", "OPENAI_API_KEY": ""}
        environment = {**os.environ, **here, "NO_COLOR": "1", **environment}
        return run_warm("langchain_finetune.cli", *arguments, env=environment)

    return run


@pytest.fixture
def here(monkeypatch, capsys):
    """Run a command in the engine's home and in this process, which is quicker."""
    return runs_command(monkeypatch, capsys)


def test_help_says_what_commands_say_of_themselves():
    for name, command in loaded(COMMANDS).items():
        (summary,) = (each.help for each in COMMANDS if each.name == name)
        assert " ".join(command.help.split()).startswith(summary.removesuffix(".")), name


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["chek"]])
def test_help_imports_none_of_what_commands_need(arguments):
    program = (
        "import atexit, sys\n"
        "slow = {'langchain_core', 'langsmith', 'openai', 'torch'}\n"
        "atexit.register(lambda: print('IMPORTED', sorted(slow & set(sys.modules))))\n"
        "from langchain_finetune.cli import main\n"
        "main()"
    )
    command = [sys.executable, "-c", program, *arguments]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert said.stdout.splitlines()[-1] == "IMPORTED []"
    assert re.search("Usage: |langchain-finetune ", said.stdout + said.stderr)


def test_doctor_finds_all_that_is_there(command, engine):
    result = command("doctor", "--json")
    assert (result.returncode, result.stderr) == (0, "")
    found = {each["what"]: each for each in json.loads(result.stdout)}
    assert found["embedded engine"]["detail"] == f"running at {engine.url}"
    assert found["LangSmith"]["state"] == "note"
    assert "torch" in found["extra local"]["detail"]
    key = engine.api_key.get_secret_value()
    told = command("doctor", LANGSMITH_ENDPOINT=engine.url, LANGSMITH_API_KEY=key)
    assert told.returncode == 0
    assert f"available at {engine.url}" in " ".join(told.stdout.split())
    assert key not in told.stdout + told.stderr


def test_doctor_fails_where_something_is_wrong(command, engine, tmp_path):
    refused = command("doctor", LANGSMITH_ENDPOINT=engine.url, LANGSMITH_API_KEY="wrong-key")
    assert refused.returncode == 1
    assert "does not accept the key" in " ".join(refused.stdout.split())
    assert "wrong-key" not in refused.stdout
    (tmp_path / "file").write_text("")
    lost = command("doctor", LCFT_HOME=str(tmp_path / "file" / "home"))
    assert lost.returncode == 1
    assert "Traceback" not in lost.stderr


def test_models_lists_the_bases(command, engine):
    result = command("models", "--json")
    assert result.returncode == 0
    assert "nano" in [each["model"] for each in json.loads(result.stdout)]
    assert "nano" in command("models").stdout


def test_a_job_is_left_found_again_and_cancelled(here, engine, tmp_path):
    chats = write_chats(tmp_path / "chats.jsonl", 200)
    arguments = ("run", "--file", str(chats), "--model", "nano", "--epochs", "50")
    left = here(*arguments, "--timeout", "0.1")
    assert left.code == 1
    [job_id] = re.findall(r"^Error: Job (\S+) had not ended", left.err, re.MULTILINE)
    rows = here("jobs", "list", "--json").json
    assert rows[0]["job_id"] == job_id
    assert rows[0]["status"] not in {"unknown", "succeeded"}
    assert (rows[0]["engine"], rows[0]["base_model"]) == ("local", "nano")
    cancelled = here("jobs", "cancel", job_id, "--json").json
    assert (cancelled["job_id"], cancelled["status"]) == (job_id, "cancelled")
    watched = here("jobs", "watch", job_id)
    assert watched.code == 1
    assert f"Error: Job {job_id} was cancelled." in watched.err


def test_an_engine_that_is_down_is_not_started_for_a_list(here, tmp_path, monkeypatch):
    monkeypatch.setenv("LCFT_HOME", str(tmp_path))
    ledger = Ledger(tmp_path)
    ledger.begin(
        "s", "f", account="local", engine="local", base_url="http://127.0.0.1:1/v1",
        base_model="nano", training_sha256="0",
    )  # fmt: skip
    ledger.settle("s", "ftjob-1")
    [row] = here("jobs", "list", "--json").json
    assert (row["job_id"], row["status"], row["base_url"]) == ("ftjob-1", "deleted", None)
    journal = Journal(open_records(tmp_path / "engine.sqlite"))
    for job_id, status in (("ftjob-1", "succeeded"), ("ftjob-2", "running")):
        journal.save(
            JobRecord(
                id=job_id,
                created_at=1,
                model="nano",
                status=status,
                training_file="file-1",
                hyperparameters={},
                requested={},
                method={"type": "supervised"},
                seed=1,
                fine_tuned_model="ft:nano:local:two:1" if status == "succeeded" else None,
            )
        )
    listed = here("jobs", "list", "--json")
    told = {row["job_id"]: (row["status"], row["fine_tuned_model"]) for row in listed.json}
    assert told == {"ftjob-1": ("succeeded", "ft:nano:local:two:1"), "ftjob-2": ("queued", None)}
    assert "The embedded engine is stopped; 1 unfinished job of it will go on" in listed.err
    assert "ft:nano:local:two:1" in here("jobs", "list").out
    stopped = here("stop", "--json")
    assert stopped.json == {"stopped": False}


def test_a_job_that_others_made_at_the_engine_is_listed(here, engine, tmp_path):
    key = engine.api_key.get_secret_value()
    with OpenAI(base_url=engine.base_url, api_key=key) as client:
        chats = write_chats(tmp_path / "chats.jsonl", 200)
        file = client.files.create(file=chats, purpose="fine-tune")
        job = client.fine_tuning.jobs.create(model="nano", training_file=file.id)
        rows = {row["job_id"]: row for row in here("jobs", "list", "--json").json}
        assert rows[job.id]["engine"] == "local"
        assert rows[job.id]["base_model"] == "nano"
        assert rows[job.id]["status"] not in {"unknown", "deleted"}
        client.fine_tuning.jobs.cancel(job.id)
    assert job.id in here("jobs", "list").out


@pytest.mark.train
def test_a_job_that_is_done_is_shown_and_watched(here, tuned):
    job_id = tuned.metadata["job_id"]
    listed = here("jobs", "list", "--limit", "1000", "--json").json
    [row] = [row for row in listed if row["job_id"] == job_id]
    assert (row["status"], row["fine_tuned_model"]) == ("succeeded", tuned.model_name)
    shown = here("jobs", "show", job_id, "--json").json
    assert shown["job"]["training_examples"] == tuned.metadata["training_examples"]
    assert shown["metrics"][-1]["train_loss"] < shown["metrics"][0]["train_loss"]
    told = here("jobs", "show", job_id).out
    assert f"Metrics of {len(shown['metrics'])} steps; the last: step" in told
    watched = here("jobs", "watch", job_id)
    assert (watched.code, tuned.model_name in watched.out) == (0, True)


def test_a_link_to_the_page_signs_in_once(here, engine, monkeypatch):
    opened = []
    monkeypatch.setattr(
        "webbrowser.open", lambda link: bool(opened.append(link)) or len(opened) < 2
    )
    printed = here("page")
    link = printed.out.strip()
    assert link.startswith(f"{engine.url}/ui/sign-in?ticket=")
    assert "once, within 5 minutes" in printed.err
    assert engine.api_key.get_secret_value() not in printed.out + printed.err
    with httpx2.Client(trust_env=False) as browser:
        assert "You are signed in" in browser.get(link).text
        assert "<h1>Runs</h1>" in browser.get(engine.url).text
        assert browser.get(link).status_code == 403
    told = here("page", "--open", "--json").json
    # The address of a browser is in the process list, for all users of the machine.
    assert told["opened"]
    assert "ticket" not in opened[0]
    redirect = Path(httpx2.URL(opened[0]).path)
    assert stat.S_IMODE(redirect.stat().st_mode) == 0o600
    assert told["url"] in unescape(redirect.read_text())
    failed = here("page", "--open")
    assert "Open this link" in failed.err
    assert failed.out.strip() in unescape(redirect.read_text())
