#!/bin/sh
# openai-agents 0.24.0 under the tracing processor of langsmith 0.15.1: the API by which an agent's
# model is asked decides whether the LLM run has the tools. By the Responses API it has them with
# their schemas; by the chat API (`OpenAIChatCompletionsModel`) it has none, but the request does.
# The agent's own run names the tools, without schemas. The span that the agents SDK makes of a chat
# call has no place for tools, and the processor writes what the span has.
#
# What one would expect: the same agent has the same tools in its trace by either API. Whoever
# evaluates, replays or trains on such LLM runs sees a model that calls tools it was never offered.
#
# Output seen, 2026-11-30:
#   OpenAIResponsesModel: sent ['add'], in the LLM run ['add'], in the agent's run ['add']
#   OpenAIChatCompletionsModel: sent ['add'], in the LLM run None, in the agent's run ['add']
#
# Installs the pinned packages in a temporary folder, asks a stub of all APIs on this machine, and
# fails if the behaviour changes. Needs Python 3.11 or newer and a package index.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    openai-agents==0.24.0 langsmith==0.15.1 openai==3.57.0
cat > "$folder/show.py" <<'PYTHON'
import asyncio
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from agents import (
    Agent,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    set_trace_processors,
)
from langsmith import Client
from langsmith.integrations.openai_agents_sdk import OpenAIAgentsTracingProcessor
from openai import AsyncOpenAI

sent, runs = [], {}
SAID = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
        "content": [{"type": "output_text", "text": "Hello", "annotations": []}]}
CHOICE = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hello"}}


class Stub(BaseHTTPRequestHandler):
    """Answers for the model, and keeps the runs that LangSmith's client sends."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/runs":
            runs[body["id"]] = body
            self.answer({})
            return
        sent.append([(tool.get("function") or tool)["name"] for tool in body["tools"]])
        head = {"id": "id_1", "model": "m", "created": 1, "created_at": 1}
        if self.path == "/v1/responses":
            self.answer({**head, "object": "response", "status": "completed", "output": [SAID],
                         "tools": body["tools"], "tool_choice": "auto",
                         "parallel_tool_calls": True})
        else:
            self.answer({**head, "object": "chat.completion", "choices": [CHOICE]})

    def do_PATCH(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        runs[self.path.rsplit("/", 1)[1]].update(body)
        self.answer({})

    def do_GET(self):
        self.answer({})

    def answer(self, value):
        answer = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


@function_tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


server = ThreadingHTTPServer(("127.0.0.1", 0), Stub)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}"
langsmith = Client(api_url=url, api_key="any", auto_batch_tracing=False)
set_trace_processors([OpenAIAgentsTracingProcessor(langsmith)])


def offered(run):
    tools = run["extra"].get("invocation_params", {}).get("tools")
    return tools and [tool if isinstance(tool, str) else tool["name"] for tool in tools]


async def seen(kind):
    runs.clear()
    model = kind("m", AsyncOpenAI(api_key="any", base_url=f"{url}/v1"))
    await Runner.run(Agent(name="sums", model=model, tools=[add]), "Hello")
    [of_model] = [run for run in runs.values() if run["run_type"] == "llm"]
    [of_agent] = [run for run in runs.values() if run["name"] == "sums"]
    found = sent[-1], offered(of_model), offered(of_agent)
    print("{}: sent {}, in the LLM run {}, in the agent's run {}".format(kind.__name__, *found))
    is_described = "Add two numbers." in json.dumps(of_model)
    return *found, is_described


responses = asyncio.run(seen(OpenAIResponsesModel))
chat = asyncio.run(seen(OpenAIChatCompletionsModel))
assert responses == (["add"], ["add"], ["add"], True)
assert chat == (["add"], None, ["add"], False), "The run has the tools now."
PYTHON
"$folder/venv/bin/python" "$folder/show.py"
