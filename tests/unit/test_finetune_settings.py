"""What `FineTune` accepts: wrong settings are refused before anything is read or sent."""

import traceback

import pytest
from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from langchain_core.messages import AIMessage, HumanMessage
from langsmith import Client

from langchain_finetune import (
    Convert,
    ConvertError,
    EngineAuthenticationError,
    EngineError,
    FineTune,
    FineTuningError,
    LangSmithRunChatLoader,
    LoadError,
)
from langchain_finetune.errors import InvalidArgumentError
from langchain_finetune.home import HOME_VARIABLE, RunningEngine, read_key
from support.servers import served


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"model": ""},
        {"model": "nano", "n_epoch": 3},
        {"model": "nano", "hyperparameters": {"n_epoch": 3}},
        {"model": "nano", "hyperparameters": {"n_epochs": 0}},
        {"model": "nano", "hyperparameters": {"n_epochs": 51}},
        {"model": "nano", "hyperparameters": {"batch_size": 257}},
        {"model": "nano", "hyperparameters": {"learning_rate_multiplier": 0}},
        {"model": "nano", "suffix": "x" * 65},
        {"model": "nano", "timeout_s": 0},
        {"model": "nano", "engine": "other"},
        {"model": "m", "base_url": "127.0.0.1:8000"},
        {"model": "m", "base_url": "ftp://host/v1"},
        {"model": "m", "base_url": "http://[::1"},
        {"model": "m", "base_url": "http://host:99999/v1"},
        {"model": "m", "base_url": ""},
        {"model": "m", "on_cancel": "other"},
        {"model": "nano", "engine": "local", "base_url": "http://127.0.0.1:1"},
    ],
)
def test_wrong_settings_are_refused(settings):
    with pytest.raises(InvalidArgumentError):
        FineTune(**settings)


@pytest.mark.parametrize("address", ["http://[::1", "localhost:8000/v1", "http://h:99999"])
def test_an_address_of_the_environment_that_is_none_is_told(address, tmp_path, monkeypatch):
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    monkeypatch.setenv("OPENAI_BASE_URL", address)
    chats = [{"messages": [HumanMessage(f"{n}?"), AIMessage("Yes")]} for n in range(12)]
    step = FineTune(model="gpt-4.1", api_key="k", max_cost_usd=50)
    for run in (step.invoke, step.submit):
        with pytest.raises(FineTuningError, match=r"^OPENAI_BASE_URL is not an address") as caught:
            run(Convert().invoke(chats))
        assert address not in str(caught.value)
    with pytest.raises(FineTuningError, match="OPENAI_BASE_URL is not an address"):
        step.from_job_id("ftjob-1")


def test_a_key_is_not_shown():
    assert "sk-secret" not in repr(FineTune(model="m", api_key="sk-secret"))


@pytest.mark.parametrize("given", [None, [], {"messages": []}, "train.jsonl"])
def test_only_examples_are_trained_on(given):
    with pytest.raises(ConvertError, match="takes what Convert returns"):
        FineTune(model="m").invoke(given)


def test_an_error_about_settings_shows_no_key():
    with pytest.raises(InvalidArgumentError) as caught:
        FineTune(model="nano", engine="local", api_key="sk-secret")
    assert "sk-secret" not in str(caught.value)
    headers = {"default_headers": {"X-Key": "sk-secret"}}
    assert "sk-secret" not in repr(FineTune(model="m", chat_settings=headers))


def chats(count=12):
    return [{"messages": [HumanMessage(f"Is {n} even?"), AIMessage("Yes")]} for n in range(count)]


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.mark.parametrize("key", ["sk-sécret", "sk\nsecret", " "])
def test_a_key_that_can_be_none_is_refused_unsaid(home, key):
    examples = Convert().invoke(chats())
    with pytest.raises(EngineAuthenticationError) as caught:
        FineTune(model="m", api_key=key, base_url="http://127.0.0.1:9/v1").invoke(examples)
    assert "secret" not in "".join(traceback.format_exception(caught.value))


def test_what_does_not_speak_the_api_is_named(home):
    app = FastAPI()
    app.api_route("/{path:path}", methods=["GET", "POST"])(
        lambda path: HTMLResponse("<html>Welcome</html>")
    )
    examples = Convert().invoke(chats())
    with served(app) as url:
        with pytest.raises(EngineError, match="does not speak OpenAI's API"):
            FineTune(model="m", api_key="k\n", base_url=url).invoke(examples)
        client = Client(url, api_key="k", auto_batch_tracing=False)
        with pytest.raises(LoadError, match="incomplete or invalid response"):
            LangSmithRunChatLoader(project_name="app", client=client).load()
    assert home.stat().st_mode & 0o077 == 0
    assert (home / "spool").stat().st_mode & 0o077 == 0


def test_a_home_that_is_no_folder_is_one_sentence(home):
    home.write_text("")
    with pytest.raises(FineTuningError, match="cannot be used"):
        FineTune(model="m", api_key="k").invoke(Convert().invoke(chats()))
    assert RunningEngine.read(home) is None
    assert read_key(home) is None


def test_a_relative_base_folder_is_made_absolute_for_the_embedded_engine(
    home, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "base").mkdir()
    examples = Convert().invoke(chats())

    def sent(**settings):
        return FineTune(**settings).spec_of(examples).model

    assert sent(model="./base", engine="local") == str(tmp_path / "base")
    assert sent(model="./base") == "./base"
    assert sent(model="nano", engine="local") == "nano"
