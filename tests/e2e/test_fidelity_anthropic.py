"""What LangChain sends to Anthropic is what the example says, in the chat API's form."""

import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_core.tracers import LangChainTracer

from langchain_finetune import Convert, LangSmithRunChatLoader
from support.anthropic_server import AnthropicServer
from support.chat_form import chat_form_of_anthropic, settled
from support.servers import served

SYSTEM = SystemMessage("You book tables.")
ASK = HumanMessage("A table for two, please", name="ada")
SAID = {"type": "text", "text": "I look."}
USE = {"type": "tool_use", "id": "toolu_1", "name": "find_table", "input": {"guests": 2}}
TWO = [SAID, USE, {**USE, "id": "toolu_2", "input": {"guests": 3}}]
THINKING = {"type": "thinking", "thinking": "Two.", "signature": "s"}
FOUND = ToolMessage("Table 2", tool_call_id="toolu_1")
ASKED = AIMessage(
    [SAID, USE], tool_calls=[{"name": "find_table", "args": {"guests": 2}, "id": "toolu_1"}]
)
PLAIN = AIMessage("I look.", tool_calls=ASKED.tool_calls)
TOLD = {"type": "text", "text": "Table 2 is yours."}


@tool
def find_table(guests: int) -> str:
    """Find a table."""
    return f"Table {guests}"


CASES = {
    "text": ([SYSTEM, ASK], [SAID]),
    "call": ([SYSTEM, ASK], [SAID, USE]),
    "only call": ([ASK], [USE]),
    "two calls": ([ASK], TWO),
    "thinking": ([ASK], [THINKING, SAID, USE]),
    "result": ([SYSTEM, ASK, ASKED, FOUND], [TOLD]),
    "plain history": ([SYSTEM, ASK, PLAIN, FOUND], [TOLD]),
}


@pytest.mark.parametrize("way", ["invoke", "stream"])
@pytest.mark.parametrize("name", CASES)
def test_an_example_equals_request_and_answer(run_store, name, way):
    messages, output = CASES[name]
    server = AnthropicServer([output])
    with served(server.app) as url:
        model = ChatAnthropic(
            model="claude-test", base_url=url, api_key="x", max_tokens=2000
        ).bind_tools([find_table])
        tracer = LangChainTracer(project_name="app", client=run_store)
        config = {"callbacks": [tracer]}
        model.invoke(messages, config) if way == "invoke" else list(model.stream(messages, config))
        tracer.wait_for_futures()
        run_store.flush()
    examples = (LangSmithRunChatLoader(project_name="app", client=run_store) | Convert()).invoke({})
    expected = chat_form_of_anthropic(server.requests[0], output)
    assert [settled(line) for line in examples] == [expected]
    assert examples.rejected == []
