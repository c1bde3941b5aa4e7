"""`engine="fireworks"`: the embedded engine trains at a stand-in of Fireworks, by the real SDK."""

import time

import pytest
from langchain_openai import ChatOpenAI

from langchain_finetune import (
    DeployError,
    FireworksDeployment,
    JobCancelledError,
)
from langchain_finetune.engines import fireworks_deployment
from langchain_finetune.engines.flow import Patience
from langchain_finetune.home import host_key_file
from support.fireworks_server import KEY, SHAPE, FireworksServer
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
from support.nano_loop import NanoTrainer

pytestmark = pytest.mark.train

DEPLOYMENT = FireworksDeployment(name="even", shape=SHAPE)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    with own_home(tmp_path_factory.mktemp("fireworks"), "fireworks") as home:
        yield home


@pytest.fixture
def server(home):
    with addressed(FireworksServer(NanoTrainer())) as server:
        yield server


def step(server, **changes):
    settings = {"deployment": DEPLOYMENT, "suffix": "Is even"} | changes
    return step_at(server, "fireworks", KEY, **settings)


def test_a_chain_trains_deploys_and_returns_a_model_that_answers(server, home):
    chain = step(server)
    model = chain.invoke(examples())
    again = chain.invoke(examples())  # The second chain finds the job, and its deployment.
    assert isinstance(model, ChatOpenAI)
    assert model.model_name == again.model_name
    assert model.openai_api_base == f"{server.address}/inference/v1"
    assert model.invoke("Is 2 even?").content == "yes"
    name, _, deployment = model.model_name.partition("#")
    assert name in server.saved
    assert name.startswith("accounts/acme/models/is-even-")
    assert deployment.startswith("accounts/acme/deployments/even-")
    assert len(server.sessions) == len(server.created_deployments) == 1
    # One model a checkpoint, each promoted once.
    assert len(server.promoted) == len(server.models) == 2
    assert server.running == []
    # Each token is paid for once.
    assert sum(server.bills) == sum(len(each.tokens) for each in server.sent)
    assert len(server.updates) == 4
    [file] = holders_of_key(home, KEY)
    assert file == host_key_file(home, server.address)
    [page] = pages(home, "/ui/jobs")
    assert f"<small>at {server.address}</small>" in page


def test_a_model_that_was_deleted_is_trained_again(server):
    chain = step(server)
    first = chain.invoke(examples("Gone {n}?"))
    for name in [*server.models]:
        server._delete_models(name, {}, {})
    second = chain.invoke(examples("Gone {n}?"))
    assert first.model_name != second.model_name
    assert len(server.sessions) == 2


async def test_weights_come_home_and_answer_here_without_a_deployment(server):
    chain = step(server, extra_body={"weights": "home"}, deployment=None)
    model = await chain.ainvoke(examples("Home {n}?"))
    assert model.model_name.startswith("ft:nano:local:")
    assert (await model.ainvoke("Home 1?")).content is not None
    assert server.running == []
    with pytest.raises(ValueError, match="answers only once it is deployed"):
        step(server, deployment=None)


@pytest.fixture
def hasty(monkeypatch):
    """Deployments are asked for without pauses, and given up soon."""
    patience = Patience(timeout_s=0.5, first_s=0.02, longest_s=0.02)
    call = fireworks_deployment.FireworksServing.__init__

    def made(self, *given):
        call(self, *given[:-1], patience)

    monkeypatch.setattr(fireworks_deployment.FireworksServing, "__init__", made)


@pytest.mark.parametrize("ends_as", ["FAILED", "CREATING"])
def test_a_deployment_that_does_not_get_ready_is_deleted(server, hasty, ends_as):
    server.deploys_to = ends_as
    with pytest.raises(DeployError, match=r"The model is kept|ended as FAILED"):
        step(server).invoke(examples("Deploy {n}?"))
    assert server.deployments == {}
    assert len(server.models) == 2


@pytest.mark.parametrize("what", ["refuse", "lose"])
def test_an_uncertain_deployment_is_made_once(server, hasty, what):
    faults = {"v1/accounts/acme/deployments": [what] * 2}

    def fault(number, path):
        return faults[path].pop() if faults.get(path) else None

    server.fault = fault
    job = step(server).submit(examples("Deploy {n}?"))
    job.wait()
    assert job.model(deployment=DEPLOYMENT).invoke("Is 2 even?").content == "yes"
    assert len(server.created_deployments) == 1


def test_what_a_killed_engine_and_a_cancelled_job_have_left_is_closed(server, home):
    server.fault = lambda number, path: path == "optim_step" and time.sleep(0.2)
    settings = {"hyperparameters": {"n_epochs": 20, "batch_size": 6}}
    job = step(server, **settings).submit(examples("Killed {n}?"))
    until(lambda: len(server.models) > 1)
    kill_engine_and_trainer(home, job.job_id)
    assert len(server.running) == 1
    assert job.cancel().status == "cancelled"
    until(lambda: not server.running and not server.models)
    with pytest.raises(JobCancelledError):
        job.wait()
    until(lambda: not (home / "jobs" / job.job_id / "work").exists())
