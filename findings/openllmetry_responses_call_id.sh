#!/bin/sh
# OpenLLMetry 0.62.4 records a tool call of OpenAI's Responses API with the id of the output item
# (`fc_...`) in place of the call's own id (`call_...`). The result that the app sends in the next
# turn is recorded with the call's id, so call and result cannot be joined within the trace.
#
# What one would expect: `gen_ai.output.messages[0].parts[0].id` is the `call_id`, as it is in
# `gen_ai.input.messages` of the next turn.
#
# Installs the pinned packages in a temporary folder, asks a stub of the API on this machine, and
# fails if the behaviour changes. Needs Python 3.11 or newer and a package index.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    openai==3.57.0 opentelemetry-instrumentation-openai==0.62.4 opentelemetry-sdk==1.45.2
cat > "$folder/show.py" <<'PYTHON'
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

from openai import OpenAI
from opentelemetry.instrumentation.openai import OpenAIInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

CALL = {"type": "function_call", "id": "fc_item", "call_id": "call_own", "name": "add",
        "arguments": "{}", "status": "completed"}


class Stub(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        is_second = isinstance(body["input"], list)
        said = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
                "content": [{"type": "output_text", "text": "3", "annotations": []}]}
        answer = json.dumps({
            "id": "resp_2" if is_second else "resp_1", "object": "response", "created_at": 1,
            "model": "m", "status": "completed", "output": [said if is_second else CALL],
            "parallel_tool_calls": True, "tool_choice": "auto", "tools": body["tools"],
        }).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), Stub)
threading.Thread(target=server.serve_forever, daemon=True).start()
kept = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(kept))
OpenAIInstrumentor().instrument(tracer_provider=provider)
client = OpenAI(api_key="x", base_url=f"http://127.0.0.1:{server.server_port}/v1")
tools = [{"type": "function", "name": "add", "parameters": {"type": "object", "properties": {}}}]
client.responses.create(model="m", input="1 + 2?", tools=tools)
result = {"type": "function_call_output", "call_id": "call_own", "output": "3"}
asked = {"type": "function_call", "call_id": "call_own", "name": "add", "arguments": "{}"}
client.responses.create(
    model="m", input=[{"role": "user", "content": "1 + 2?"}, asked, result], tools=tools
)
first, second = kept.get_finished_spans()
made = json.loads(first.attributes["gen_ai.output.messages"])[0]["parts"][0]["id"]
known = {
    part.get("id")
    for message in json.loads(second.attributes["gen_ai.input.messages"])
    for part in message["parts"]
    if part["type"] in ("tool_call", "tool_call_response")
}
print("id of the call where it is made:", made)
print("id of the call and of its result in the next turn:", sorted(map(str, known)))
assert made == "fc_item", "OpenLLMetry writes another id now"
assert known == {"call_own"}, "OpenLLMetry writes another id of the result now"
PYTHON
"$folder/venv/bin/python" "$folder/show.py"
