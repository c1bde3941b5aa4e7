"""What LangChain's standard tests need here: the engine with its base `nano`, and its limits.

The weights are those that come with the package, untuned. What is marked as failing is beyond
them, and not beyond the server: it would take a model that understands the question.
"""

import pytest
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests
from openai import DefaultAsyncHttpxClient

from tests.local.chat_server import ChatServer
from tests.local.forms import NANO

SERVERS, CLIENTS = [], []
"""The one that is in use."""

MARKS = [
    # LangChain's and openai's own: a parsed answer is put where the types have none.
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning"),
    # The standard tests try this on purpose.
    pytest.mark.filterwarnings("ignore:Received a Pydantic BaseModel V1 schema:UserWarning"),
]


@pytest.fixture(scope="module", autouse=True)
def server():
    made = ChatServer()
    made.models |= {"nano": NANO, "another": NANO}
    with made.running():
        SERVERS[:] = [made]
        yield


@pytest.fixture(autouse=True)
async def http():
    """LangChain keeps its client for all event loops, and each test has its own."""
    async with DefaultAsyncHttpxClient() as client:
        CLIENTS[:] = [client]
        yield


def settings_of(model):
    """Settings of a `ChatOpenAI` on the engine."""
    return {
        "model": model,
        "base_url": SERVERS[0].url,
        "api_key": "none",
        "max_tokens": 120,
        "max_retries": 0,
        "stream_usage": True,
        "http_async_client": CLIENTS[0],
    }


class NanoIntegrationTests(ChatModelIntegrationTests):
    """The integration tests of a model that answers as `nano`."""

    @property
    def chat_model_class(self):
        return ChatOpenAI

    @property
    def chat_model_params(self):
        return settings_of("nano")

    @property
    def supports_json_mode(self):
        return True

    @pytest.mark.xfail(reason="nano writes JSON, but does not understand which keys are asked for")
    def test_json_mode(self, model):
        super().test_json_mode(model)

    @pytest.mark.xfail(
        reason="nano was not taught to call a tool without a cue, and none is forced"
    )
    @pytest.mark.parametrize("model", [{}, {"output_version": "v1"}], indirect=True)
    def test_agent_loop(self, model):
        super().test_agent_loop(model)

    @pytest.mark.xfail(reason="nano copies words, but not characters that it has not seen")
    def test_unicode_tool_call_integration(self, model):
        super().test_unicode_tool_call_integration(model)
