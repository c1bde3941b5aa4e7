"""A tuned model drops into an app: fallbacks, alternatives, agents, forms, streams."""

import pytest
from langchain.agents import create_agent
from langchain.agents.structured_output import ToolStrategy
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.runnables import ConfigurableField
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from openai import DefaultAsyncHttpxClient, NotFoundError

from support.servers import free_port
from walkthrough.calculator import PROMPT, SYSTEM_PROMPT, Calculator, Operation, tools_chain

QUESTION = {"input": "What's 56/7?"}

pytestmark = [
    pytest.mark.train,
    # LangChain's and openai's own: a parsed answer is put where the types have none.
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning"),
]


@pytest.fixture
async def http_async_client():
    """Each test has an event loop of its own, and clients belong to one."""
    async with DefaultAsyncHttpxClient() as client:
        yield client


@pytest.fixture
def tuned(chain, tuned, http_async_client):
    """The model of the walkthrough, as its job gives it."""
    job = chain.steps[-1].from_job_id(tuned.metadata["job_id"])
    return job.model(temperature=0, http_async_client=http_async_client)


@pytest.fixture
def base(base, http_async_client):
    return ChatOpenAI(
        model="nano",
        base_url=base.openai_api_base,
        api_key=base.openai_api_key,
        temperature=0,
        http_async_client=http_async_client,
    )


@pytest.fixture
def out_of_order(http_async_client):
    """A model that nobody serves."""
    address = f"http://127.0.0.1:{free_port()}/v1"
    return ChatOpenAI(
        model="gpt-4.1",
        base_url=address,
        api_key="none",
        max_retries=0,
        http_async_client=http_async_client,
    )


@pytest.fixture
def retired(base, http_async_client):
    """A fine-tuned model that was deleted at its engine."""
    return ChatOpenAI(
        model="ft:nano::gone",
        base_url=base.openai_api_base,
        api_key=base.openai_api_key,
        http_async_client=http_async_client,
    )


@tool("Calculator", args_schema=Calculator)
def calculator(num1: float, num2: float, operation: Operation) -> str:
    """Calculate with two numbers."""
    return f"{Calculator(num1=num1, num2=num2, operation=operation).calculate():g}"


async def test_it_stands_in_for_a_model_that_fails(tuned, out_of_order):
    app = tools_chain(out_of_order).with_fallbacks([tools_chain(tuned)])
    assert app.invoke(QUESTION) == 8.0
    assert await app.ainvoke(QUESTION) == 8.0
    assert app.batch([QUESTION, {"input": "What's 2+3?"}]) == [8.0, 5.0]
    assert list(app.stream(QUESTION)) == [8.0]
    assert [piece async for piece in app.astream(QUESTION)] == [8.0]
    # As a model too, before tools are bound to it.
    model = out_of_order.with_fallbacks([tuned]).bind_tools([Calculator])
    [call] = (PROMPT | model).invoke(QUESTION).tool_calls
    assert Calculator(**call["args"]).calculate() == 8.0


async def test_others_stand_in_for_it(tuned, retired):
    with pytest.raises(NotFoundError):
        retired.invoke("Hi")
    app = tools_chain(retired).with_fallbacks(
        [tools_chain(tuned)], exceptions_to_handle=(NotFoundError,)
    )
    assert app.invoke(QUESTION) == 8.0
    assert await app.ainvoke(QUESTION) == 8.0


async def test_it_is_chosen_by_configuration(tuned, base):
    field = ConfigurableField(id="model")
    # Tools are bound before: LangChain would bind them to the default alone.
    chain = PROMPT | base.bind_tools([Calculator]).configurable_alternatives(
        field, default_key="base", tuned=tuned.bind_tools([Calculator])
    )
    chosen = {"configurable": {"model": "tuned"}}
    names = {
        chain.invoke(QUESTION).response_metadata["model_name"],
        (await chain.ainvoke(QUESTION)).response_metadata["model_name"],
    }
    assert names == {"nano"}
    answers = [
        chain.invoke(QUESTION, chosen),
        await chain.ainvoke(QUESTION, chosen),
        _joined(list(chain.stream(QUESTION, chosen))),
        _joined([piece async for piece in chain.astream(QUESTION, chosen)]),
    ]
    for answer in answers:
        assert answer.response_metadata["model_name"] == tuned.model_name
        assert Calculator(**answer.tool_calls[0]["args"]).calculate() == 8.0


async def test_an_agent_calls_its_tool(tuned):
    agent = create_agent(tuned, [calculator], system_prompt=SYSTEM_PROMPT)
    asked = {"messages": [HumanMessage("What's 56/7?")]}
    # The walkthrough taught it to call, not to stop: the second call would come again.
    stop = {"recursion_limit": 12}
    for messages in (
        _until_result(agent.stream(asked, stop, stream_mode="values")),
        await _auntil_result(agent.astream(asked, stop, stream_mode="values")),
    ):
        _, call, result = messages
        assert isinstance(call, AIMessage)
        assert call.tool_calls[0]["name"] == "Calculator"
        assert isinstance(result, ToolMessage)
        assert (result.status, result.content) == ("success", "8")


async def test_an_agent_answers_in_the_form_that_it_was_taught(tuned):
    strategy = ToolStrategy(Calculator)
    agent = create_agent(tuned, [], system_prompt=SYSTEM_PROMPT, response_format=strategy)
    asked = {"messages": [HumanMessage("What's 56/7?")]}
    assert agent.invoke(asked)["structured_response"].calculate() == 8.0
    assert (await agent.ainvoke(asked))["structured_response"].calculate() == 8.0


async def test_its_answers_are_objects(tuned):
    """The tuned tool as a form: what was learnt counts, the grammar only keeps the shape."""
    structured = PROMPT | tuned.with_structured_output(Calculator, method="function_calling")
    assert structured.invoke(QUESTION).calculate() == 8.0
    assert (await structured.ainvoke(QUESTION)).calculate() == 8.0
    *_, last = structured.stream(QUESTION)
    assert last.calculate() == 8.0
    last = [piece async for piece in structured.astream(QUESTION)][-1]
    assert last.calculate() == 8.0


@pytest.mark.filterwarnings("ignore::langchain_finetune.TrainedContractWarning")
async def test_its_answers_follow_a_schema(tuned):
    """It was never taught to write JSON: only the shape is sure."""
    structured = PROMPT | tuned.with_structured_output(Calculator, method="json_schema")
    for answer in (structured.invoke(QUESTION), await structured.ainvoke(QUESTION)):
        assert isinstance(answer, Calculator)


async def test_its_calls_are_streamed_piece_by_piece(tuned):
    chain = PROMPT | tuned.bind_tools([Calculator])
    pieces = list(chain.stream(QUESTION))
    apieces = [piece async for piece in chain.astream(QUESTION)]
    assert len(pieces) > 3
    [whole] = chain.invoke(QUESTION).tool_calls
    for joined in (_joined(pieces), _joined(apieces)):
        assert joined.tool_calls[0]["args"] == whole["args"]
    named = [
        event["name"]
        async for event in chain.astream_events(QUESTION, version="v2")
        if event["event"] == "on_chat_model_stream"
    ]
    assert len(named) > 3


def _joined(pieces):
    return sum(pieces[1:], pieces[0])


def _until_result(states):
    for state in states:
        if isinstance(state["messages"][-1], ToolMessage):
            return state["messages"]
    raise AssertionError


async def _auntil_result(states):
    async for state in states:
        if isinstance(state["messages"][-1], ToolMessage):
            return state["messages"]
    raise AssertionError
