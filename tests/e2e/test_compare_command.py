"""`compare`: models behind real sockets, experiments in the embedded engine's store."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx2
import openai
import pytest

from langchain_finetune.engines.local import find_engine, stop_engine
from langchain_finetune.evaluation.comparison import ComparisonResult
from support.command_line import runs_command, write_chats
from support.light_engine import LightEngine, app_of
from support.model_server import text
from support.rule_server import RuleServer
from support.servers import served
from support.settings import forget_langsmith_settings
from tests.local.conftest import until

EVIL = "[local] :two: [/red] <b>"

APP = """
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langsmith import EvaluationResult

PROMPT = ChatPromptTemplate([("system", "Be short."), ("user", "{input}")])


def chain(model):
    return PROMPT | model | StrOutputParser()


def correct(outputs, reference_outputs):
    return {"key": "correct", "score": outputs["output"] == reference_outputs["content"]}


def judge(outputs):
    return {"key": "judge", "score": 0.5, "comment": "[local] :two: is fine"}


def hidden(outputs):
    return EvaluationResult(key="of_its_own", score=1)


async def build(model):
    return model
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home with an engine of its own, once one was needed."""
    path = tmp_path_factory.mktemp("compare-home")
    yield path
    stop_engine(path, timeout_s=60)


@pytest.fixture
def folder(tmp_path, monkeypatch, home):
    """The user's folder, with an app."""
    forget_langsmith_settings(monkeypatch)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LCFT_HOME", str(home))
    monkeypatch.setenv("COLUMNS", "200")
    name = f"app_{abs(hash(str(tmp_path)))}"
    Path(f"{name}.py").write_text(APP)
    return name


@pytest.fixture
def models():
    """Models that always agree, never do, do it in half of the cases, and fail."""
    asked = {"half": 0}

    def half(_):
        asked["half"] += 1
        return text("Yes" if asked["half"] % 2 else "No")

    return RuleServer(
        right=lambda _: text("Yes"),
        wrong=lambda _: text("No"),
        half=half,
        evil=lambda _: text(EVIL),
        broken=lambda _: 400,
    )


@pytest.fixture
def command(folder, models, monkeypatch, capsys):
    run = runs_command(monkeypatch, capsys)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-" + "test-key")
    with served(models.app) as address:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{address}/v1")

        def compare(new, old, *arguments):
            return run("compare", "--model", new, "--engine", "openai", "--old", old, *arguments)

        yield compare


def chats(count):
    return ("--data", write_chats(Path(f"chats-{count}.jsonl"), count))


def test_equal_models_pass_if_the_cases_are_enough(command):
    ran = command("right", "right", *chats(70), "--evaluator", "exact_match")
    assert ran.code == 0
    assert "right against right: pass" in ran.out
    # What decides is told, also where nobody asked for it.
    assert "Pass: exact_match: +0.000 in 70 cases" in ran.out
    assert "the default decides: --at-least exact_match=-0.05." in ran.out
    assert "new: right, 70 of 70 answers" in ran.err
    assert "old: right, 7 of 70 answers" in ran.err


def test_a_worse_model_fails_and_too_few_cases_are_neither(command):
    rules = ("--evaluator", "exact_match", "--at-least", "exact_match=-0.1")
    ran = command("wrong", "right", *chats(40), *rules)
    assert ran.code == 1
    assert "wrong against right: fail" in ran.out
    assert "exact_match 1.000 to 0.000" in ran.out
    ran = command("right", "right", *chats(12), *rules)
    assert ran.code == 4
    assert "right against right: too few cases" in ran.out
    ran = command("right", "wrong", *chats(40), *rules[:2], "--better", "exact_match=0")
    assert ran.code == 0
    assert "Pass: exact_match: +1.000 in 40 cases" in ran.out


def test_names_of_evaluators_are_whole_at_80_columns(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    ran = command("right", "wrong", *chats(12), "--evaluator", "normalized_text")
    [row] = [line for line in ran.out.splitlines() if line.startswith("│ normalized_text")]
    assert "+1.000" in row
    assert max(map(len, ran.out.splitlines()[:8])) <= 80
    assert "differenc\n" not in ran.out
    assert any("difference" in line and "evaluator" in line for line in ran.out.splitlines())


def test_the_apps_own_chain_and_evaluators(command, folder, models):
    ran = command(
        "right", "half", *chats(12), "--chain", f"{folder}:chain", "--repetitions", 2,
        "--evaluator", f"{folder}:correct", "--evaluator", f"{folder}:judge",
        "--better", "correct=0", "--at-least", "judge=-0.1", "--json",
    )  # fmt: skip
    result = ran.json
    assert [each["evaluator"] for each in result["differences"]] == ["correct", "judge"]
    assert (result["differences"][0]["new"], result["repetitions"]) == (1, 2)
    assert {len(case["old"]) for case in result["cases"]} == {2}
    assert [rule["kind"] for rule in result["decision"]["rules"]] == ["at_least", "better"]
    assert ran.code == {"pass": 0, "fail": 1, "too_few": 4}[result["decision"]["verdict"]]
    assert models.requests[0]["messages"][0] == {"role": "system", "content": "Be short."}
    assert "answers" not in ran.err


def test_texts_are_where_they_were_asked_for(command, folder):
    arguments = ("evil", "right", *chats(12), "--evaluator", f"{folder}:judge")
    ran = command(*arguments, "--html", "report.html")
    assert EVIL not in ran.out
    assert "Is 3 a number?" not in ran.out + ran.err
    assert Path("report.html").stat().st_mode & 0o077 == 0
    assert "Is 3 a number?" not in command(*arguments, "--json").out
    shown = command(*arguments[:-1], "exact_match", "--texts")
    assert EVIL in shown.out
    assert "Is 3 a number?" in shown.out
    assert "[local] :two: [/red] &lt;b&gt;" in html_of(command, *arguments[:-1], "exact_match")
    full = command(*arguments, "--texts", "--json").out
    result = ComparisonResult.model_validate_json(full)
    assert result.cases[0].new[0].outputs["content"] == EVIL
    assert result.cases[0].new[0].comments["judge"] == "[local] :two: is fine"


def html_of(command, *arguments):
    command(*arguments, "--html", "report.html")
    return Path("report.html").read_text()


def test_a_set_of_training_files_gives_groups(command, folder, monkeypatch):
    path = Path("set", "test.jsonl")
    path.parent.mkdir()
    write_chats(path, 12)
    sources = [
        {"part": "test", "line": number + 1, "id": f"run-{number}", "thread_id": f"t{number // 3}"}
        for number in range(12)
    ]
    other = {"part": "train", "line": 1, "id": "run-x", "thread_id": "x"}
    lines = [json.dumps(each) for each in [other, *sources, {"part": None, "id": "run-y"}]]
    path.with_name("sources.jsonl").write_text("\n".join(lines))
    result = command("right", "right", "--data", path, "--json").json
    assert {case["group"] for case in result["cases"]} == {"t0", "t1", "t2", "t3"}
    path.with_name("sources.jsonl").write_text(lines[1])
    ran = command("right", "right", "--data", path)
    assert "sources.jsonl does not describe the lines of set/test.jsonl" in ran.no_verdict
    for damaged in ("{", "[]", "7", "{}"):
        path.with_name("sources.jsonl").write_text(damaged)
        ran = command("right", "right", "--data", path)
        assert "set/test.jsonl can't be read with set/sources.jsonl" in ran.no_verdict


def test_a_dataset_of_the_engine(command, folder):
    made = command("right", "right", *chats(12), "--evaluator", "exact_match", "--json").json
    again = command("right", "right", "--dataset", made["dataset"], "--json")
    assert again.json["dataset_id"] == made["dataset_id"]
    assert len(again.json["cases"]) == 12
    assert "no such dataset" in command("right", "right", "--dataset", "no such dataset").no_verdict


def test_the_page_shows_it(command, home):
    result = command("right", "wrong", *chats(12), "--evaluator", "exact_match", "--json").json
    engine = find_engine(home)
    assert result["url"] == f"{engine.url}/ui/comparisons/{result['id']}"
    key = {"Authorization": f"Bearer {engine.api_key.get_secret_value()}"}
    with httpx2.Client(trust_env=False, follow_redirects=True) as browser:
        ticket = browser.post(f"{engine.url}/ui/tickets", headers=key).json()["ticket"]
        browser.get(f"{engine.url}/ui/sign-in", params={"ticket": ticket})
        page = browser.get(result["url"]).text
    assert "exact_match" in page
    assert result["old_experiment"]["name"] in page


def test_cases_that_training_saw_are_left_out(command, folder, monkeypatch, models, capsys):
    engine = LightEngine()
    run = runs_command(monkeypatch, capsys)
    app = models.app
    app.mount("/", app_of(engine))
    path = write_chats(Path("chats.jsonl"), 12)
    ran = run("run", "--engine", "openai", "--model", "m", "--file", path, "--timeout", 0.01)
    assert "had not ended" in ran.error
    [job] = engine.jobs
    name = None
    while name is None:  # Each look moves the job on.
        name = openai.OpenAI().fine_tuning.jobs.retrieve(job).fine_tuned_model
    models.rules[name] = lambda _: text("Yes")
    ran = command(name, "right", "--data", path)
    assert f"All 12 cases are in the training file of {name}" in ran.no_verdict
    more = write_chats(Path("more.jsonl"), 24)
    result = command(name, "right", "--data", more, "--json").json
    assert len(result["refused"]) == len(result["cases"]) == 12


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "Use one of --data and --dataset."),
        (("--data", "x.jsonl", "--dataset", "x"), "Use one of --data and --dataset."),
        (("--dataset", "x", "--at-least", "correct"), "must have the form EVALUATOR=BOUND"),
        (("--dataset", "x", "--at-least", "=-0.1"), "must have the form EVALUATOR=BOUND"),
        (("--dataset", "x", "--better", "correct=nan"), "must have the form EVALUATOR=BOUND"),
        (("--dataset", "x", "--evaluator", "nice"), "one of tool_name_match, arguments_match"),
        (("--dataset", "x", "--evaluator", ":x"), "must have the form module:name"),
        (("--dataset", "x", "--at-least", "other=-0.1"), "--at-least names the evaluator 'other'"),
        (
            ("--dataset", "x", "--evaluator", "exact_match", "--better", "valid_json=0"),
            "--better names the evaluator 'valid_json', but there is only exact_match.",
        ),
        (("--dataset", "x", "--chain", "no_module:x"), "can't be imported (ModuleNotFoundError"),
        (("--dataset", "x", "--chain", "broken:x"), "can't be imported (ZeroDivisionError"),
        (("--dataset", "x", "--chain", "json:nothing"), "json has no nothing."),
        (("--dataset", "x", "--chain", "json:__name__"), "chain must be callable."),
        (("--dataset", "x", "--old-engine", "azure"), "azure requires --old-base-url."),
        (("--dataset", "x", "--old-engine", "local", "--old-base-url", "http://x"), "not accept"),
        (("--dataset", "x", "--base-url", "x"), "An address is needed"),
        (("--dataset", "x", "--repetitions", "0"), "Invalid value for '--repetitions'"),
    ],
)
def test_wrong_options_are_usage_errors(command, models, arguments, told):
    Path("broken.py").write_text("1 / 0")
    ran = command("right", "right", *arguments)
    assert ran.code == 2
    assert told in " ".join(ran.err.replace("│", " ").split())
    assert "Traceback" not in ran.err
    assert models.requests == []


def test_what_fails_is_told_in_one_sentence(command, folder, monkeypatch):
    assert "nowhere.jsonl" in command("right", "right", "--data", "nowhere.jsonl").no_verdict
    assert "failed" in command("broken", "broken", *chats(12)).no_verdict
    ran = command(
        "right", "right", *chats(12), "--evaluator", f"{folder}:hidden", "--at-least", "other=-0.1",
        "--html", "report.html",
    )  # fmt: skip
    # Its answers were paid for, so they are not thrown away.
    assert ran.code == 2
    assert "other" in ran.err
    assert "of_its_own" in ran.out
    assert Path("report.html").exists()
    monkeypatch.delenv("OPENAI_API_KEY")
    ran = command("right", "right", *chats(12))
    assert ran.no_verdict == "Error: --old right: The engine needs a key: set OPENAI_API_KEY."


def test_ctrl_c_ends_it_with_one_sentence(folder, models):
    models.pause_s = 0.3
    with served(models.app) as address:
        environment = os.environ | {
            "OPENAI_API_KEY": "sk-" + "test-key",
            "OPENAI_BASE_URL": f"{address}/v1",
        }
        options = ("--model", "right", "--engine", "openai", "--old", "right", *chats(60))
        process = subprocess.Popen(
            [sys.executable, "-m", "langchain_finetune.cli", "compare", *map(str, options)],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        until(lambda: len(models.requests) > 4, 60)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert out == ""
    assert "Traceback" not in err
    told = [line for line in err.splitlines() if "answers" not in line]
    assert told == ["Stopped: there is no verdict. Both models are asked again next time."]
