#!/bin/sh
# litellm 1.110.2, its LangSmith callback on Anthropic's Messages API: the form of `system` decides
# whether the instructions are logged. A string becomes a message with the role `system`. A list of
# text blocks (the form that may carry `cache_control`) is sent to the model, but is nowhere in the
# run: neither in its messages nor in its settings. It then looks like a run without instructions.
#
# What one would expect: both forms are logged, as both mean the same to the API. The cause is the
# payload that LiteLLM's loggers share, which takes only a string.
#
# Output seen, 2026-11-30:
#   string: sent True, roles logged ['system', 'user'], in the run True
#   blocks: sent True, roles logged ['user'], in the run False
#
# Installs the pinned packages in a temporary folder, asks a stub of both APIs on this machine, and
# fails if the behaviour changes. Needs Python 3.11 or newer and a package index.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check litellm==1.110.2
cat > "$folder/show.py" <<'PYTHON'
import asyncio
import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

sent, runs = [], []
TOLD = "Answer in French."


class Stub(BaseHTTPRequestHandler):
    """Answers for the model, and keeps the runs that LiteLLM sends."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/v1/messages":
            sent.append(body)
        else:
            runs.extend(body["post"])
        answer = json.dumps({
            "id": "msg_1", "type": "message", "role": "assistant", "model": "m",
            "content": [{"type": "text", "text": "Bonjour"}], "stop_reason": "end_turn",
            "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1},
        }).encode()
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
os.environ |= {
    "LANGSMITH_API_KEY": "any",
    "LANGSMITH_BASE_URL": url,
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
}
import litellm
from litellm.integrations.langsmith import LangsmithLogger


async def seen(name, system):
    logger = LangsmithLogger()
    litellm.callbacks = [logger]
    await litellm.anthropic.messages.acreate(
        model="anthropic/claude-sonnet-4-5",
        max_tokens=9,
        system=system,
        messages=[{"role": "user", "content": "Hello"}],
        api_base=url,
        api_key="any",
    )
    for _ in range(100):  # The callback runs beside the call.
        if logger.log_queue:
            break
        await asyncio.sleep(0.1)
    await logger.flush_queue()
    run = runs[-1]
    found = (
        TOLD in json.dumps(sent[-1]),
        [message["role"] for message in run["inputs"]["messages"]],
        TOLD in json.dumps(run),
    )
    print("{}: sent {}, roles logged {}, in the run {}".format(name, *found))
    return found


async def main():
    string = await seen("string", TOLD)
    blocks = await seen("blocks", [{"type": "text", "text": TOLD}])
    assert len(runs) == 2
    assert string == (True, ["system", "user"], True)
    assert blocks == (True, ["user"], False), "The blocks are logged now."


asyncio.run(main())
PYTHON
"$folder/venv/bin/python" "$folder/show.py"
