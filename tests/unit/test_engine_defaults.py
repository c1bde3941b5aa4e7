"""What an engine does that leaves operations to its base, and what engines make of refusals."""

import contextlib
from pathlib import Path

import httpx2
import openai
import pytest
from pydantic import SecretStr

from langchain_finetune.engines.base import Engine
from langchain_finetune.engines.fireworks import ENGINE as FIREWORKS
from langchain_finetune.engines.flow import Retry, finished
from langchain_finetune.engines.jobs import JobStatus, ListPage, RemoteJob
from langchain_finetune.engines.local import jobs_trained_at
from langchain_finetune.engines.tinker import ENGINE as TINKER
from langchain_finetune.errors import (
    EngineAuthenticationError,
    EngineError,
    FineTuningError,
)
from langchain_finetune.home import HOME_VARIABLE


class Bare(Engine):
    """The least that an engine has to be."""

    def client(self, access):
        return contextlib.nullcontext()

    aclient = client

    def create(self, request):
        return finished(None)

    def jobs(self, metadata, after):
        return finished(ListPage())

    def status(self, job_id):
        return finished(None)

    def chat_model(self, access, name, settings):
        return None


BARE = Bare(name="bare", base_url="http://127.0.0.1:1")
STATUS = JobStatus("job-1", "succeeded", "model-1")


def result(flow, *answers):
    """What a flow returns whose steps get these answers; errors are raised in it."""
    try:
        next(flow)
        for each in answers:
            flow.throw(each) if isinstance(each, Exception) else flow.send(each)
    except StopIteration as end:
        return end.value
    raise AssertionError("It goes on.")


def test_an_engine_without_a_key_asks_for_none():
    assert BARE.access(None, None).api_key.get_secret_value() == ""
    given = BARE.access("http://127.0.0.1:2", SecretStr("k"))
    assert (given.base_url, given.api_key.get_secret_value()) == ("http://127.0.0.1:2", "k")


def test_an_engine_that_takes_paths_keeps_no_files(tmp_path):
    path = tmp_path / "lines.jsonl"
    path.touch()
    assert result(BARE.upload("lines", path)) == str(path)
    assert result(BARE.file_is_usable(str(path))) is True
    assert result(BARE.files(None)).entries == []
    assert result(BARE.delete_file(str(path))) is None
    assert path.exists()


def test_what_an_engine_does_not_tell_is_nothing():
    assert result(BARE.metrics(STATUS)) == []
    assert result(BARE.check_model("model-1")) is None
    assert result(BARE.undeploy(STATUS, None)) is None
    assert BARE.model_end("base") is None
    with pytest.raises(EngineError, match="'bare' does not list its jobs") as told:
        result(BARE.records("jobs", None, None))
    assert told.value.failure.missing


@pytest.mark.parametrize(
    "operation",
    [
        lambda: BARE.quote(None),
        lambda: BARE.steer("job-1", "cancel"),
        lambda: BARE.events("job-1", None),
        lambda: BARE.checkpoints("job-1", None),
        lambda: BARE.deploy(STATUS, "base", None),
        lambda: BARE.weights(STATUS, None, Path()),
        lambda: BARE.file_record("file-1"),
        lambda: BARE.download("file-1", Path()),
    ],
)
def test_an_operation_that_an_engine_lacks_never_seems_to_work(operation):
    with pytest.raises(NotImplementedError):
        operation()


def refusal(kind, status):
    answer = httpx2.Response(status, request=httpx2.Request("GET", "http://127.0.0.1:1"))
    return kind("refused", response=answer, body=None)


GONE = refusal(openai.NotFoundError, 404)
NO_KEY = refusal(openai.AuthenticationError, 401)


def test_a_list_that_tinkers_server_does_not_have_proves_nothing():
    assert result(TINKER.is_gone("tinker://run/sampler_weights/a"), "key", GONE) is False
    with pytest.raises(EngineAuthenticationError):
        result(TINKER.is_gone("tinker://run/sampler_weights/a"), "key", NO_KEY)


def test_a_model_that_fireworks_does_not_show_may_be_there():
    assert result(FIREWORKS.is_gone("accounts/acme/models/a"), "key", GONE) is True
    with pytest.raises(EngineAuthenticationError):
        result(FIREWORKS.is_gone("accounts/acme/models/a"), "key", NO_KEY)


def test_the_key_of_a_host_that_is_gone_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    step = next(FIREWORKS.ask_host("get", "/v1/accounts"))
    with pytest.raises(EngineAuthenticationError, match="is gone from the engine's home"):
        step.action()


def serving(asking):
    from langchain_finetune.engines.fireworks_deployment import (
        FireworksDeployment,
        FireworksServing,
    )

    deployment = FireworksDeployment(name="rooms", shape="accounts/fireworks/deploymentShapes/nano")
    model = "accounts/acme/models/a"
    return FireworksServing(asking, Retry(attempts=1), "job-1", model, deployment)


def test_a_deployment_that_fireworks_refuses_and_does_not_delete_is_told():
    asked = []

    def asking(verb, path, body=None):
        asked.append(verb)
        if verb == "get":
            return finished({"state": "FAILED"} if len(asked) > 1 else None)
        raise EngineError(f"It refuses to {verb}.")

    with pytest.raises(EngineError, match="refuses to post"):
        result(serving(asking).start())
    asked.clear()
    made = serving(asking)
    asked.append("get")
    with pytest.raises(FineTuningError, match="ended as FAILED") as told:
        result(made.start())
    assert "could not be deleted (It refuses to delete.)" in told.value.__notes__[0]


def test_the_jobs_of_a_host_are_looked_for_on_all_pages():
    def job(name, host):
        made = RemoteJob(JobStatus(name, "running", None), "nano", {}, trained_at=host)
        assert made.trained_at == host
        return made

    pages = {
        None: ListPage([job("1", None)], after="1"),
        "1": ListPage([job("2", "http://host")], after=None),
    }
    asked = []

    def listing(after):
        asked.append(after)
        return finished(pages[after])

    found = result(jobs_trained_at("http://host", listing, None))
    assert [one.id for one in found.entries] == ["2"]
    assert asked == [None, "1"]
