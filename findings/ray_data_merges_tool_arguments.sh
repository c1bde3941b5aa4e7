#!/bin/sh
# Ray Data 2.60.0, `read_json` and `write_json` on JSON Lines of chats with tools: all rows get the
# columns and fields of each. A tool call has the arguments of all tools, null where it had none, and
# a tool all parameters. A text that looks like a date becomes a time, and is written as a number.
#
# What one would expect: each line as it was. The cause is Arrow's reader of JSON, which gives a file
# one schema, in which objects are structs, and infers times. A model that is trained on the result
# learns to send arguments that its tools don't have. `read_text` leaves lines as they are.
#
# Output seen, 2026-11-30:
#   read: {'city': 'Rome', 'at': None} {'city': {'type': 'string'}, 'at': None}
#   read: {'city': None, 'at': datetime.datetime(2026, 11, 30, 0, 0)} {'city': None, 'at': {...}}
#   written: {'city': 'Rome', 'at': None} {'city': {'type': 'string'}, 'at': None}
#   written: {'city': None, 'at': 1795996800000} {'city': None, 'at': {...}}
#
# Installs the pinned packages in a temporary folder, starts Ray on this machine, and fails if the
# behaviour changes. Needs Python 3.11 or newer and a package index.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    "ray[data]==2.60.0" pandas==3.1.1 pyarrow==26.0.1 numpy==2.4.6
cat > "$folder/show.py" <<'PYTHON'
import json
import logging
import os
import sys
from pathlib import Path

os.environ["RAY_AUTH_MODE"] = "disabled"  # Else a token is written to the home folder.
os.environ["RAY_TMPDIR"] = sys.argv[1]
import ray


def chat(arguments, parameters):
    """Return a chat with one tool, whose arguments the app had parsed."""
    call = {"name": "book", "arguments": arguments}
    return {
        "messages": [{"role": "assistant", "content": "Done.", "tool_calls": [call]}],
        "tools": [{"name": "book", "parameters": parameters}],
    }


folder = Path(sys.argv[1])
rows = [
    chat({"city": "Rome"}, {"city": {"type": "string"}}),
    chat({"at": "2026-11-30"}, {"at": {"type": "string", "format": "date"}}),
]
(folder / "runs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
ray.init(num_cpus=2, log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
logging.getLogger("ray.data").setLevel(logging.ERROR)
ray.data.DataContext.get_current().enable_progress_bars = False
data = ray.data.read_json(str(folder / "runs.jsonl"))
read = data.take_all()
data.write_json(str(folder / "out"))
paths = sorted((folder / "out").iterdir())
written = [json.loads(line) for path in paths for line in path.read_text().splitlines()]
told = {}
for name, found in (("read", read), ("written", written)):
    for row in found:
        [call], [tool] = row["messages"][0]["tool_calls"], row["tools"]
        told.setdefault(name, []).append(call["arguments"])
        print(f"{name}:", call["arguments"], tool["parameters"])
for name, found in told.items():
    assert all(set(arguments) == {"city", "at"} for arguments in found), f"{name} is as it was."
assert [each["at"] for each in told["written"]] == [None, 1795996800000], "The date is a text now."
PYTHON
"$folder/venv/bin/python" "$folder/show.py" "$folder"
