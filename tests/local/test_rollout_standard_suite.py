"""LangChain's standard tests of chat models: `RolloutChatModel` over two models of this engine.

What is marked as failing is beyond the model `nano`, as in `test_standard_suite.py`, or asked of
classes that talk to a provider themselves.
"""

import pytest
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests
from openai import DefaultAsyncHttpxClient

from langchain_finetune import RolloutChatModel
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


def side(model):
    return ChatOpenAI(
        model=model,
        base_url=SERVER.url,
        api_key="none",
        max_tokens=120,
        max_retries=0,
        stream_usage=True,
        http_async_client=CLIENTS[0],
    )


class _Rollout:
    @property
    def chat_model_class(self):
        return RolloutChatModel

    @property
    def chat_model_params(self):
        return {"old": side("nano"), "new": side("another"), "share": 0.5}

    @property
    def standard_chat_model_params(self):
        return {}

    @property
    def supports_json_mode(self):
        return True


class TestUnit(_Rollout, ChatModelUnitTests):
    @pytest.mark.xfail(reason="the settings of requests are those of the two models")
    def test_init_streaming(self):
        super().test_init_streaming()

    @pytest.mark.xfail(reason="the settings of requests are those of the two models")
    def test_standard_params(self, model):
        super().test_standard_params(model)

    @pytest.mark.xfail(reason="a RunnableBinding holds one model")
    def test_bind_tool_pydantic(self, model, my_adder_tool):
        super().test_bind_tool_pydantic(model, my_adder_tool)


class TestNano(_Rollout, ChatModelIntegrationTests):
    @pytest.mark.xfail(reason="the settings of requests are those of the two models")
    def test_stop_sequence(self, model):
        super().test_stop_sequence(model)

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
