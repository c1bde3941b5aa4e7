#!/bin/sh
# langsmith 0.15.1, wrap_gemini() around google-genai 3.6.1: where a request's turns are the SDK's
# own `types.Content`, the trace keeps their text, but in place of a function call and of its
# result there is an empty message. The request itself is sent whole. Chats of the SDK
# (`client.chats`) keep their history as `types.Content`, so they lose these turns too.
#
# What one would expect: the run has the call and the result in either form, as it has both for the
# same turns as dictionaries with the API's own keys (`functionCall`, `functionResponse`).
#
# Output seen, 2026-11-30:
#   types.Content: '3 + 5?', '', ''
#   a chat: '3 + 5?', '', '', 'Sure?'
#   dictionaries: '3 + 5?', function_call, function_response
#
# Installs the pinned packages in a temporary folder, asks a stub of both APIs on this machine, and
# fails if the behaviour changes. Needs Python 3.11 or newer and a package index.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    langsmith==0.15.1 google-genai==3.6.1
cat > "$folder/show.py" <<'PYTHON'
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from google import genai
from google.genai import types
from langsmith import Client, tracing_context
from langsmith.wrappers import wrap_gemini

sent, runs = [], []


class Stub(BaseHTTPRequestHandler):
    """Answers for the model, and keeps the runs that LangSmith's client sends."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        (runs if self.path == "/runs" else sent).append(body)
        content = {"role": "model", "parts": [{"text": "8"}]}
        self.answer({"candidates": [{"finishReason": "STOP", "content": content}]})

    def do_PATCH(self):
        self.rfile.read(int(self.headers["Content-Length"]))
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


server = ThreadingHTTPServer(("127.0.0.1", 0), Stub)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}"
langsmith = Client(api_url=url, api_key="any", auto_batch_tracing=False)
gemini = wrap_gemini(
    genai.Client(api_key="any", http_options=types.HttpOptions(base_url=url)),
    tracing_extra={"client": langsmith},
)
turns = [
    types.Content(role="user", parts=[types.Part(text="3 + 5?")]),
    types.Content(
        role="model",
        parts=[types.Part.from_function_call(name="add", args={"a": 3, "b": 5})],
    ),
    types.Content(
        role="user",
        parts=[types.Part.from_function_response(name="add", response={"result": 8})],
    ),
]
plain = [json.loads(turn.model_dump_json(exclude_none=True, by_alias=True)) for turn in turns]


def traced(ask):
    """What the run has as the content of each message: the text, or the kind of its one part."""
    with tracing_context(enabled=True):
        ask()
    found = [message["content"] for message in runs[-1]["inputs"]["messages"]]
    return [repr(each) if isinstance(each, str) else each[0]["type"] for each in found]


def in_a_chat():
    gemini.chats.create(model="m", history=turns).send_message("Sure?")


objects = traced(lambda: gemini.models.generate_content(model="m", contents=turns))
chat = traced(in_a_chat)
dictionaries = traced(lambda: gemini.models.generate_content(model="m", contents=plain))
print("types.Content:", ", ".join(objects))
print("a chat:", ", ".join(chat))
print("dictionaries:", ", ".join(dictionaries))
assert all(each["contents"][:3] == plain for each in sent), "The request itself is not whole."
assert objects == ["'3 + 5?'", "''", "''"], "The turns are written now."
assert chat == [*objects, "'Sure?'"], "A chat's turns are written now."
assert dictionaries == ["'3 + 5?'", "function_call", "function_response"]
PYTHON
"$folder/venv/bin/python" -W ignore "$folder/show.py"
