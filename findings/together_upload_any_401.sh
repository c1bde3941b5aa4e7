#!/bin/sh
# together 3.1.1, files.upload: whatever the server says with a 401, the error says that the job
# "would exceed your free trial credits" and to pay. A key that is wrong or was revoked reads as a
# question of money; the server's own message is in the error's `body` alone. Other requests of the
# same client, such as files.list, show the server's message.
#
# What one would expect: the server's message, which says that the key is not valid.
#
# Output seen, 2026-11-30:
#   list: AuthenticationError, the server's message: True, of money: False
#   upload: AuthenticationError, the server's message: False, of money: True
#
# Installs the pinned package in a temporary folder, and fails if the behaviour changes. Needs
# Python 3.11 or newer and a package index.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check together==3.1.1
cat > "$folder/show.py" <<'PYTHON'
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import together

SAID = "This key was revoked yesterday."


class Refuses(BaseHTTPRequestHandler):
    def answer(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = json.dumps({"error": {"message": SAID, "type": "invalid_request_error"}}).encode()
        self.send_response(401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = answer

    def log_message(self, *args):
        pass


server = HTTPServer(("127.0.0.1", 0), Refuses)
threading.Thread(target=server.serve_forever, daemon=True).start()
client = together.Together(
    api_key="revoked", base_url=f"http://127.0.0.1:{server.server_port}/v1", max_retries=0
)
chat = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}
file = Path(sys.argv[1]) / "train.jsonl"
file.write_text(json.dumps(chat) + "\n")
seen = {}
for name, request in (
    ("list", client.files.list),
    ("upload", lambda: client.files.upload(file, purpose="fine-tune", check=False)),
):
    try:
        request()
    except together.AuthenticationError as error:
        seen[name] = (SAID in str(error), "free trial credits" in str(error))
        server_s, money = seen[name]
        print(f"{name}: AuthenticationError, the server's message: {server_s}, of money: {money}")
assert seen == {"list": (True, False), "upload": (False, True)}, "The behaviour has changed."
PYTHON
"$folder/venv/bin/python" "$folder/show.py" "$folder"
