"""Chains and agents over the chat API: each model call makes the example that the model saw."""

from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tools import tool
from langchain_core.tracers import LangChainTracer
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from langchain_finetune import Convert, LangSmithRunChatLoader
from support.model_server import ModelServer, call, text
from support.servers import served

PROMPT = ChatPromptTemplate.from_messages([("system", "You book tables."), ("user", "{wish}")])
WISH = {"wish": "A table for two, please"}


class Booking(BaseModel):
    """A booking."""

    guests: int = Field(description="How many", ge=1)
    place: str = "here"
    wishes: list[str] = []
    at_hour: float | None = None
    anything: Any


class Typed(TypedDict):
    """A booking."""

    guests: int


SCHEMA = {
    "title": "Booking",
    "description": "A booking.",
    "type": "object",
    "properties": {"guests": {"type": "integer"}},
    "required": ["guests"],
}
PLACED = text('{"guests": 2, "place": "there", "wishes": [], "at_hour": null, "anything": 1}')


@tool
def find_table(guests: int) -> str:
    """Find a table."""
    return f"Table {guests}"


def traced(run_store, answers, ask, *, model="m", **settings):
    """Let an app ask a scripted model; return what went over the wire, and the loader."""
    server = ModelServer(answers)
    with served(server.app) as url:
        chat = ChatOpenAI(model=model, base_url=f"{url}/v1", api_key="x", **settings)
        tracer = LangChainTracer(project_name="app", client=run_store)
        ask(chat, {"callbacks": [tracer]})
        tracer.wait_for_futures()
        run_store.flush()
    loader = LangSmithRunChatLoader(project_name="app", client=run_store)
    return server, loader


def expected_line(request, answer):
    kept = ("tools", "functions", "parallel_tool_calls")
    line = {key: request[key] for key in kept if key in request}
    return {"messages": [*request["messages"], answer], **line}


def by_length(lines):
    return sorted(lines, key=lambda line: len(line["messages"]))


@pytest.mark.parametrize("schema", [Booking, Typed, SCHEMA])
@pytest.mark.parametrize("way", ["invoke", "stream"])
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")  # The SDK's own, in a stream.
def test_a_json_schema_is_the_one_that_was_sent(run_store, schema, way):
    def ask(chat, config):
        chain = PROMPT | chat.with_structured_output(schema, method="json_schema")
        chain.invoke(WISH, config) if way == "invoke" else list(chain.stream(WISH, config))

    server, loader = traced(run_store, [PLACED], ask)
    [request] = server.requests
    [session] = loader.load()
    assert session["response_format"] == request["response_format"]
    assert list((loader | Convert()).invoke({})) == [expected_line(request, PLACED)]


@pytest.mark.parametrize("schema", [Booking, Typed, SCHEMA])
def test_function_calling_is_a_tool(run_store, schema):
    answer = call("Typed" if schema is Typed else "Booking", '{"guests": 2, "anything": 1}')

    def ask(chat, config):
        chain = PROMPT | chat.with_structured_output(schema, method="function_calling")
        chain.invoke(WISH, config)

    server, loader = traced(run_store, [answer], ask)
    [request] = server.requests
    assert request["parallel_tool_calls"] is False
    assert list((loader | Convert()).invoke({})) == [expected_line(request, answer)]


def test_json_mode_is_a_format(run_store):
    def ask(chat, config):
        (PROMPT | chat.with_structured_output(SCHEMA, method="json_mode")).invoke(WISH, config)

    server, loader = traced(run_store, [PLACED], ask)
    [session] = loader.load()
    assert session["response_format"] == server.requests[0]["response_format"]


@pytest.mark.parametrize("streaming", [False, True])
def test_each_model_call_of_an_agent_makes_an_example(run_store, streaming):
    answers = [call("find_table", '{"guests":2}'), text("Table 2 is yours.")]

    def ask(chat, config):
        agent = create_agent(chat, [find_table], system_prompt="You book tables.")
        agent.invoke({"messages": [("user", "Two, please")]}, config)

    server, loader = traced(run_store, answers, ask, streaming=streaming)
    examples = (loader | Convert()).invoke({})
    lines = by_length(examples)
    expected = [expected_line(*pair) for pair in zip(server.requests, answers, strict=True)]
    # `invoke` leaves only the parsed arguments in the run, also where it streams.
    expected[0]["messages"][-1] = call("find_table", '{"guests": 2}')
    assert lines == expected
    assert examples.rejected == []


def test_an_agents_structured_answer_is_the_one_that_was_asked_for(run_store):
    answers = [call("find_table", '{"guests": 2}'), text('{"guests": 2}')]

    def ask(chat, config):
        agent = create_agent(chat, [find_table], response_format=SCHEMA)
        agent.invoke({"messages": [("user", "Two, please")]}, config)

    server, loader = traced(run_store, answers, ask, model="gpt-5-nano")
    sessions = sorted(loader.load(), key=lambda session: len(session["messages"]))
    sent = [request.get("response_format") for request in server.requests]
    assert [session.get("response_format") for session in sessions] == sent


def test_a_history_is_sent_anew_and_an_answer_stays_as_written(run_store):
    chunk = {"name": "find_table", "args": '{"guests":2}', "id": "call_1", "index": 0}
    parts = [{"type": "text", "text": "Hm."}, {"type": "text", "text": " Yes."}]
    history = [
        HumanMessage("Two, please", name="ada"),
        AIMessageChunk("", tool_call_chunks=[chunk]),
        {"role": "tool", "content": "Table 2", "tool_call_id": "call_1"},
        AIMessage(parts),
        AIMessage([{"type": "text", "text": "So."}, {"type": "reasoning", "reasoning": "x"}]),
        HumanMessage("And?"),
    ]
    answer = call("find_table", '{ "guests":3 }')

    def ask(chat, config):
        list(chat.bind_tools([find_table]).stream(history, config))

    server, loader = traced(run_store, [answer], ask)
    assert list((loader | Convert()).invoke({})) == [expected_line(server.requests[0], answer)]


def test_models_of_the_o_series_get_a_developers_message(run_store):
    server, loader = traced(
        run_store,
        [text("Done.")],
        lambda chat, config: (PROMPT | chat).invoke(WISH, config),
        model="o3-mini",
    )
    [request] = server.requests
    assert request["messages"][0]["role"] == "developer"
    assert list((loader | Convert()).invoke({})) == [expected_line(request, text("Done."))]


def test_each_prompt_of_a_batch_makes_an_example(run_store):
    answers = [text("One."), text("Two.")]

    def ask(chat, config):
        chat.generate([[HumanMessage("a")], [HumanMessage("b")]], callbacks=config["callbacks"])

    server, loader = traced(run_store, answers, ask)
    lines = sorted((loader | Convert()).invoke({}), key=lambda line: line["messages"][0]["content"])
    expected = [expected_line(*pair) for pair in zip(server.requests, answers, strict=True)]
    assert lines == expected
