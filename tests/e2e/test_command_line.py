"""Commands that only look: what they say to people and to programs."""

import json
import os
import subprocess
import sys

import pytest


@pytest.fixture
def command(engine):
    """Run a command in the engine's home."""

    def run(*arguments, **environment):
        here = {"LANGSMITH_API_KEY": "", "LANGSMITH_ENDPOINT": "", "OPENAI_API_KEY": ""}
        return subprocess.run(
            [sys.executable, "-m", "langchain_finetune.cli", *arguments],
            env={**os.environ, **here, "NO_COLOR": "1", **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def test_doctor_finds_all_that_is_there(command, engine):
    result = command("doctor", "--json")
    assert (result.returncode, result.stderr) == (0, "")
    found = {each["what"]: each for each in json.loads(result.stdout)}
    assert found["embedded engine"]["said"] == f"runs at {engine.url}"
    assert found["LangSmith"]["state"] == "note"
    assert "torch" in found["extra local"]["said"]
    key = engine.api_key.get_secret_value()
    told = command("doctor", LANGSMITH_ENDPOINT=engine.url, LANGSMITH_API_KEY=key)
    assert told.returncode == 0
    assert f"answers at {engine.url}" in " ".join(told.stdout.split())
    assert key not in told.stdout + told.stderr


def test_doctor_fails_where_something_is_wrong(command, engine, tmp_path):
    refused = command("doctor", LANGSMITH_ENDPOINT=engine.url, LANGSMITH_API_KEY="wrong-key")
    assert refused.returncode == 1
    assert "does not accept the key" in " ".join(refused.stdout.split())
    assert "wrong-key" not in refused.stdout
    (tmp_path / "file").write_text("")
    lost = command("doctor", LANGCHAIN_FINETUNE_HOME=str(tmp_path / "file" / "home"))
    assert lost.returncode == 1
    assert "Traceback" not in lost.stderr


def test_models_lists_the_bases(command, engine):
    result = command("models", "--json")
    assert result.returncode == 0
    assert "nano" in [each["model"] for each in json.loads(result.stdout)]
    assert "nano" in command("models").stdout
