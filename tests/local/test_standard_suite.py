"""LangChain's standard tests of chat models: ChatOpenAI on this engine, with the base nano.

The weights are those that come with the package, untuned. What is marked as failing is beyond
them, and not beyond the server: it would take a model that understands the question.
"""

import pytest
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests
from openai import DefaultAsyncHttpxClient

from tests.local.chat_server import ChatServer
from tests.local.forms import NANO

SERVER = ChatServer()
CLIENTS = []

pytestmark = [
    # LangChain's and openai's own: a parsed answer is put where the types have none.
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning"),
    # The standard tests try this on purpose.
    pytest.mark.filterwarnings("ignore:Received a Pydantic BaseModel V1 schema:UserWarning"),
]


@pytest.fixture(scope="module", autouse=True)
def server():
    SERVER.models["nano"] = NANO
    SERVER.models["another"] = NANO
    with SERVER.running():
        yield


@pytest.fixture(autouse=True)
async def http():
    """LangChain keeps its client for all event loops, and each test has its own."""
    async with DefaultAsyncHttpxClient() as client:
        CLIENTS[:] = [client]
        yield


class TestNano(ChatModelIntegrationTests):
    @property
    def chat_model_class(self):
        return ChatOpenAI

    @property
    def chat_model_params(self):
        return {
            "model": "nano",
            "base_url": SERVER.url,
            "api_key": "none",
            "max_tokens": 120,
            "max_retries": 0,
            "stream_usage": True,
            "http_async_client": CLIENTS[0],
        }

    @property
    def supports_json_mode(self):
        return True

    @property
    def supports_model_override(self):
        return True

    @property
    def model_override_value(self):
        return "another"

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
