"""The walkthrough on a real engine: traced once, fine-tuned once, looked at by many tests."""

from collections.abc import Iterator

import httpx
import pytest
from fastapi import Depends, FastAPI, Header, HTTPException
from langchain_core.output_parsers import StrOutputParser
from langchain_openai import ChatOpenAI
from langserve import RemoteRunnable
from langsmith import Client, tracing_context

from langchain_finetune import Convert, FineTune, LangSmithRunChatLoader
from langchain_finetune.engines.local import ensure_engine, stop_engine
from langchain_finetune.home import HOME_VARIABLE
from langchain_finetune.langserve import add_finetune_routes
from support.command_line import runs_command
from support.openai_account import quick_engine
from support.servers import served
from support.store import Gate, store_client
from walkthrough.calculator import PROMPT as CALCULATOR_PROMPT
from walkthrough.calculator import Calculator
from walkthrough.teacher import RuleBasedTeacher
from walkthrough.traffic import SUCCEEDED_AND_LIKED, record_traffic

PROJECT = "calculator"


@pytest.fixture(scope="session", autouse=True)
def no_connection_outlives_its_answer():
    """Close each connection of `ChatOpenAI` after its answer.

    langchain-openai shares one async HTTP client for all models of an address. Each async test has
    an event loop of its own, and the served chains have another: a pooled connection of a loop that
    is closed would fail the next request.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "langchain_openai.chat_models._client_utils._DEFAULT_CONNECTION_LIMITS",
            httpx.Limits(max_connections=1000, max_keepalive_connections=0),
        )
        yield


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    path = tmp_path_factory.mktemp("engine-home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(HOME_VARIABLE, str(path))
        patch.setenv("LCFT_ALIASES", "gpt-3.5-turbo=nano")
        yield path


@pytest.fixture(scope="session")
def engine(home):
    """The embedded engine, started as `FineTune` starts it."""
    address = ensure_engine(home)
    yield address
    stop_engine(home, timeout_s=60)


@pytest.fixture(scope="session")
def langsmith(engine) -> Iterator[Client]:
    client = Client(api_url=engine.url, api_key=engine.api_key.get_secret_value())
    yield client
    client.cleanup()


@pytest.fixture(scope="session")
def traffic(langsmith):
    """What the app's users did, recorded in the project `calculator`."""
    with tracing_context(enabled=True, client=langsmith, project_name=PROJECT):
        return record_traffic(RuleBasedTeacher(), langsmith, PROJECT)


@pytest.fixture(scope="session")
def liked(langsmith, traffic):
    """A loader of the runs whose trace succeeded and was liked."""
    return LangSmithRunChatLoader(
        project_name=PROJECT, client=langsmith, trace_filter=SUCCEEDED_AND_LIKED
    )


@pytest.fixture(scope="session")
def chain(liked):
    """The walkthrough's chain."""
    fine_tune = FineTune(
        model="nano",
        engine="local",
        suffix="calculator",
        seed=1,
        chat_settings={"temperature": 0},
    )
    return liked | Convert() | fine_tune


@pytest.fixture(scope="session")
def tuned(chain) -> ChatOpenAI:
    return chain.invoke({})


@pytest.fixture(scope="session")
def url(chain, tuned):
    """The walkthrough's chain over HTTP, open, guarded, and with the bare model."""
    app = FastAPI()

    def only_with_a_pass(x_pass: str = Header(default="")):
        if x_pass != "yes":
            raise HTTPException(401, "No pass.")

    add_finetune_routes(
        app,
        chain,
        make_chain=lambda model: (
            CALCULATOR_PROMPT | model.bind_tools([Calculator]) | StrOutputParser()
        ),
    )
    add_finetune_routes(app, chain, path="/guarded", dependencies=[Depends(only_with_a_pass)])
    add_finetune_routes(app, chain, path="/bare")
    *before, fine_tune = chain.steps
    bound = fine_tune.model_copy(update={"bind_trained_tools": True})
    add_finetune_routes(
        app,
        before[0] | before[1] | bound,
        path="/bound",
        make_chain=lambda model: CALCULATOR_PROMPT | model,
    )
    with served(app) as url:
        yield url


@pytest.fixture(scope="session")
def job_id(url, tuned):
    """The job that made the model of the walkthrough: it is found, not made anew."""
    for path in ("finetune", "bare"):
        job = RemoteRunnable(f"{url}/{path}/submit").invoke({})
        assert job["job_id"] == tuned.metadata["job_id"]
        assert job["training_sha256"] == tuned.metadata["training_sha256"]
    return job["job_id"]


@pytest.fixture
def base(engine) -> ChatOpenAI:
    return ChatOpenAI(model="nano", base_url=engine.base_url, api_key=engine.api_key, temperature=0)


@pytest.fixture
def run_store(tmp_path):
    """A client of a fresh run store, which speaks LangSmith's API."""
    with store_client(tmp_path / "runs.db") as client:
        yield client


@pytest.fixture(scope="module")
def model(server):
    """Return a chat model of a file's `RuleServer` by its name."""
    with served(server.app) as url:
        yield lambda name, **settings: ChatOpenAI(
            model=name, base_url=f"{url}/v1", api_key="none", max_retries=0, **settings
        )


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """A client of a run store of the file's own."""
    with store_client(tmp_path_factory.mktemp("store") / "runs.db") as client:
        yield client


@pytest.fixture(scope="module")
def gate():
    """Stands before the run store of a file's tests."""
    return Gate(None)


@pytest.fixture(scope="module")
def filled(gate, tmp_path_factory):
    """A client of a run store that a file's tests share."""
    with store_client(tmp_path_factory.mktemp("store") / "runs.db", gate) as client:
        yield client


@pytest.fixture
def quick(monkeypatch):
    """OpenAI's engine under a name of its own, with short pauses between its attempts."""
    return quick_engine(monkeypatch)


@pytest.fixture
def command(monkeypatch, capsys):
    """Run a command in this process."""
    return runs_command(monkeypatch, capsys)
