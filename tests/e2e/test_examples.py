"""The scripts in `examples/` run, each with an engine and a home of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from langchain_finetune.engines.local import stop_engine
from support.docs import ROOT

EXAMPLES = ROOT / "examples"


@pytest.fixture
def output_of(tmp_path):
    """Runs a script as a user does, and returns the lines that it prints."""
    home = tmp_path / "home"

    def run(script):
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        keyless = {name: value for name, value in os.environ.items() if "API_KEY" not in name}
        ended = subprocess.run(
            [sys.executable, EXAMPLES / script],
            env={**keyless, "PATH": path, "LANGCHAIN_FINETUNE_HOME": str(home)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout.splitlines()

    yield run
    stop_engine(home, timeout_s=60)


def test_the_readme_lists_the_scripts_that_there_are():
    text = (EXAMPLES / "README.md").read_text()
    scripts = {path.name for path in EXAMPLES.glob("*.py")}
    assert len(scripts) == 4
    assert all(f"[`{name}`]({name})" in text for name in scripts)


@pytest.mark.train
def test_a_recorded_app_is_learned(output_of):
    lines = output_of("record_and_tune.py")
    assert "tuned 'cold'" in "".join(lines)
    assert lines[-1].startswith("The tuned model is ft:nano:")


@pytest.mark.train
def test_what_was_liked_in_the_run_store_is_learned(output_of):
    lines = output_of("from_run_store.py")
    assert lines[0] == "12 answers were liked, 12 are trained on."
    assert lines[-1].startswith("The tuned model is ft:nano:")


@pytest.mark.train
def test_preferences_are_learned(output_of):
    preferred, other, loss, *_, name = output_of("preferences.py")
    assert (preferred, other[:20]) == ("preferred: Yes!", "not preferred: Well,")
    before, after = (float(value) for value in loss.removeprefix("loss ").split(" -> "))
    assert after < before
    assert name.startswith("The tuned model is ft:nano:")


def test_answers_follow_the_schema(output_of):
    lines = output_of("structured_output.py")
    assert len(lines) == 2
    for line in lines:
        ticket = json.loads(line.partition(" -> ")[2])
        assert ticket.keys() == {"title", "urgency"}
        assert ticket["urgency"] in {"low", "high"}
