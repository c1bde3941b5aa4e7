"""What went over the wire of the Responses API is what the example says, in the chat API's form."""

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_core.tracers import LangChainTracer
from langchain_openai import ChatOpenAI
from langsmith import tracing_context
from openai import OpenAI
from pydantic import BaseModel

from langchain_finetune import Convert, LangSmithRunChatLoader
from support.chat_form import chat_form_of_responses, settled
from support.responses_server import ResponsesServer, called, said, thought
from support.servers import served
from support.wrappers import wrap_openai

SYSTEM = SystemMessage("You book tables.")
ASK = HumanMessage("A table for two, please", name="ada")
PICTURE = {"type": "image_url", "image_url": {"url": "https://example.com/menu.png"}}
CALL = called("find_table", '{"guests":2}')
ASKED = AIMessage("", tool_calls=[{"name": "find_table", "args": {"guests": 2}, "id": "call_1"}])
FOUND = ToolMessage("Table 2", tool_call_id="call_1")
THOUGHT = {"type": "reasoning", "id": "rs_0", "summary": []}
TOOL = {
    "type": "function",
    "name": "find_table",
    "description": "Find a table.",
    "parameters": {"type": "object", "properties": {"guests": {"type": "integer"}}},
    "strict": False,
}


class Place(BaseModel):
    """A place."""

    table: int


class Booking(BaseModel):
    """A booking."""

    guests: int
    place: Place


class Flat(BaseModel):
    guests: int


@tool
def find_table(guests: int) -> str:
    """Find a table."""
    return f"Table {guests}"


CASES = {
    "text": ([SYSTEM, ASK], [said("Certainly.")]),
    "call": ([SYSTEM, ASK], [CALL]),
    "reasoning and two calls": (
        [ASK],
        [thought("Two."), CALL, called("find_table", '{"guests": 1}', "c2")],
    ),
    "text and call": ([ASK], [said("I look."), CALL]),
    "result": ([SYSTEM, ASK, ASKED, FOUND], [said("Table 2 is yours.")]),
    "own blocks": (
        [
            ASK,
            AIMessage([THOUGHT, {"type": "text", "text": "Hm.", "id": "msg_0"}, CALL]),
            FOUND,
        ],
        [said("Table 2 is yours.")],
    ),
    "picture": (
        [HumanMessage([{"type": "text", "text": "What is it?"}, PICTURE])],
        [said("Soup.")],
    ),
}
CASES["own blocks"][0][1].tool_calls = ASKED.tool_calls


def expected_of(server, output):
    [request] = server.requests
    return settled_form(chat_form_of_responses(request, output))


def settled_form(line):
    """The example without what the chat API leaves out where it is empty."""
    for entry in line.get("tools", ()):
        if entry["function"].get("strict") is None:
            entry["function"].pop("strict", None)
    return line


@pytest.mark.parametrize(
    ("version", "way"),
    [
        ("v0", "invoke"),
        ("responses/v1", "invoke"),
        ("responses/v1", "stream"),
        ("v1", "invoke"),
        ("v1", "stream"),
    ],
)
@pytest.mark.parametrize("name", CASES)
def test_langchains_requests(run_store, name, way, version):
    messages, output = CASES[name]
    server = ResponsesServer([output])
    with served(server.app) as url:
        model = ChatOpenAI(
            model="m",
            base_url=f"{url}/v1",
            api_key="x",
            use_responses_api=True,
            output_version=version,
        ).bind_tools([find_table])
        tracer = LangChainTracer(project_name="app", client=run_store)
        config = {"callbacks": [tracer]}
        model.invoke(messages, config) if way == "invoke" else list(model.stream(messages, config))
        tracer.wait_for_futures()
        run_store.flush()
    examples = (LangSmithRunChatLoader(project_name="app", client=run_store) | Convert()).invoke({})
    assert [settled(line) for line in examples] == [expected_of(server, output)]
    assert examples.rejected == []


def wrapped(run_store, output, ask):
    server = ResponsesServer([output])
    with (
        served(server.app) as url,
        tracing_context(enabled=True, client=run_store, project_name="app"),
        OpenAI(base_url=f"{url}/v1", api_key="x") as client,
    ):
        ask(wrap_openai(client, tracing_extra={"client": run_store}).responses)
        run_store.flush()
    return server, LangSmithRunChatLoader(project_name="app", client=run_store)


INPUTS = {
    "text": ({"input": "Two, please", "instructions": "You book."}, [said("Certainly.")]),
    "call": ({"input": "Two, please", "tools": [TOOL]}, [thought("Two."), CALL]),
    "items": (
        {
            "input": [
                {"role": "developer", "content": "You book."},
                {"role": "user", "content": [{"type": "input_text", "text": "Two"}]},
                thought("Two."),
                CALL,
                {"type": "function_call_output", "call_id": "call_1", "output": "Table 2"},
            ],
            "tools": [TOOL],
            "parallel_tool_calls": False,
        },
        [said("Table 2"), said(" is yours.", "msg_2")],
    ),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", INPUTS)
def test_requests_of_the_wrapped_openai_sdk(run_store, name, stream):
    inputs, output = INPUTS[name]

    def ask(responses):
        answer = responses.create(model="m", **inputs, **({"stream": True} if stream else {}))
        list(answer) if stream else answer

    server, loader = wrapped(run_store, output, ask)
    expected = expected_of(server, output)
    if name == "items":
        # The SDK's `output_text` puts the texts of an answer together, too.
        *before, first, second = expected["messages"]
        joined = {"role": "assistant", "content": first["content"] + second["content"]}
        expected["messages"] = [*before, joined]
    assert [settled(line) for line in (loader | Convert()).invoke({})] == [expected]


@pytest.mark.parametrize("schema", [Booking, Flat])
def test_a_parsed_format_is_the_one_that_was_sent(run_store, schema):
    output = [said('{"guests": 2, "place": {"table": 1}}')]
    server, loader = wrapped(
        run_store,
        output,
        lambda responses: responses.parse(model="m", input="Two", text_format=schema),
    )
    sent = dict(server.requests[0]["text"]["format"])
    [session] = loader.load()
    assert session["response_format"] == {"type": sent.pop("type"), "json_schema": sent}


@pytest.mark.parametrize("schema", [Flat, Flat.model_json_schema()])
def test_langchains_structured_format_is_the_one_that_was_sent(run_store, schema):
    server = ResponsesServer([[said('{"guests": 2}')]])
    with served(server.app) as url:
        model = ChatOpenAI(model="m", base_url=f"{url}/v1", api_key="x", use_responses_api=True)
        tracer = LangChainTracer(project_name="app", client=run_store)
        model.with_structured_output(schema).invoke([ASK], {"callbacks": [tracer]})
        tracer.wait_for_futures()
        run_store.flush()
    sent = dict(server.requests[0]["text"]["format"])
    [session] = LangSmithRunChatLoader(project_name="app", client=run_store).load()
    assert session["response_format"] == {"type": sent.pop("type"), "json_schema": sent}
