"""The README's examples run as they stand, and its commands exist."""

import gzip
import re
import shlex
from contextlib import closing
from pathlib import Path

import pytest
import typer
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableLambda

from langchain_finetune import LangSmithRunChatLoader
from langchain_finetune.cli.app import app
from support.servers import served
from walkthrough.calculator import PROMPT, Calculator

README = Path(__file__).parents[2] / "README.md"
TEXT = README.read_text()
BLOCKS = dict(re.findall(r"<!-- test: (\w+) -->\n```python\n(.*?)```", TEXT, re.DOTALL))
COMMANDS = re.findall(r"^langchain-finetune .*$", TEXT.replace("\\\n", ""), re.MULTILINE)


def test_every_python_block_is_run_here():
    assert TEXT.count("```python") == len(BLOCKS)
    tested = {"main", "rejected", "dataset", "hosted", "community", "recorder", "files"}
    tested |= {"selection", "query", "conversations", "checks", "methods", "privacy", "tokens"}
    tested |= {"budget", "jobs", "report", "split", "structured"}
    tested |= {"azure", "contract", "watching", "http", "remote", "store"}
    assert set(BLOCKS) == tested


@pytest.fixture
def names(engine, langsmith, traffic, monkeypatch, tmp_path):
    """What the app has already: its prompt and tool; the environment points at the engine."""
    monkeypatch.setenv("LANGSMITH_ENDPOINT", engine.url)
    monkeypatch.setenv("LANGSMITH_API_KEY", engine.api_key.get_secret_value())
    monkeypatch.chdir(tmp_path)
    return {"prompt": PROMPT, "Calculator": Calculator}


@pytest.mark.train
def test_the_main_example_answers_the_question(names):
    exec(BLOCKS["main"], names)
    [call] = names["answer"].tool_calls
    assert Calculator(**call["args"]).calculate() == 8.0
    exec(BLOCKS["structured"], names)
    assert names["ticket"].urgency in {"low", "high"}
    exec(BLOCKS["rejected"], names)
    assert names["written"].examples == names["model"].metadata["training_examples"]
    exec(BLOCKS["jobs"], names)
    assert names["job"].job_id == names["model"].metadata["job_id"]
    logged = []
    names["log_metrics"] = lambda metrics, step: logged.append(step)
    names["chain"] = (
        names["loader"] | names["Convert"]() | names["FineTune"](model="nano", engine="local")
    )
    exec(BLOCKS["watching"], names)
    assert names["model"].metadata["job_id"] == names["job"].job_id
    assert Path("loss.png").stat().st_size > 1000
    exec(BLOCKS["contract"], names)
    assert [tool["function"]["name"] for tool in names["contract"].tools] == ["Calculator"]
    exec(BLOCKS["azure"], {**names, "get_token": lambda: "token"})
    exec(BLOCKS["hosted"], names)
    assert names["fine_tune"].hyperparameters.n_epochs == 3


@pytest.mark.train
@pytest.mark.filterwarnings("ignore:Accessing the 'model_fields' attribute on the instance")
@pytest.mark.filterwarnings("ignore::langchain_finetune.TrainedContractWarning")
def test_the_chain_is_served(names, engine, tuned, liked, capsys):
    names |= {"loader": liked, "only_colleagues": lambda: None, "prompt": PROMPT}
    exec(BLOCKS["http"], names)
    theirs = {"key": engine.api_key, "base_url": engine.base_url}
    with served(names["app"]) as url:
        exec(BLOCKS["remote"].replace("https://finetune.example", url), theirs)
    assert theirs["model"].metadata["job_id"] == theirs["job"]["job_id"]
    assert theirs["model"].metadata["training_examples"] > 10
    assert theirs["answer"].response_metadata["model_name"] == theirs["model"].model_name
    assert "model" in capsys.readouterr().out


def test_what_is_chosen_is_read(names):
    exec(BLOCKS["selection"], names)
    assert list(names["loader"].invoke({"limit": 3})) == []
    exec(BLOCKS["query"], names)
    assert len(list(names["examples"])) > 10
    exec(BLOCKS["conversations"], names)
    assert len(list(names["last_calls"].invoke({"limit": 3}))) > 0
    assert list(names["threads"].invoke({})) == []


def test_the_run_store_keeps_versions(names):
    exec(BLOCKS["store"], names)
    with closing(names["client"]):
        [example] = names["examples"]
        assert example.inputs == {"tea": "white"}
        assert names["client"].read_dataset_version(dataset_name="teas", tag="prod").as_of


def test_each_method_makes_its_lines(names, langsmith, liked):
    exec(BLOCKS["methods"], names)
    assert list(names["pairs"]) == []
    assert set(names["pairs"].rejected_by_reason()) == {"no_pair"}
    every, last, calls, none = (
        list(names[name].invoke(liked))
        for name in ("chats", "last_answers", "calls", "completions")
    )
    # Half of the app's chats call legacy functions.
    assert len(every) == len(last) == 2 * len(calls) > 10
    assert none == []


def test_what_is_counted_and_taken_out(capsys):
    said = [HumanMessage("I am ada@example.com"), AIMessage("Hello")]
    key = AIMessage("Use AKIAIOSFODNN7" + "EXAMPLE")
    sessions = [{"messages": said}, {"messages": said}, {"messages": [HumanMessage("Key?"), key]}]
    names = {"loader": RunnableLambda(lambda _: sessions)}
    exec(BLOCKS["privacy"], names)
    texts = [each["content"] for line in names["examples"] for each in line["messages"]]
    assert texts == ["I am <email>", "Hello", "Key?", "Use [SECRET_DETECTED]"]
    exec(BLOCKS["tokens"], {**names, "Convert": names["Convert"]})
    assert int(capsys.readouterr().out) > 50


def test_the_examples_of_split_and_report_run(names, monkeypatch, capsys):
    names["loader"] = LangSmithRunChatLoader(project_name="calculator")
    exec(BLOCKS["split"], names)
    assert 0 < len(list(names["examples"].part("test"))) < len(list(names["examples"])) / 3
    exec(BLOCKS["report"], names)
    assert f"\n{names['report'].kept} {{" in capsys.readouterr().out
    assert "<h1>" in Path("report.html").read_text()
    exec(BLOCKS["budget"], names)
    assert names["fine_tune"].prices == {"my-base": 4.0}


@pytest.mark.parametrize("name", ["dataset", "community"])
def test_short_examples_run(name):
    exec(BLOCKS[name], {})


def test_the_examples_with_files_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    model = FakeListChatModel(responses=["8"], name="ChatOpenAI")
    names = {"app": RunnableLambda(lambda asked: asked["input"]) | model}
    exec(BLOCKS["recorder"], names)
    [example] = names["examples"]
    assert [message["content"] for message in example["messages"]] == ["What's 56/7?", "8"]
    for folder in ("export", "runs/today"):
        Path(folder).mkdir(parents=True)
    Path("export/a.jsonl").write_bytes(Path("runs.jsonl").read_bytes())
    Path("runs/today/b.jsonl.gz").write_bytes(gzip.compress(Path("runs.jsonl").read_bytes()))
    exec(BLOCKS["files"], names)
    assert capsys.readouterr().out == "2 {} Counter()\n"
    exec(BLOCKS["checks"], names)
    assert capsys.readouterr().out.splitlines() == [
        "Findings(errors={}, warnings={}, fixed={})",
        "False 2 {'invalid_n_examples': 1}",
    ]


def test_links_lead_somewhere():
    headings = re.findall(r"^##+ (.+)$", TEXT, re.MULTILINE)
    places = {"#" + re.sub(r"[^\w -]", "", each).lower().replace(" ", "-") for each in headings}
    for target in re.findall(r"\]\(([^)]+)\)", TEXT):
        assert target in places or (README.parent / target).exists(), target


def test_every_command_is_named_and_no_other():
    named = set(re.findall(r"^langchain-finetune (\w+)", TEXT, re.MULTILINE))
    group = typer.main.get_command(app)
    assert named == set(group.commands)
    [steering] = re.findall(r"^langchain-finetune jobs watch .*# also: (.*)$", TEXT, re.MULTILINE)
    assert {"list", "watch", *steering.split(", ")} == set(group.commands["jobs"].commands)


@pytest.mark.parametrize("line", COMMANDS)
def test_the_options_of_commands_exist(line):
    """Each line is parsed as it stands; that the commands work is tested elsewhere."""
    command = typer.main.get_command(app)
    arguments = shlex.split(line, comments=True)[1:]
    while hasattr(command, "commands"):
        command = command.commands[arguments.pop(0)]
    assert command.make_context("langchain-finetune", arguments).params
