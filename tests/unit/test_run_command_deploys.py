"""`run` at the engines that deploy: the same job and deployment as `FineTune` makes."""

import pytest

from langchain_finetune.home import HOME_VARIABLE
from support.command_line import runs_command, write_chats
from support.deploy_hosts import host_beside
from support.jobs import quick_flows
from support.light_engine import LightEngine
from support.servers import served

AZURE = (
    "--azure-subscription", "s", "--azure-resource-group", "g", "--azure-account", "a",
    "--deployment", "calc",
)  # fmt: skip


@pytest.fixture
def engine():
    return LightEngine(now=1.0)


@pytest.fixture
def host(engine):
    return host_beside(engine)


@pytest.fixture
def url(host, tmp_path, monkeypatch):
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "k")
    monkeypatch.setenv("NEBIUS_API_KEY", "k")
    monkeypatch.setenv("AZURE_MANAGEMENT_TOKEN", "entra")
    with served(host.app) as url, quick_flows():
        yield url


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    command = runs_command(monkeypatch, capsys)
    chats = write_chats(tmp_path / "chats.jsonl")
    given = ("run", "--file", chats, "--model", "meta/llama", "--json")
    return lambda *arguments: command(*given, *arguments)


def test_azure(run, url, host, engine):
    place = ("--engine", "azure", "--base-url", f"{url}/v1", "--azure-management-url", url)
    more = ("--azure-sku", "GlobalStandard", "--azure-capacity", 5)
    made = run(*place, *AZURE, *more, "--training-type", "GlobalStandard")
    assert (made.code, made.json["model"]) == (0, "calc"), made.err
    assert [asked["trainingType"] for asked in engine.job_requests] == ["GlobalStandard"]
    [(path, body)] = [(path, body) for method, path, body in host.requests if method == "PUT"]
    assert path.startswith("/subscriptions/s/resourceGroups/g/providers/")
    assert path.endswith("/accounts/a/deployments/calc")
    assert body["sku"] == {"name": "GlobalStandard", "capacity": 5}
    assert "entra" not in made.out + made.err


def test_nebius(run, url, host):
    host.states = ["active"]
    place = ("--engine", "nebius", "--base-url", f"{url}/v1", "--deployment", "calc")
    made = run(*place, "--nebius-serving-base", "meta/llama-fast")
    assert (made.code, made.json["model"]) == (0, "meta/llama-fast-LoRa:calc"), made.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("azure",),
            "requires --deployment, --azure-subscription, --azure-resource-group, --azure-ac",
        ),
        (("azure", *AZURE), "needs the base_url"),
        (("azure", *AZURE[2:]), "--engine azure requires --azure-subscription."),
        (("azure", *AZURE, "--nebius-serving-base", "b"), "--nebius-serving-base is not for"),
        (("azure", *AZURE[:-1], "a b", "--base-url", "http://h/v1"), "name: String should match"),
        (("nebius",), "--engine nebius requires --deployment."),
        (("nebius", *AZURE), "--azure-subscription is not for --engine nebius."),
        (("openai", "--deployment", "calc"), "--deployment is not for --engine openai."),
        (("local", "--training-type", "Standard"), "--training-type is for --engine azure."),
    ],
)
def test_options_that_lack_or_do_not_fit_are_told_before_anything_is_sent(
    run, url, engine, arguments, said
):
    told = run("--engine", *arguments)
    assert told.code == 2
    assert said in " ".join(told.err.replace("│", " ").split())
    assert engine.asked == []


def test_azure_says_where_it_looks_for_its_token(run, url, engine, monkeypatch):
    monkeypatch.delenv("AZURE_MANAGEMENT_TOKEN")
    told = run("--engine", "azure", "--base-url", f"{url}/v1", *AZURE)
    assert told.code == 2
    assert "AZURE_MANAGEMENT_TOKEN" in told.err
    assert engine.asked == []
