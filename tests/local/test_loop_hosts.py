"""The transports of training loops, each through its real SDK at a server that fails."""

import json
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from langchain_finetune.local.training.events import TrainingFailure
from langchain_finetune.local.training.loop import (
    fireworks_models,
    waits,
)
from langchain_finetune.local.training.loop.adapter import (
    CONFIGURATION,
    WEIGHTS,
    bring_home,
    download,
)
from langchain_finetune.local.training.loop.base import HostedBase
from langchain_finetune.local.training.loop.fireworks_models import FireworksModels
from langchain_finetune.local.training.loop.host import (
    HostUnavailableError,
)
from langchain_finetune.local.training.loop.position import Position
from langchain_finetune.local.training.loop.waits import Waits
from support import fireworks_server
from support.loop_server import Ledger, RefusedError
from support.servers import free_port, served
from support.warm_process import run_warm
from tests.local.test_loop_faults import KEYS, SERVERS, begin
from tests.local.training_process import finish

WORKER = str(Path(__file__).with_name("host_worker.py"))


@pytest.fixture(params=SERVERS)
def name(request):
    return request.param


@pytest.fixture
def server(name):
    server = SERVERS[name]()
    with served(server.app) as url:
        server.address = url
        yield server


@pytest.fixture
def act(tmp_path, name):
    """Do something at a host in a process of its own; returns what was raised there."""

    def act(what, address, *, missing="", **changed):
        (tmp_path / "key").write_text(KEYS[changed.pop("name", name)])
        spec = {
            "base": "nano",
            "name": "nano",
            "train": "unused",
            "output": "unused",
            "work": str(tmp_path),
            "host": {"name": name, "base_url": address},
            "host_key": str(tmp_path / "key"),
            "job": "ftjob-1",
        }
        (tmp_path / "spec.json").write_text(json.dumps(spec | changed))
        done = run_warm(WORKER, what, tmp_path / "spec.json", missing)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return act


def test_a_key_that_is_gone_is_told(act, server):
    told = act("make", server.address, host_key="gone")
    assert told["code"] == "missing_key"
    assert "run the same chain again, with the key" in told["message"]


def test_an_sdk_that_is_not_installed_is_told(act, server, name):
    told = act("make", server.address, missing=name)
    assert told["code"] == "missing_extra"
    assert f"lacks the extra {name}: install it" in told["message"]


def test_a_process_that_ends_closes_its_session(act, server):
    assert act("end", server.address)["raised"] is None
    assert len(server.sessions) == 1
    assert server.running == []


def test_a_process_that_ends_while_it_begins_a_session_begins_no_other(act, server):
    assert act("end_while_it_opens", server.address)["raised"] == "StopRequestedError"
    assert server.sessions == {}


def test_a_stop_ends_the_wait_for_a_model(act, server):
    server.pauses = 1_000_000
    assert act("stop_while_it_opens", server.address)["raised"] == "StopRequestedError"
    assert len(server.sessions) == 1
    assert server.running == []


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_is_refused_is_told(act, server, monkeypatch, status):
    def refuse(rest, body):
        raise RefusedError(status, "no")

    monkeypatch.setattr(server, "_post_create_session", refuse)
    told = act("open", server.address)
    assert told["code"] == "host_refused_key"
    assert f"account ({status}): check both" in told["message"]


def fail(server, after, category):
    """Let the results of requests be errors, from the first request of a path on."""

    def failed(rest, body):
        return {"error": "it failed: SECRET", "category": category}

    def fault(number, path):
        if path == after:
            server._post_retrieve_future = failed

    server.fault = fault


def test_a_result_that_is_the_hosts_fault_is_asked_for_again(act, server):
    fail(server, "forward_backward", "server")
    told = act("step", server.address)
    assert (told["raised"], told["message"]) == ("HostUnavailableError", "a request failed there")
    assert server.running == []


def test_a_result_that_is_refused_is_told_without_what_was_sent(act, server):
    fail(server, "forward_backward", "user")
    told = act("step", server.address)
    assert told["code"] == "host_refused"
    assert "SECRET" not in told["message"]
    assert server.running == []


def test_a_state_that_can_not_be_loaded_is_gone(act, server):
    fail(server, "load_weights", "user")
    assert act("reopen", server.address)["raised"] == "StateGoneError"


def test_what_was_left_is_not_closed_while_the_host_is_away(act, tmp_path):
    Position(sessions=["session1"]).write(tmp_path)
    told = act("close", f"http://127.0.0.1:{free_port()}")
    assert told["code"] == "host_unavailable"
    assert Position.read(tmp_path).sessions == ["session1"]


def test_a_session_that_can_not_be_closed_stays_written_down(act, server, tmp_path, monkeypatch):
    def refuse(rest, *_):
        raise RefusedError(404 if rest == "search" else 422, "not today")

    monkeypatch.setattr(server, "_post_sessions", refuse)
    monkeypatch.setattr(server, "_delete_trainingSessions", refuse, raising=False)
    Position(sessions=["session1"]).write(tmp_path)
    assert act("close", server.address)["code"] == "host_refused"
    assert Position.read(tmp_path).sessions == ["session1"]


@pytest.mark.parametrize("name", ["tinker"], indirect=True)
def test_tinker_refuses_for_good_to_hand_out_what_it_does_not_have(act, server):
    assert act("fetch", server.address)["code"] == "host_refused"


# The loop.


def test_a_host_that_stays_away_for_too_long_ends_the_job(act, tmp_path):
    address = f"http://127.0.0.1:{free_port()}"
    Position(sessions=["session1"]).write(tmp_path)
    told = act("try_for_too_long", address)
    assert told["code"] == "host_unavailable"
    assert f"The host at {address} was unavailable for too long (" in told["message"]
    assert "run the same again later" in told["message"]
    assert act("stop_while_it_tries", address)["raised"] == "StopRequestedError"


class Diverging(Ledger):
    def compute(self, weights, data, *, backward):
        return [np.full(len(each.tokens), np.nan, np.float32) for each in data]


def test_a_loss_that_is_not_finite_ends_the_job_and_its_session(tmp_path):
    server = SERVERS["tinker"](Diverging())
    with served(server.app) as url:
        events, status, _ = finish(begin(tmp_path / "job", url))
    assert (status, events[-1]["code"]) == (1, "training_diverged")
    assert "not finite at step 1" in events[-1]["message"]
    assert server.running == []


def test_a_call_that_times_out_itself_says_so(monkeypatch):
    calls = Waits(lambda _: None, threading.Event())

    def late():
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        calls.call(late)
    monkeypatch.setattr(waits, "_ANSWER_S", 0.0)
    with pytest.raises(HostUnavailableError, match="no answer within a day"):
        calls.call(late)


def test_a_base_without_a_tokenizer_here_is_told(tmp_path):
    with pytest.raises(TrainingFailure, match="tokenizer can't be loaded here") as told:
        HostedBase.load(str(tmp_path))
    assert told.value.code == "base_model_unavailable"


# Models and adapters.


@pytest.fixture
def fireworks():
    server = SERVERS["fireworks"]()
    with served(server.app) as url:
        server.models_at = FireworksModels(url, fireworks_server.KEY, lambda _: None)
        yield server


def test_fireworks_needs_a_key_of_one_account(fireworks, monkeypatch):
    both = {"accounts": [{"name": "accounts/acme"}, {"name": "accounts/globex"}]}
    monkeypatch.setattr(fireworks, "_control", lambda *_: both)
    with pytest.raises(TrainingFailure, match="a key that belongs to one account"):
        _ = fireworks.models_at.account


@pytest.mark.parametrize(
    ("limit", "told"),
    [("_LISTED_S", "checkpoint step-1 is not listed"), ("_READY_S", "does not get ready")],
)
def test_fireworks_is_not_waited_for_for_ever(fireworks, monkeypatch, limit, told):
    monkeypatch.setattr(fireworks_models, limit, -1.0)
    listed = {"promotable": True, "name": "x/checkpoints/run-1-step-1"}

    def control(method, path, query, body):
        if path == "v1/accounts":
            return {"accounts": [{"name": "accounts/acme"}]}
        if path.endswith("/checkpoints"):
            return {"checkpoints": [listed] if limit == "_READY_S" else []}
        if path.endswith(":promote"):
            raise RefusedError(409, "an attempt before has made it")
        return {"state": "UPLOADING"} if fireworks.asked else self_refuse()

    def self_refuse():
        fireworks.asked = True
        raise RefusedError(404, "no such model")

    fireworks.asked = False
    monkeypatch.setattr(fireworks, "_control", control)
    with pytest.raises(HostUnavailableError, match=told):
        fireworks.models_at.promote("ts-1", "run-1", "step-1", "model", fireworks_server.BASE)


@pytest.fixture
def files():
    """Addresses of an adapter's files, whose contents may be changed."""
    contents = {
        WEIGHTS: b"weights",
        CONFIGURATION: b'{"r": 8, "lora_alpha": 16, "target_modules": "all-linear"}',
    }

    async def answer(request):
        found = contents.get(request.path_params["name"])
        return Response(found or b"", 200 if found else 410)

    with served(Starlette(routes=[Route("/{name}", answer)])) as url:
        contents["urls"] = {each: f"{url}/{each}?signed=SECRET" for each in contents}
        yield contents


def test_an_adapter_is_written_with_its_configuration(files, tmp_path):
    assert download(files["urls"], tmp_path)["r"] == 8
    assert (tmp_path / WEIGHTS).read_bytes() == b"weights"


def test_files_that_are_no_adapter_are_told(files, tmp_path):
    with pytest.raises(TrainingFailure, match="are not a LoRA adapter"):
        download({WEIGHTS: files["urls"][WEIGHTS]}, tmp_path)
    files[CONFIGURATION] = b"<html>"
    with pytest.raises(TrainingFailure, match="not valid JSON"):
        download(files["urls"], tmp_path)
    del files[CONFIGURATION]
    with pytest.raises(HostUnavailableError, match=f"for {CONFIGURATION}") as told:
        download(files["urls"], tmp_path)
    assert "SECRET" not in str(told.value)


def test_weights_in_another_format_are_not_brought_home(tmp_path):
    host = SimpleNamespace(fetch=lambda export, folder: {"r": 0})
    spec = SimpleNamespace(work=tmp_path, name="nano")
    with pytest.raises(TrainingFailure, match="in PEFT's format") as told:
        bring_home(spec, None, host, Position(exports={4: "one"}))
    assert told.value.code == "invalid_weights"
