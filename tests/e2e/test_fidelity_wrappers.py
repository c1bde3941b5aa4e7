"""What langsmith's wrappers record of a request is what went over the wire."""

import pytest
from anthropic import Anthropic
from langsmith import tracing_context
from openai import OpenAI
from pydantic import BaseModel

from langchain_finetune import Convert, LangSmithRunChatLoader
from support.anthropic_server import AnthropicServer
from support.chat_form import chat_form_of_anthropic, settled
from support.model_server import ModelServer, call, text
from support.servers import served
from support.wrappers import wrap_anthropic, wrap_openai

SENT = [
    {"role": "developer", "content": "You book tables."},
    {"role": "user", "content": "A table for two, please", "name": "ada"},
]
FUNCTION = {
    "name": "find_table",
    "description": "Find a table.",
    "parameters": {"type": "object", "properties": {"guests": {"type": "integer"}}},
}
TOOL = {"type": "function", "function": FUNCTION}
ASKED = call("find_table", '{"guests":2}')
RESULT = {"role": "tool", "tool_call_id": "call_1", "content": "Table 2"}
PICTURE = {"type": "image_url", "image_url": {"url": "https://example.com/menu.png"}}
PARTS = [{"type": "text", "text": "Hm."}, {"type": "text", "text": " Yes."}]
FORM = {"type": "json_schema", "json_schema": {"name": "A", "schema": FUNCTION["parameters"]}}


class Booking(BaseModel):
    guests: int


CASES = {
    "text": ({"messages": SENT}, text("Certainly.")),
    "call": ({"messages": SENT, "tools": [TOOL], "parallel_tool_calls": False}, ASKED),
    "result": ({"messages": [*SENT, ASKED, RESULT], "tools": [TOOL]}, text("Table 2.")),
    "functions": ({"messages": SENT, "functions": [FUNCTION]}, text("Certainly.")),
    "picture": ({"messages": [{"role": "user", "content": [PICTURE]}]}, text("Soup.")),
    "parts": (
        {"messages": [*SENT, {"role": "assistant", "content": PARTS}, SENT[1]]},
        text("Certainly."),
    ),
    "format": ({"messages": SENT, "response_format": FORM}, text("{}")),
}


def wrapped(run_store, server, ask):
    """Let `ask` use the URL of a served model; return the loader of what was traced."""
    tracing = tracing_context(enabled=True, client=run_store, project_name="app")
    with served(server.app) as url, tracing:
        ask(url)
        run_store.flush()
    return LangSmithRunChatLoader(project_name="app", client=run_store)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_the_chat_api(run_store, name, stream):
    inputs, answer = CASES[name]
    server = ModelServer([answer])

    def ask(url):
        with OpenAI(base_url=f"{url}/v1", api_key="x") as client:
            given = wrap_openai(client).chat.completions.create(model="m", stream=stream, **inputs)
            list(given) if stream else given

    loader = wrapped(run_store, server, ask)
    [request] = server.requests
    kept = ("tools", "functions", "parallel_tool_calls")
    line = {key: request[key] for key in kept if key in request}
    expected = {"messages": [*request["messages"], answer], **line}
    assert list((loader | Convert()).invoke({})) == [expected]
    [session] = loader.load()
    assert session.get("response_format") == request.get("response_format")


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")  # The SDK's own.
def test_a_class_as_format_is_unknown_since_its_schema_is_not_in_the_run(run_store):
    server = ModelServer([text('{"guests": 2}')])

    def ask(url):
        with OpenAI(base_url=f"{url}/v1", api_key="x") as client:
            parse = wrap_openai(client).chat.completions.parse
            parse(model="m", messages=SENT, response_format=Booking)

    sessions = wrapped(run_store, server, ask).invoke({})
    [session] = sessions
    assert session["response_format"] == {"type": "unknown"}
    assert sessions.skipped == []


ANTHROPIC_TOOL = {
    "name": "find_table",
    "description": "Find a table.",
    "input_schema": FUNCTION["parameters"],
}
USE = {"type": "tool_use", "id": "toolu_1", "name": "find_table", "input": {"guests": 2}}
RESULTS = [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "Table 2"}]
SAID = [{"type": "text", "text": "I look."}]
USER = {"role": "user", "content": "A table for two, please"}
ANTHROPIC_CASES = {
    "text": ({"messages": [USER], "system": "You book."}, SAID),
    "call": ({"messages": [USER], "tools": [ANTHROPIC_TOOL]}, [*SAID, USE]),
    "only call": ({"messages": [USER], "tools": [ANTHROPIC_TOOL]}, [USE]),
    "result": (
        {
            "messages": [
                USER,
                {"role": "assistant", "content": [*SAID, USE]},
                {"role": "user", "content": RESULTS},
            ],
            "tools": [ANTHROPIC_TOOL],
        },
        [{"type": "text", "text": "Table"}, {"type": "text", "text": " 2."}],
    ),
    "thinking": (
        {"messages": [USER], "thinking": {"type": "enabled", "budget_tokens": 1024}},
        [{"type": "thinking", "thinking": "Two.", "signature": "s"}, *SAID],
    ),
}


@pytest.mark.parametrize("name", ANTHROPIC_CASES)
def test_anthropics_api(run_store, name):
    inputs, output = ANTHROPIC_CASES[name]
    server = AnthropicServer([output])

    def ask(url):
        with Anthropic(base_url=url, api_key="x") as client:
            wrap_anthropic(client).messages.create(model="claude-test", max_tokens=2000, **inputs)

    loader = wrapped(run_store, server, ask)
    expected = chat_form_of_anthropic(server.requests[0], output)
    assert [settled(line) for line in (loader | Convert()).invoke({})] == [expected]


def test_anthropics_api_streamed(run_store):
    inputs, output = ANTHROPIC_CASES["call"]
    server = AnthropicServer([output])

    def ask(url):
        with Anthropic(base_url=url, api_key="x") as client:
            messages = wrap_anthropic(client).messages
            with messages.stream(model="claude-test", max_tokens=2000, **inputs) as stream:
                list(stream.text_stream)

    loader = wrapped(run_store, server, ask)
    expected = chat_form_of_anthropic(server.requests[0], output)
    assert [settled(line) for line in (loader | Convert()).invoke({})] == [expected]
