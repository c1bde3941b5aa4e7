"""ChatOpenAI and create_agent on the base nano: structured output, forced tools, streams."""

from typing import Literal

import pytest
from langchain.agents import create_agent
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from openai import DefaultAsyncHttpxClient
from pydantic import BaseModel, Field, SecretStr

from langchain_finetune.engines import engine_of
from langchain_finetune.engines.access import Access
from tests.local.chat_server import ChatServer
from tests.local.forms import NANO

QUESTION = "What's 56/7? Answer in JSON."
CUE = "Always call a tool."

pytestmark = pytest.mark.filterwarnings(
    # LangChain's and openai's own: a parsed answer is put where the types have none.
    "ignore:Pydantic serializer warnings:UserWarning"
)


class Sum(BaseModel):
    """A sum."""

    first: float = Field(description="The first number.")
    second: float = Field(description="The second number.")
    operation: Literal["+", "-", "*", "/"]


SUM_SCHEMA = {"title": "Sum", "description": "A sum."} | {
    key: value for key, value in Sum.model_json_schema().items() if key in {"properties", "type"}
}


@tool
def calculate(num1: float, num2: float, operation: Literal["+", "-", "*", "/"]) -> str:
    """Calculate with two numbers."""
    return f"{num1:g} {operation} {num2:g}"


@tool
def search(query: str) -> str:
    """Search."""
    return query


@pytest.fixture(scope="module")
def server():
    with ChatServer(nano=NANO).running() as server:
        yield server


@pytest.fixture
async def model(server):
    async with DefaultAsyncHttpxClient() as client:
        yield ChatOpenAI(
            model="nano",
            base_url=server.url,
            api_key="none",
            max_tokens=100,
            max_retries=0,
            temperature=0,
            http_async_client=client,
        )


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
@pytest.mark.parametrize("strict", [True, False, None])
def test_structured_output(model, method, strict):
    structured = model.with_structured_output(Sum, method=method, strict=strict)
    assert isinstance(structured.invoke(QUESTION), Sum)
    *_, last = structured.stream(QUESTION)
    assert isinstance(last, Sum)


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
async def test_structured_output_async(model, method):
    structured = model.with_structured_output(Sum, method=method, include_raw=True)
    answer = await structured.ainvoke(QUESTION)
    assert isinstance(answer["parsed"], Sum)
    assert answer["parsing_error"] is None
    last = [piece async for piece in structured.astream(QUESTION)][-1]
    assert isinstance(last["parsed"], Sum)


def test_structured_output_of_a_json_schema(model):
    structured = model.with_structured_output(SUM_SCHEMA, method="json_schema")
    assert structured.invoke(QUESTION).keys() <= {"first", "second", "operation"}


async def test_json_mode(model):
    structured = model.with_structured_output(None, method="json_mode")
    assert isinstance(structured.invoke(QUESTION), dict)
    assert isinstance(await structured.ainvoke(QUESTION), dict)


@pytest.mark.parametrize("choice", ["any", "required", True, "calculate"])
async def test_tool_choice(model, choice):
    tools = [calculate] if choice is True else [calculate, search]
    bound = model.bind_tools(tools, tool_choice=choice, parallel_tool_calls=False)
    (call,) = bound.invoke(QUESTION).tool_calls
    assert call["name"] == "calculate" or choice in {"any", "required"}
    assert (await bound.ainvoke(QUESTION)).tool_calls[0]["args"] == call["args"]
    pieces = list(bound.stream(QUESTION))
    assert sum(pieces[1:], pieces[0]).tool_calls[0]["args"] == call["args"]
    assert not bound.invoke(QUESTION).invalid_tool_calls


def test_logprobs(model):
    answer = model.bind(logprobs=True, top_logprobs=2).invoke("Say it.")
    assert answer.response_metadata["logprobs"]["content"]


def test_several_answers(model):
    generations = model.generate([[HumanMessage("Say it.")]], n=2, temperature=1.0, seed=3)
    assert len(generations.generations[0]) == 2


async def test_an_agent_that_calls_a_tool(model):
    agent = create_agent(model, [calculate], system_prompt=CUE)
    asked = {"messages": [HumanMessage("What's 56/7?")]}
    for messages in (
        agent.invoke(asked, {"recursion_limit": 12})["messages"],
        (await agent.ainvoke(asked, {"recursion_limit": 12}))["messages"],
    ):
        _, call, result, *_, last = messages
        assert call.tool_calls[0]["name"] == "calculate"
        assert isinstance(result, ToolMessage)
        assert result.status == "success"
        assert isinstance(last, AIMessage)
        assert not last.tool_calls


@pytest.mark.parametrize("strategy", [ToolStrategy, ProviderStrategy])
async def test_an_agent_that_answers_in_a_form(model, strategy):
    agent = create_agent(model, [], response_format=strategy(Sum))
    asked = {"messages": [HumanMessage(QUESTION)]}
    assert isinstance(agent.invoke(asked)["structured_response"], Sum)
    assert isinstance((await agent.ainvoke(asked))["structured_response"], Sum)


def test_streams_of_the_returned_model_tell_their_usage(server):
    access = Access(server.url, SecretStr("none"))
    model = engine_of("local").chat_model(access, "nano", {"max_tokens": 8})
    streamed = [chunk.usage_metadata for chunk in model.stream(QUESTION) if chunk.usage_metadata]
    [used] = streamed
    assert 0 < used["output_tokens"] <= 8
