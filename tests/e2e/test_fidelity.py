"""A training example equals the request that the app sent plus the message that came back.

Real `ChatOpenAI`s talk to a recording model server; LangChain's tracer writes to the run store;
the loader reads from there; each example is compared with what went over the wire.
"""

import pytest
from langchain_core.messages import (
    AIMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.tracers import LangChainTracer
from langchain_openai import ChatOpenAI
from openai import BadRequestError
from pydantic import BaseModel, Field

from langchain_finetune import Convert, LangSmithRunChatLoader
from support.model_server import ModelServer, call, function_call, text
from support.servers import served

SYSTEM = SystemMessage("You book tables.")
ASK = HumanMessage("A table for two, please")
ASKED = AIMessage("", tool_calls=[{"name": "Book", "args": {"guests": 2}, "id": "call_9"}])
BOOK = call("Book", '{"guests": 2.5, "place": "Café"}')
TWO = {
    **BOOK,
    "tool_calls": [*BOOK["tool_calls"], *call("Book", '{"guests": 1}', "call_2")["tool_calls"]],
}
BOOK_FUNCTION = {"name": "Book", "parameters": {"type": "object", "properties": {}}}
PICTURE = {"type": "image_url", "image_url": {"url": "https://example.com/menu.png"}}


class Book(BaseModel):
    """Book a table."""

    guests: float = Field(description="How many")
    place: str = "here"


def stream(model, messages, config):
    return list(model.stream(messages, config))


def invoke(model, messages, config):
    return model.invoke(messages, config)


CASES = {
    "text": (lambda m: m, [SYSTEM, ASK], text("Certainly."), invoke),
    "streamed text": (lambda m: m, [SYSTEM, ASK], text("Certainly, for two."), stream),
    "tool": (lambda m: m.bind_tools([Book]), [SYSTEM, ASK], BOOK, invoke),
    "two calls": (lambda m: m.bind_tools([Book]), [SYSTEM, ASK], TWO, invoke),
    "streamed tool": (lambda m: m.bind_tools([Book]), [SYSTEM, ASK], BOOK, stream),
    "streamed two calls": (lambda m: m.bind_tools([Book]), [ASK], TWO, stream),
    "odd spacing": (lambda m: m.bind_tools([Book]), [ASK], call("Book", '{ "guests":2 }'), stream),
    "one at a time": (
        lambda m: m.bind_tools([Book], parallel_tool_calls=False, strict=True),
        [ASK],
        BOOK,
        invoke,
    ),
    "tool result": (
        lambda m: m.bind_tools([Book]),
        [SYSTEM, ASK, ASKED, ToolMessage("booked", tool_call_id="call_9", name="Book")],
        text("Done."),
        invoke,
    ),
    "function": (
        lambda m: m.bind(functions=[BOOK_FUNCTION]),
        [SYSTEM, ASK],
        function_call("Book", '{"guests":2}'),
        invoke,
    ),
    "function result": (
        lambda m: m.bind(functions=[BOOK_FUNCTION]),
        [
            ASK,
            AIMessage("", additional_kwargs={"function_call": {"name": "Book", "arguments": "{}"}}),
            FunctionMessage("booked", name="Book"),
        ],
        text("Done."),
        invoke,
    ),
    "structured": (
        lambda m: m.with_structured_output(Book, method="function_calling"),
        [ASK],
        call("Book", '{"guests": 3.0, "place": "there"}'),
        invoke,
    ),
    "roles": (
        lambda m: m,
        [
            SystemMessage("Be kind.", additional_kwargs={"__openai_role__": "developer"}),
            HumanMessage("Hi", name="ada"),
        ],
        text("Hi Ada"),
        invoke,
    ),
    "picture": (
        lambda m: m,
        [HumanMessage([{"type": "text", "text": "What is on it?"}, PICTURE])],
        text("Soup."),
        invoke,
    ),
}


def asked_of(request):
    """What a training example may say of a request."""
    kept = ("messages", "tools", "functions", "parallel_tool_calls")
    return {key: request[key] for key in kept if key in request}


@pytest.mark.parametrize("name", CASES)
def test_an_example_equals_request_and_answer(run_store, name):
    build, messages, answer, ask = CASES[name]
    server = ModelServer([answer])
    with served(server.app) as url:
        model = ChatOpenAI(model="m", base_url=f"{url}/v1", api_key="x", temperature=0)
        tracer = LangChainTracer(project_name="app", client=run_store)
        ask(build(model), messages, {"callbacks": [tracer]})
        tracer.wait_for_futures()
        run_store.flush()
    examples = (LangSmithRunChatLoader(project_name="app", client=run_store) | Convert()).invoke({})
    [request] = server.requests
    expected = asked_of(request)
    expected["messages"] = [*request["messages"], answer]
    assert list(examples) == [expected]
    assert examples.rejected == []


def test_a_failed_request_is_skipped_with_its_id_and_reason(run_store):
    server = ModelServer([None])
    with served(server.app) as url:
        model = ChatOpenAI(model="m", base_url=f"{url}/v1", api_key="x", max_retries=0)
        tracer = LangChainTracer(project_name="app", client=run_store)
        with pytest.raises(BadRequestError):
            model.invoke([ASK], {"callbacks": [tracer]})
        tracer.wait_for_futures()
        run_store.flush()
    sessions = LangSmithRunChatLoader(project_name="app", client=run_store).invoke({})
    assert list(sessions) == []
    assert [skip.code for skip in sessions.skipped] == ["errored_run"]
