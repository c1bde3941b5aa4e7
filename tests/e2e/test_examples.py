"""The scripts in `examples/` run; those that serve have an engine of their own."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from langchain_finetune.home import HOME_VARIABLE
from support.docs import ROOT

EXAMPLES = ROOT / "examples"


def output_of(script, home):
    """Run a script as a user does, and return the lines that it prints."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    keyless = {name: value for name, value in os.environ.items() if "API_KEY" not in name}
    ended = subprocess.run(
        [sys.executable, EXAMPLES / script],
        env={**keyless, "PATH": path, HOME_VARIABLE: str(home)},
        cwd=home,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()


def test_the_readme_lists_the_scripts_that_there_are():
    text = (EXAMPLES / "README.md").read_text()
    scripts = {path.name for path in EXAMPLES.glob("*.py")}
    assert len(scripts) == 5
    assert all(f"[`{name}`]({name})" in text for name in scripts)


@pytest.mark.train
def test_a_recorded_app_is_learned(home, engine):
    lines = output_of("record_and_tune.py", home)
    assert "tuned 'cold'" in "".join(lines)
    assert lines[-1].startswith("The tuned model is ft:nano:")


@pytest.mark.train
def test_what_was_liked_in_the_run_store_is_learned(tmp_path):
    lines = output_of("from_run_store.py", tmp_path)
    assert lines[0] == "12 answers were liked, 12 are trained on."
    assert lines[-1].startswith("The tuned model is ft:nano:")


@pytest.mark.train
def test_preferences_are_learned(home, engine):
    preferred, other, loss, *_, name = output_of("preferences.py", home)
    assert (preferred, other[:20]) == ("preferred: Yes!", "not preferred: Well,")
    before, after = (float(value) for value in loss.removeprefix("loss ").split(" -> "))
    assert after < before
    assert name.startswith("The tuned model is ft:nano:")


@pytest.mark.train
def test_the_gate_lets_a_better_model_pass(home, engine):
    cases, name = output_of("compare_and_gate.py", home)[-2:]
    assert re.fullmatch(r"10 cases: 0% -> (100|[89]0)%", cases)
    assert name.startswith("The gate let pass ft:nano:")


def test_answers_follow_the_schema(tmp_path):
    lines = output_of("structured_output.py", tmp_path)
    assert len(lines) == 2
    for line in lines:
        ticket = json.loads(line.partition(" -> ")[2])
        assert ticket.keys() == {"title", "urgency"}
        assert ticket["urgency"] in {"low", "high"}
