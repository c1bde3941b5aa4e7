#!/bin/sh
# Ray Data 2.60.0 on JSON Lines of training chats with tools.
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

os.environ["RAY_AUTH_MODE"] = "disabled"
import ray


def chat(arguments, **parameters):
    """Return a chat with one tool, whose arguments the app had parsed."""
    return {
        "messages": [
            {"role": "user", "content": "Weiter\u2019 </b>"},
            {"role": "assistant", "tool_calls": [{"name": "book", "arguments": arguments}]},
        ],
        "tools": [{"name": "book", "parameters": parameters}],
    }


folder = Path(sys.argv[1])
rows = [chat({"city": "Rome"}, city="string"), chat({"beds": 2, "at": "2026-11-30"}, beds="integer")]
(folder / "runs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
ray.init(num_cpus=1, log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
ray.data.DataContext.get_current().enable_progress_bars = False
data = ray.data.read_json(str(folder / "runs.jsonl"))
read = data.take_all()
data.write_json(str(folder / "out"))
[path] = (folder / "out").glob("*.json*")
written = [json.loads(line) for line in path.read_text().splitlines()]
for name, found in (("read", read), ("written", written)):
    print(f"{name}:", [row["messages"][1]["tool_calls"][0]["arguments"] for row in found])
    print(f"{name}:", [row["tools"][0]["parameters"] for row in found])
    print(f"{name}:", read[0]["messages"][0])
print(path.read_text().splitlines()[0])
PYTHON
"$folder/venv/bin/python" "$folder/show.py" "$folder"
