"""The whole chain at each engine of OpenAI's shape: what is asked, deployed, and given back."""

import json

import pytest
from openai import NotFoundError
from pydantic import SecretStr

from langchain_finetune import (
    AzureDeployment,
    Convert,
    ConvertError,
    EngineAuthenticationError,
    FineTune,
    FineTuningError,
    NebiusDeployment,
    TrainedContractWarning,
    trained_contract,
)
from langchain_finetune.engines import engine_of
from langchain_finetune.engines.access import Access
from langchain_finetune.errors import InvalidArgumentError
from langchain_finetune.home import HOME_VARIABLE
from support.deploy_hosts import host_beside
from support.jobs import chats, quick_flows
from support.light_engine import LightEngine
from support.servers import served

TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}


@pytest.fixture
def engine():
    return LightEngine(now=1.0)


@pytest.fixture
def host(engine):
    return host_beside(engine)


@pytest.fixture
def url(host, tmp_path, monkeypatch):
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    for variable in ("OPENAI_API_KEY", "AZURE_OPENAI_API_KEY", "NEBIUS_API_KEY"):
        monkeypatch.delenv(variable, raising=False)
    with served(host.app) as url, quick_flows():
        yield url


def azure(url, **changes):
    deployment = AzureDeployment(
        subscription_id="s",
        resource_group="g",
        account="a",
        name="calc",
        token="entra",
        management_url=url,
    )
    settings = {"engine": "azure", "base_url": f"{url}/v1", "deployment": deployment}
    return FineTune(**{"model": "gpt-4.1-mini", **settings, **changes})


def created(engine):
    [job] = engine.jobs.values()
    return job


async def test_azure_trains_deploys_and_answers_by_the_deployments_name(
    url, host, engine, monkeypatch
):
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "k")
    step = azure(url, suffix="calc", extra_body={"trainingType": "GlobalStandard"})
    model = step.invoke(Convert().invoke(chats()))
    assert model.model_name == "calc"
    assert model.openai_api_base == f"{url}/v1"
    assert model.openai_api_key.get_secret_value() == "k"
    assert engine.asked.count(("POST", "/fine_tuning/jobs")) == 1
    # Again: the job is found, the deployment is left as it is.
    again = await step.ainvoke(Convert().invoke(chats()))
    assert again.model_name == "calc"
    assert engine.asked.count(("POST", "/fine_tuning/jobs")) == 1
    assert [method for method, *_ in host.requests].count("PUT") == 2


def test_nebius_trains_and_serves_a_custom_model(url, host, engine):
    host.states = ["active"]
    step = FineTune(
        model="meta/llama",
        engine="nebius",
        base_url=f"{url}/v1",
        api_key="k",
        deployment=NebiusDeployment(name="calc"),
    )
    assert step.invoke(Convert().invoke(chats())).model_name == "meta/llama-LoRa:calc"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"deployment": None}, "only once it is deployed"),
        ({"base_url": None}, "needs the base_url"),
        ({"suffix": "v1.2"}, "must not hold '.'"),
        ({"deployment": NebiusDeployment(name="calc")}, "is for engine='nebius'"),
        ({"engine": "openai"}, "is for engine='azure'"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings, said):
    with pytest.raises(InvalidArgumentError, match=said):
        azure("http://127.0.0.1:1", **settings)


def test_each_engine_has_its_own_key(url, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "not for others")
    with pytest.raises(EngineAuthenticationError, match="AZURE_OPENAI_API_KEY"):
        azure(url).submit(Convert().invoke(chats()))


def test_a_job_at_an_engine_that_deploys_says_what_is_missing(url):
    job = azure(url, api_key="k").submit(Convert().invoke(chats()))
    job.wait()
    with pytest.raises(FineTuningError, match="deployment=AzureDeployment"):
        job.model()


def pairs(count=12):
    for number in range(count):
        for session in chats(count=1, text=f"question {number}"):
            answer = dict(session)
            answer["rejected"] = {"role": "assistant", "content": "worse"}
            yield answer


def test_pairs_make_a_job_of_the_method_dpo(url, engine):
    step = FineTune(model="m", base_url=f"{url}/v1", api_key="k", hyperparameters={"beta": 0.3})
    examples = Convert(method="preference").invoke(list(pairs()))
    step.submit(examples)
    job = created(engine)
    assert job["method"] == {"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.3}}}
    plain = FineTune(model="m", base_url=f"{url}/v1", api_key="k")
    plain.submit(examples)
    assert len(engine.jobs) == 2  # Other settings are another job.
    with pytest.raises(ConvertError, match="beta is for the method dpo"):
        step.submit(Convert().invoke(chats()))


def test_completions_are_not_for_engines_of_chats():
    with pytest.raises(ConvertError, match="not on completion"):
        FineTune(model="nano", engine="local").submit(Convert(method="completion").invoke([]))


def test_a_model_knows_its_contract_and_can_be_bound_to_it(url, engine):
    sessions = [{**chat, "tools": [TOOL], "parallel_tool_calls": False} for chat in chats()]
    settings = {"model": "m", "base_url": f"{url}/v1", "api_key": "k"}
    model = FineTune(**settings).invoke(Convert().invoke(sessions))
    contract = trained_contract(model)
    assert (contract.tools, contract.examples) == ([TOOL], len(sessions))
    bound = FineTune(**settings, bind_trained_tools=True).invoke(Convert().invoke(sessions))
    assert bound.kwargs == {"tools": [TOOL], "parallel_tool_calls": False}
    # What travels of it stays plain: neither tools nor prompts are in the metadata.
    assert "add" not in json.dumps(model.metadata)
    other = {**TOOL, "function": {"name": "sub"}}
    with (
        pytest.warns(TrainedContractWarning, match="new: sub; missing: add"),
        pytest.raises(NotFoundError),  # The stand-in does not chat.
    ):
        model.bind(tools=[other]).invoke("Hi")


@pytest.mark.parametrize(
    ("engine", "url", "asks"),
    [
        ("openai", "https://api.openai.com/v1", True),
        ("openai", "http://127.0.0.1:8000/v1", None),
        ("azure", "https://acme.openai.azure.com/openai/v1/", True),
        ("local", "http://127.0.0.1:8000/v1", True),
        ("nebius", "https://api.tokenfactory.nebius.com/v1/", None),
    ],
)
def test_usage_of_streams_is_asked_for_where_it_is_given(engine, url, asks):
    access = Access(url, SecretStr("key"))
    assert engine_of(engine).chat_model(access, "m", {}).stream_usage is asks
    assert engine_of(engine).chat_model(access, "m", {"stream_usage": False}).stream_usage is False
