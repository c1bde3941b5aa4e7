"""`jobs` and `run` at a hosted engine: a stand-in that speaks its API over a socket."""

import os
import signal
import subprocess
import sys
import textwrap

import pytest

from langchain_finetune.finetune.ledger import Ledger
from langchain_finetune.home import home_path
from support.command_line import runs_command, write_chats
from support.light_engine import LightEngine, app_of
from support.servers import free_port, served

SUBMIT = ("run", "--engine", "openai", "--model", "m", "--timeout", 0.01)


@pytest.fixture
def engine():
    return LightEngine(ends=False)


@pytest.fixture
def url(engine):
    with served(app_of(engine)) as address:
        yield f"{address}/v1"


@pytest.fixture
def command(url, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LCFT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    monkeypatch.setenv("OPENAI_API_KEY", "key")
    return runs_command(monkeypatch, capsys)


@pytest.fixture
def chats(tmp_path):
    return write_chats(tmp_path / "chats.jsonl")


@pytest.fixture
def job(command, engine, chats):
    """A job that was asked for, and is not waited for any more."""
    error = command(*SUBMIT, "--file", chats).error
    [job_id] = engine.jobs
    assert f"Job {job_id} had not ended" in error
    return job_id


def test_a_home_without_jobs_has_none(command):
    assert command("jobs", "list").out == "There are no jobs on this machine.\n"
    assert command("jobs", "list", "--json").json == []


def test_list_tells_the_newest_first_with_its_state(command, engine, chats, job, url):
    assert command(*SUBMIT, "--file", chats).code == 1
    assert list(engine.jobs) == [job]
    assert command(*SUBMIT, "--file", chats, "--no-reuse").code == 1
    [_, newer] = engine.jobs
    assert command(*SUBMIT, "--file", chats, "--seed", 7).code == 1
    [_, _, newest] = engine.jobs
    del engine.jobs[newest]
    rows = command("jobs", "list", "--json").json
    assert [row["job_id"] for row in rows] == [newest, newer, job]
    assert [row["status"] for row in rows] == [
        "deleted", engine.jobs[newer]["status"], engine.jobs[job]["status"],
    ]  # fmt: skip
    assert {(row["engine"], row["base_url"], row["base_model"]) for row in rows} == {
        ("openai", url, "m")
    }
    assert len(command("jobs", "list", "--limit", 1, "--json").json) == 1
    assert command("jobs", "list", "--engine", "local", "--json").json == []
    assert newer in command("jobs", "list").out


def test_a_job_is_shown_paused_cancelled_and_watched(command, engine, job):
    shown = command("jobs", "show", job, "--json").json
    assert shown["job"]["job_id"] == shown["status"]["job_id"] == job
    happened = [event["id"] for event in engine.events[job]]
    assert [event["id"] for event in shown["events"]] == happened[: len(shown["events"])]
    assert [one["step"] for one in shown["checkpoints"]] == [10, 20, 30]
    told = command("jobs", "show", job).out
    assert engine.events[job][0]["message"] in told
    assert f"ft:m:o::{job}:ckpt-step-20" in told
    engine.ends_as = "running"
    engine.jobs[job] |= {"status": "running", "fine_tuned_model": None}
    assert command("jobs", "pause", job, "--json").json["status"] == "paused"
    assert command("jobs", "resume", job, "--json").json["status"] == "queued"
    assert command("jobs", "cancel", job, "--json").json["status"] == "cancelled"
    assert command("jobs", "cancel", job).code == 0
    assert f"Job {job} was cancelled" in command("jobs", "watch", job, "--json").error
    assert f"Job {job} was cancelled" in command("jobs", "watch", job).error


@pytest.mark.parametrize("verb", ["pause", "cancel", "resume"])
@pytest.mark.parametrize("state", ["succeeded", "failed"])
def test_a_job_that_has_ended_says_so(command, engine, job, verb, state):
    engine.jobs[job] |= {"status": state, "fine_tuned_model": "ft:m"}
    wanted = {"pause": "paused", "cancel": "cancelled", "resume": "resumed"}[verb]
    said = f"Error: Job {job} was not {wanted}: it has ended already ({state})."
    assert command("jobs", verb, job).error == said
    assert command("jobs", verb, job, "--json").error == said


def test_run_prints_the_name_alone_and_how_to_use_it(command, engine, chats):
    assert command(*SUBMIT, "--file", chats).code == 1
    [job_id] = engine.jobs
    engine.ends = True
    arguments = ("run", "--engine", "openai", "--model", "m", "--file", chats)
    made = command(*arguments)
    assert (made.code, made.out) == (0, f"ft:m:o::{job_id}\n")
    names = {}
    exec(textwrap.dedent(made.err.partition("Use it in Python:")[2]), names)
    assert names["model"].model_name == f"ft:m:o::{job_id}"
    assert command(*arguments, "--json").json["job_id"] == job_id


def test_watch_tells_of_the_end(command, engine, job):
    engine.ends = True
    watched = command("jobs", "watch", job)
    assert watched.code == 0
    assert f"{job}: succeeded" in watched.err
    assert f"ft:m:o::{job}" in watched.out
    assert command("jobs", "watch", job, "--json").json["fine_tuned_model"] == f"ft:m:o::{job}"


def test_a_job_that_fails_fails_the_command(command, engine, job):
    engine.ends, engine.ends_as = True, "failed"
    engine.jobs[job] |= {"error": {"code": "bad_data", "message": "Too odd."}}
    watched = command("jobs", "watch", job)
    assert watched.error == f"Error: Job {job} failed (bad_data): Too odd."
    assert watched.out == ""


def test_the_key_goes_to_no_other_address(command, engine, job, url, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{free_port()}/v1")
    asked = len(engine.asked)
    listed = command("jobs", "list", "--json")
    assert (listed.code, listed.json[0]["status"]) == (0, "unknown")
    for said in (listed.err, command("jobs", "show", job).error):
        assert f"The key for {url} is unknown. Use --base-url {url}" in said
    assert len(engine.asked) == asked
    listed = command("jobs", "list", "--base-url", url, "--json")
    assert (listed.json[0]["job_id"], listed.err) == (job, "")
    assert command("jobs", "cancel", job, "--base-url", url, "--json").json["job_id"] == job


def test_an_engine_that_does_not_answer_is_told_of_once(command, job, monkeypatch):
    nowhere = f"http://127.0.0.1:{free_port()}/v1"
    monkeypatch.setenv("OPENAI_BASE_URL", nowhere)
    ledger = Ledger(home_path())
    for name in ("one", "other", "lost"):
        ledger.begin(
            name, "f", account="a", engine="openai", base_url=nowhere, base_model="m",
            training_sha256="0",
        )  # fmt: skip
        ledger.ask(name)
        if name != "lost":
            ledger.settle(name, f"ftjob-{name}")
    listed = command("jobs", "list", "--base-url", nowhere, "--json")
    assert listed.code == 0
    told = [(row["job_id"], row["status"]) for row in listed.json]
    assert told[1:] == [("ftjob-other", "unknown"), ("ftjob-one", "unknown")]
    assert told[0] == (None, "may have been created: run the same chain again")
    assert listed.err.count("Note: ") == 1
    assert f"Nothing answers at {nowhere}" in listed.err


def test_a_job_of_a_loop_is_shown_without_its_hosts_key(command, url):
    ledger = Ledger(home_path())
    ledger.begin(
        "t", "f", account="t", engine="tinker", base_url=url, base_model="m", training_sha256="0"
    )
    ledger.settle("t", "ftjob-t")
    assert "needs no key for it: give --engine local." in command("jobs", "show", "ftjob-t").error


def test_a_job_at_azure_needs_its_address_and_key(command, job, url, monkeypatch):
    ledger = Ledger(home_path())
    ledger.begin(
        "b", "f", account="b", engine="azure", base_url=url, base_model="m", training_sha256="0"
    )
    ledger.settle("b", "ftjob-b")
    refused = command("jobs", "show", "ftjob-b").error
    assert f"Use --base-url {url} if AZURE_OPENAI_API_KEY is for this address" in refused
    lacking = command("jobs", "show", "ftjob-b", "--base-url", url).error
    assert "set AZURE_OPENAI_API_KEY" in lacking
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "key")
    shown = command("jobs", "show", job, "--engine", "azure", "--base-url", url, "--json").json
    assert (shown["job"]["engine"], shown["job"]["base_url"]) == ("azure", url)
    assert command("jobs", "show", job, "--engine", "azure").code == 2


def test_a_job_that_is_not_known_is_one_sentence(command, url):
    asked = command("jobs", "show", "nope", "--base-url", url)
    assert asked.error == f"Error: The engine at {url} refused (404): Not found."
    assert command("jobs", "show", "nope", "--engine", "local", "--base-url", url).code == 2
    assert command("jobs", "show", "nope", "--base-url", "nowhere").code == 2
    assert command("jobs", "list", "--limit", 0).code == 2


# A test run in the background of a shell ignores SIGINT, and its children would too.
_HEARS_CTRL_C = """
import signal
from langchain_finetune.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)
main()
"""


@pytest.mark.parametrize("on_cancel", ["keep", "cancel"])
def test_ctrl_c_ends_run_and_says_what_became_of_the_job(command, engine, chats, on_cancel):
    engine.ends_as = "running"
    arguments = ("run", "--engine", "openai", "--model", "m", "--file", str(chats))
    with subprocess.Popen(
        [sys.executable, "-c", _HEARS_CTRL_C, *arguments, "--on-cancel", on_cancel],
        env=dict(os.environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr.readline().startswith("Converted 12 chats, 12 examples")
        assert process.stderr.readline().startswith("ftjob-")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=240)
    [(job_id, job)] = engine.jobs.items()
    assert (process.returncode, out) == (130, "")
    became = {"keep": "continues", "cancel": "was cancelled"}[on_cancel]
    assert f"Error: Stopped waiting; job {job_id} {became}.\n" in err
    assert (job["status"] == "cancelled") == (on_cancel == "cancel")


def test_ctrl_c_ends_watch_and_the_job_goes_on(command, engine, job):
    with subprocess.Popen(
        [sys.executable, "-c", _HEARS_CTRL_C, "jobs", "watch", job],
        env=dict(os.environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr.readline().startswith(job)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=240)
    assert (process.returncode, out) == (130, "")
    assert f"Error: Stopped watching; job {job} continues.\n" in err
    assert engine.jobs[job]["status"] != "cancelled"
