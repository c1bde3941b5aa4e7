"""A trained model is made to answer at the hosts that want a step of their own for it."""

import asyncio
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from types import SimpleNamespace

import pytest
from openai import AsyncOpenAI, OpenAI

from langchain_finetune.engines.azure import ENGINE as AZURE
from langchain_finetune.engines.azure import AzureDeployment
from langchain_finetune.engines.deployment import PATIENCE
from langchain_finetune.engines.flow import arun_flow, run_flow
from langchain_finetune.engines.jobs import JobStatus
from langchain_finetune.engines.nebius import ENGINE as NEBIUS
from langchain_finetune.engines.nebius import NebiusDeployment
from langchain_finetune.errors import DeployError
from support.deploy_hosts import Host
from support.servers import served

JOB = JobStatus("ftjob-1", "succeeded", "gpt-4.1-mini.ft-abc", 10)


@contextmanager
def sync_runner(host):
    with served(host.app) as url, OpenAI(base_url=f"{url}/v1", api_key="k") as client:

        def run(flow):
            return run_flow(flow(url), client.with_options(max_retries=0), print, lambda _: None)

        yield run


@contextmanager
def async_runner(host):
    @asynccontextmanager
    async def opened(url):
        async with AsyncOpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0) as client:
            yield client

    with served(host.app) as url:

        def run(flow):
            async def rest(_):
                await asyncio.sleep(0)

            async def go():
                async with opened(url) as client:
                    return await arun_flow(flow(url), client, rest, rest)

            return asyncio.run(go())

        yield run


runners = pytest.mark.parametrize("runner", [sync_runner, async_runner])


def azure(url, token="entra"):
    deployment = AzureDeployment(
        subscription_id="s",
        resource_group="g",
        account="a",
        name="calc",
        token=lambda: token,
        management_url=url,
    )
    return AZURE.deploy(JOB, "base", deployment)


def nebius(url):
    deployment = NebiusDeployment(name="calc", base_model="meta/llama-fast")
    return replace(NEBIUS, base_url=f"{url}/v1/").deploy(JOB, "meta/llama", deployment)


@runners
def test_azure_deploys_with_a_token_of_its_own_and_answers_by_the_deployments_name(runner):
    host = Host([404, "Creating", 503, "Succeeded"])
    with runner(host) as run:
        assert run(azure) == "calc"
    path = (
        "/subscriptions/s/resourceGroups/g/providers/Microsoft.CognitiveServices"
        "/accounts/a/deployments/calc"
    )
    model = {"format": "OpenAI", "name": "gpt-4.1-mini.ft-abc", "version": "1"}
    body = {"sku": {"name": "Standard", "capacity": 1}, "properties": {"model": model}}
    assert host.requests == [("PUT", path, body)] + [("GET", path, None)] * 4


@runners
def test_nebius_serves_the_last_checkpoint_once(runner):
    host = Host(["validating", "validating", "active"])
    with runner(host) as run:
        assert run(nebius) == run(nebius) == "meta/llama-fast-LoRa:calc"
    made = [body for method, _, body in host.requests if method == "POST"]
    assert made == [{"name": "calc", "base_model": "meta/llama-fast", "source": "ftjob-1:ftckpt_2"}]


def test_what_can_not_be_deployed_says_so_and_names_the_job():
    with sync_runner(Host(["Failed"])) as run, pytest.raises(DeployError, match="Failed") as caught:
        run(azure)
    assert caught.value.job_id == "ftjob-1"
    with sync_runner(Host(["Succeeded"])) as run, pytest.raises(DeployError, match="deploy it"):
        run(lambda url: azure(url, token="old"))
    with sync_runner(Host(["error"])) as run, pytest.raises(DeployError, match="ended as error"):
        run(nebius)
    with sync_runner(Host([])) as run, pytest.raises(DeployError, match="no checkpoint"):
        run(nebius)


def test_a_token_that_can_not_be_had_is_told_with_the_job():
    def token():
        raise ConnectionError("login first")

    deployment = AzureDeployment(
        subscription_id="s", resource_group="g", account="a", name="calc", token=token
    )
    flow = AZURE.deploy(JOB, "base", deployment)
    with pytest.raises(DeployError, match=r"`token` failed.* job ftjob-1 .*run the same") as caught:
        run_flow(flow, SimpleNamespace(), print, lambda _: None)
    assert caught.value.job_id == "ftjob-1"
    assert isinstance(caught.value.__cause__, ConnectionError)


def test_the_wait_has_an_end():
    now = iter(range(0, 100000, 100))
    deployment = AzureDeployment(
        subscription_id="s", resource_group="g", account="a", name="calc", token="t"
    )
    patience = replace(PATIENCE, timeout_s=250, clock=lambda: next(now))
    client = SimpleNamespace(put=lambda *_, **__: {}, get=lambda *_, **__: {})
    with pytest.raises(DeployError, match="250 s"):
        run_flow(AZURE.deploy(JOB, "base", deployment, patience), client, print, lambda _: None)


def test_a_token_is_not_shown():
    deployment = AzureDeployment(
        subscription_id="s", resource_group="g", account="a", name="calc", token="secret-1"
    )
    assert "secret-1" not in repr(deployment) + deployment.model_dump_json()
    assert "token" not in deployment.model_dump()
