"""`engine="tinker"`: the embedded engine trains at a server of Tinker's REST, by the real SDK."""

import io
import os
import socket
import stat
import time
from functools import partial
from pathlib import Path

import pytest
from langchain_openai import ChatOpenAI
from pydantic import SecretStr
from rich.console import Console

from langchain_finetune import (
    EngineAuthenticationError,
    FineTune,
    JobCancelledError,
    JobFailedError,
    JobSubmissionError,
    JobTimeoutError,
    RichProgress,
)
from langchain_finetune.finetune.connection import Connection
from langchain_finetune.finetune.job_queries import newest_jobs
from langchain_finetune.home import host_key_file
from support.hosted import (
    addressed,
    examples,
    holders_of_key,
    kill_engine_and_trainer,
    own_home,
    pages,
    step_at,
    until,
)
from support.loop_server import KEY, LoopServer
from support.nano_loop import NanoTrainer

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    with own_home(tmp_path_factory.mktemp("tinker"), "tinker") as home:
        yield home


@pytest.fixture
def server(home):
    with addressed(LoopServer(NanoTrainer())) as server:
        yield server


def step(server, **changes):
    return step_at(server, "tinker", KEY, **changes)


def commands():
    """The command lines of all processes."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield path.read_bytes()
        except OSError:
            continue


def test_a_chain_trains_at_the_host_and_returns_its_model(server, home):
    server.pauses = 1
    seen = []

    def look(number, path):
        if path == "create_model":
            seen.append([one for one in commands() if KEY.encode() in one])

    server.fault = look
    chain = step(server)
    job = chain.submit(examples())
    news = []
    assert job.wait(on_progress=news.append).status == "succeeded"
    model = chain.invoke(examples())
    assert isinstance(model, ChatOpenAI)
    assert model.openai_api_base == f"{server.address}/oai/api/v1"
    assert model.model_name in server.saved
    assert model.openai_api_key.get_secret_value() == KEY
    assert model.metadata["job_id"] == job.job_id
    assert len(server.sessions) == 1  # The second chain found the job.
    assert server.running == []
    assert [row["step"] for row in job.metrics()] == [1, 2, 3, 4]
    assert [one.step for one in job.checkpoints()] == [2, 4]
    assert all(one.model in server.saved for one in job.checkpoints())
    assert any("Queued at the host" in (each.message or "") for each in news)
    # The key: in one file of its owner, and nowhere else.
    assert seen == [[]]
    [file] = holders_of_key(home, KEY)
    assert file == host_key_file(home, server.address)
    if os.name == "posix":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert KEY not in job.model_dump_json()
    # The page says where the model is: it was never here, and is not deleted.
    for page in pages(home, "/ui/jobs", f"/ui/jobs/{job.job_id}"):
        assert f"<small>at {server.address}</small>" in page
        assert "deleted" not in page


async def test_weights_come_home_and_answer_here(server, home):
    job = step(server, extra_body={"weights": "home"}, suffix="even").submit(examples("Home {n}?"))
    status = await job.wait_async()
    assert status.fine_tuned_model == f"ft:nano:local:even:{job.job_id[-8:]}"
    model = await job.amodel(max_tokens=4)
    assert model.openai_api_base != f"{server.address}/oai/api/v1"
    assert (await model.ainvoke("Home 1?")).content is not None
    assert not [path for path in server.saved if "/external_weights/" in path]
    assert server.running == []


def test_a_job_that_is_cancelled_or_paused_closes_its_session(server):
    server.fault = lambda number, path: path == "optim_step" and time.sleep(0.5)
    settings = {"hyperparameters": {"n_epochs": 20, "batch_size": 6}}
    job = step(server, **settings).submit(examples("Cancel {n}?"))
    until(lambda: "optim_step" in server.requests)
    assert job.cancel().status == "cancelled"
    until(lambda: not server.running)
    with pytest.raises(JobCancelledError):
        job.wait()
    settings = {"hyperparameters": {"n_epochs": 2, "batch_size": 2}}
    job = step(server, **settings).submit(examples("Pause {n}?"))
    before = len(server.updates)
    until(lambda: len(server.updates) > before + 2)
    assert job.pause().status == "paused"
    until(lambda: not server.running)
    job.resume()
    status = job.wait()
    # Nothing was done twice.
    assert len(server.saved[status.fine_tuned_model][0]) == len(server.updates) - before
    assert len(server.updates) - before == 12


def test_what_a_killed_engine_and_a_cancelled_job_have_left_is_closed(server, home):
    settings = {"hyperparameters": {"n_epochs": 20, "batch_size": 6}}
    server.fault = lambda number, path: path == "optim_step" and time.sleep(0.2)
    job = step(server, **settings).submit(examples("Killed {n}?"))
    until(lambda: any("/sampler_weights/" in path for path in server.saved))
    kill_engine_and_trainer(home, job.job_id)
    assert len(server.running) == 1
    assert job.cancel().status == "cancelled"
    # What it had saved is deleted, but a state that was not written down yet, which expires.
    until(lambda: not server.running and not models_of(server))
    until(lambda: not (home / "jobs" / job.job_id / "work").exists())
    server.fault = lambda number, path: None


def models_of(server):
    return [path for path in server.saved if "/sampler_weights/" in path]


def test_each_engine_lists_its_own_jobs(server, home):
    chain = step(server)
    job = chain.submit(examples("Mine {n}?"))
    job.wait()
    settings = {"engine": "local", "hyperparameters": {"n_epochs": 1}}
    here = FineTune(model="nano", **settings).submit(examples("Here {n}?"))
    here.wait()
    at_host = Connection("tinker", server.address, SecretStr(KEY))
    local, hosted = (
        {one.id for one in connection.run(partial(newest_jobs, 100))}
        for connection in (Connection("local"), at_host)
    )
    assert here.job_id in local
    assert job.job_id not in local
    assert hosted == {job.job_id}


def test_a_model_that_was_deleted_at_the_host_is_trained_again(server):
    chain = step(server)
    first = chain.invoke(examples("Gone {n}?"))
    del server.saved[first.model_name]
    second = chain.invoke(examples("Gone {n}?"))
    assert first.model_name != second.model_name
    assert len(server.sessions) == 2


def test_a_host_that_is_not_there_is_told_within_seconds(server):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = f"http://127.0.0.1:{closed.getsockname()[1]}"
    job = step(server, base_url=nobody).submit(examples("Nobody {n}?"))
    out = io.StringIO()
    with RichProgress(Console(file=out, width=200)) as progress:
        with pytest.raises(JobTimeoutError):
            job.wait(timeout_s=20, on_progress=progress.show_job)
        assert job.status().status == "queued"
    assert job.cancel().status == "cancelled"
    # Each attempt is an event of its own.
    assert out.getvalue().count("The host is unavailable (ConnectError)") == 1
    assert KEY not in out.getvalue()


def test_what_a_host_can_not_do_is_told(server):
    said = "The embedded engine refused the job .400.: .*lora_targets is the choice of the host"
    with pytest.raises(JobSubmissionError, match=said):
        step(server, hyperparameters={"lora_targets": ("q_proj",)}).submit(examples())
    with pytest.raises(JobFailedError, match="host_refused_key"):
        step(server, api_key="tml-wrong").invoke(examples("Wrong {n}?"))
    with pytest.raises(EngineAuthenticationError, match="set TINKER_API_KEY"):
        step(server, api_key=None).submit(examples())
    assert server.running == []
