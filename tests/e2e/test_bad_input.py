"""Bad input on the command line: one clear sentence, no traceback, nothing half-made."""

import os
import sqlite3
from contextlib import closing

import pytest
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tracers import LangChainTracer
from openai import OpenAI

from support.warm_process import run_warm


@pytest.fixture(scope="module")
def projects(langsmith):
    """Projects with twelve and with three good runs."""
    for name, count in (("twelve", 12), ("three", 3)):
        tracer = LangChainTracer(project_name=name, client=langsmith)
        model = GenericFakeChatModel(messages=iter([AIMessage("Yes")] * count))
        for number in range(count):
            model.invoke([HumanMessage(f"Is {number} a number?")], {"callbacks": [tracer]})
        tracer.wait_for_futures()
        langsmith.flush()


@pytest.fixture
def run(engine, projects, tmp_path):
    """Run the command line with the engine's addresses and a home of its own."""
    key = engine.api_key.get_secret_value()

    def run(*arguments, **environment):
        addresses = {
            "LANGSMITH_ENDPOINT": engine.url,
            "LANGSMITH_API_KEY": key,
            "OPENAI_BASE_URL": engine.base_url,
            "OPENAI_API_KEY": key,
            "LCFT_HOME": str(tmp_path / "home"),
            "NO_COLOR": "1",
        }
        environment = {**os.environ, **addresses, **environment}
        return run_warm("langchain_finetune.cli", "run", *arguments, env=environment)

    return run


def kept_by(client):
    """The ids of all jobs and files that the engine holds."""
    return {one.id for one in [*client.fine_tuning.jobs.list(), *client.files.list()]}


HOSTED = ("--engine", "openai")
# Always the same, so that tests have the same names in each process that runs some of them.
NOWHERE = "http://127.0.0.1:1"


@pytest.mark.parametrize(
    ("arguments", "environment", "sentence"),
    [
        (
            ("--project", "twelve", "--model", "nano"),
            {"LANGSMITH_ENDPOINT": NOWHERE},
            f"Error: {NOWHERE} can't be reached: check LANGSMITH_ENDPOINT",
        ),
        (
            ("--project", "twelve", "--model", "nano"),
            {"LANGSMITH_API_KEY": "wrong-key"},
            "does not accept the key: set LANGSMITH_API_KEY.",
        ),
        (("--project", "nope", "--model", "nano"), {}, "has no project 'nope'."),
        (("--dataset", "nope", "--model", "nano"), {}, "has no dataset 'nope'."),
        (
            ("--project", "twelve", "--model", "nano", "--filter", "eq(name"),
            {},
            "Error: LangSmith could not return",
        ),
        (
            ("--project", "twelve", "--model", "nano", "--filter", 'eq(name, "Other")'),
            {},
            "Error: The selection gives no training example; at least 10 are needed.",
        ),
        (
            ("--project", "three", "--model", "nano"),
            {},
            "Error: The selection gives 3 training examples; at least 10 are needed.",
        ),
        (
            ("--project", "twelve", "--model", "nano", *HOSTED),
            {"OPENAI_BASE_URL": f"{NOWHERE}/v1"},
            f"Error: Nothing answers at {NOWHERE}/v1",
        ),
        (
            ("--project", "twelve", "--model", "nano", *HOSTED),
            {"OPENAI_API_KEY": "wrong-key"},
            "does not accept the key: check api_key, or OPENAI_API_KEY.",
        ),
        (
            ("--project", "twelve", "--model", "nano", *HOSTED),
            {"OPENAI_API_KEY": ""},
            "Error: The engine needs a key",
        ),
        (
            ("--project", "twelve", "--model", "nano", "--max-tokens", "10"),
            {},
            "more than max_tokens=10.",
        ),
        (
            ("--project", "twelve", "--model", "m", *HOSTED, "--max-cost-usd", "0", "--price", "9"),
            {},
            "more than max_cost_usd=0:",
        ),
        (("--project", "twelve", "--model", "no-such-base", *HOSTED), {}, "no-such-base"),
        (("--project", "twelve", "--model", "who/knows-what", *HOSTED), {}, "who/knows-what"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(
    run, engine, tmp_path, arguments, environment, sentence
):
    with OpenAI(base_url=engine.base_url, api_key=engine.api_key.get_secret_value()) as client:
        before = kept_by(client)
        result = run(*arguments, **environment)
        assert kept_by(client) == before
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    [line] = [line for line in result.stderr.splitlines() if line.startswith("Error:")]
    assert sentence in line
    assert result.stdout == ""
    assert "wrong-key" not in result.stderr
    ledger = tmp_path / "home" / "ledger.sqlite"
    if ledger.exists():
        with closing(sqlite3.connect(ledger)) as database:
            assert database.execute("SELECT count(*) FROM submissions").fetchone() == (0,)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--model", "nano"),
        ("--project", "twelve"),
        ("--project", "twelve", "--model", "nano", "--engine", "other"),
        ("--project", "twelve", "--model", "nano", "--base-url", "http://127.0.0.1:1"),
        ("--project", "twelve", "--model", "nano", "--limit", "0"),
        ("--project", "twelve", "--model", "nano", "--suffix", "x" * 65),
        ("--project", "twelve", "--model", "nano", "--timeout", "0"),
        ("--project", "twelve", "--model", "nano", "--split-seed", "1"),
    ],
)
def test_a_wrong_command_is_a_usage_error(run, arguments):
    result = run(*arguments)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    assert "Usage:" in result.stderr
