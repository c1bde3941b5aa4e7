"""`OpikChatLoader` reads what Opik's own SDK wrote, by its documented API and from an export."""

import json
import os
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("opik")
    python = Path(os.environ["STORE_SERVERS"]) / "opik/bin/python"
    places = os.pathsep.join(map(str, (HERE.parent, HERE.parents[1])))
    # LiteLLM otherwise asks the internet first, and waits where there is none.
    offline = {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    done = subprocess.run(
        [python, HERE / "opik_app.py", folder],
        env={**os.environ, **offline, "PYTHONPATH": places, "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((folder / "found.json").read_text())


ASKED = [
    {"role": "system", "content": "You book tables."},
    {"role": "user", "content": "A table, please"},
]
TOOL = {"type": "function", "function": {"name": "Book", "parameters": {"type": "object"}}}


def test_lines_are_what_the_model_saw(found):
    called, streamed, plain = found["lines"]
    assert called["messages"][:-1] == ASKED[1:]
    assert called["messages"][-1]["tool_calls"][0]["function"]["name"] == "Book"
    assert called["tools"] == [TOOL]
    assert streamed == {
        "messages": [*ASKED, {"role": "assistant", "content": "Certainly, for two."}]
    }
    assert plain == {"messages": [*ASKED, {"role": "assistant", "content": "Certainly."}]}


def test_a_failed_call_and_calls_of_unknown_tools_are_skips(found):
    assert sorted(found["skipped"]) == ["errored_run", "incomplete_trace"]
    assert found["notes"]["tools_unknown"] == 2


def test_an_export_is_read_as_a_file(found):
    assert sorted(map(str, found["files"])) == sorted(map(str, found["lines"]))


def test_its_own_client_is_ended(found):
    assert found["own client"] == len(found["sources"])
    assert found["ended"] == 2


def test_conditions_select(found):
    assert found["selected"] == {
        "root": [["Certainly.", 1]],
        "run": [["Certainly, for two.", 0]],
        "unknown": [],
    }
    assert [source.get("thread_id") for source in found["sources"]] == [None, "t-1", "t-1"]
    assert found["tags"] == 2
    assert found["later"] == 2
