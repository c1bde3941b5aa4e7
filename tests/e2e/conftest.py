"""The walkthrough on a real engine: traced once, fine-tuned once, looked at by many tests."""

from collections.abc import Iterator

import pytest
from langchain_openai import ChatOpenAI
from langsmith import Client, tracing_context

from langchain_finetune import Convert, FineTune, LangSmithRunChatLoader
from langchain_finetune.finetune.engines.embedded import ensure_engine, stop_engine
from langchain_finetune.home import HOME_VARIABLE
from walkthrough.teacher import RuleBasedTeacher
from walkthrough.traffic import SUCCEEDED_AND_LIKED, record_traffic

PROJECT = "calculator"


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    path = tmp_path_factory.mktemp("engine-home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(HOME_VARIABLE, str(path))
        patch.setenv("LANGCHAIN_FINETUNE_ALIASES", "gpt-3.5-turbo=nano")
        yield path


@pytest.fixture(scope="session")
def engine(home):
    """The embedded engine, started as `FineTune` starts it."""
    address = ensure_engine(home)
    yield address
    stop_engine(home)


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
def tuned(liked) -> ChatOpenAI:
    chain = (
        liked
        | Convert()
        | FineTune(
            model="nano",
            engine="local",
            suffix="calculator",
            seed=1,
            chat_settings={"temperature": 0},
        )
    )
    return chain.invoke({})


@pytest.fixture
def base(engine) -> ChatOpenAI:
    return ChatOpenAI(model="nano", base_url=engine.base_url, api_key=engine.api_key, temperature=0)
