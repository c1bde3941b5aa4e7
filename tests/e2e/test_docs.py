"""The code in the README and in `docs/` runs as it stands, and its commands exist."""

import ast
import asyncio
import gzip
import json
import re
import shlex
from contextlib import closing
from pathlib import Path
from typing import get_args

import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableLambda
from langchain_openai import ChatOpenAI
from langsmith import tracing_context
from transformers import AutoTokenizer

import docs_hook
import langchain_finetune
from langchain_finetune import (
    Convert,
    EngineAuthenticationError,
    Job,
    LangSmithRunChatLoader,
    LoadError,
)
from langchain_finetune.cli.app import COMMANDS as COMMAND_LINE
from langchain_finetune.cli.lazy_command import loaded
from langchain_finetune.engines import ENGINES
from langchain_finetune.methods import METHODS, Hyperparameters, LineKind
from support.command_line import write_chats
from support.docs import PAGES, ROOT, blocks, run, run_sh
from support.model_server import text
from support.openai_account import KEY, OpenAIAccount, openai_account
from support.rule_server import RuleServer
from support.servers import served
from support.settings import forget_langsmith_settings
from walkthrough.calculator import PROMPT, Calculator

TEXT = {page: page.read_text() for page in PAGES}
SHELL = [block for block in blocks() if block.language == "sh"]
COMMANDS = [
    line
    for block in SHELL
    for line in re.findall(r"^langchain-finetune .*$", block.code.replace("\\\n", ""), re.MULTILINE)
]
CALLED = loaded(COMMAND_LINE)


def test_every_block_is_run_here_or_says_why_not():
    for block in blocks():
        # Others are what is shown, not what is run: text, JSON, TOML, ...
        assert block.language not in {"", "bash", "console", "py", "shell"}, block
        if block.language in {"python", "sh"}:
            assert not block.indented, block
            assert block.test or len(block.reason or "") > 10, block
    names = [block.test for block in blocks() if block.test]
    assert sorted(names) == sorted(set(names))
    calls = (
        node
        for node in ast.walk(ast.parse(Path(__file__).read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in {"run", "run_sh"}
    )
    assert {call.args[0].value for call in calls} == set(names)


@pytest.fixture
def names(engine, langsmith, traffic, monkeypatch, tmp_path):
    """What the app has already: its prompt and tool; the environment points at the engine."""
    monkeypatch.setenv("LANGSMITH_ENDPOINT", engine.url)
    monkeypatch.setenv("LANGSMITH_API_KEY", engine.api_key.get_secret_value())
    monkeypatch.chdir(tmp_path)
    return {"prompt": PROMPT, "Calculator": Calculator}


@pytest.mark.train
def test_the_main_example_answers_the_question(names):
    run("main", names)
    [call] = names["answer"].tool_calls
    assert Calculator(**call["args"]).calculate() == 8.0
    run("structured", names)
    assert names["ticket"].urgency in {"low", "high"}
    run("rejected", names)
    assert names["written"].examples == names["model"].metadata["training_examples"]
    run("errors", names)
    run("jobs", names)
    assert names["job"].job_id == names["model"].metadata["job_id"]
    logged = []
    names["log_metrics"] = lambda metrics, step: logged.append(step)
    names["chain"] = run("langsmith", {})["chain"]
    run("watching", names)
    assert names["model"].metadata["job_id"] == names["job"].job_id
    assert Path("loss.png").stat().st_size > 1000
    run("contract", names)
    assert [tool["function"]["name"] for tool in names["contract"].tools] == ["Calculator"]
    run("async_job", names)
    waited = asyncio.run(names["wait_for"](names["job"]))
    assert waited.model_name == names["model"].model_name
    assert run_sh("job_commands", JOB=names["job"].job_id).count(names["job"].job_id) >= 2
    assert names["model"].model_name in run_sh("langsmith_commands")
    assert Path("set/train.jsonl").exists()


@pytest.mark.train
def test_the_quickstart_runs(names):
    names = run("quickstart_app", {"__name__": "quickstart"})
    assert "home" in run_sh("doctor")
    run_sh("quickstart_prepare")
    assert len(Path("set/train.jsonl").read_text().splitlines()) == 25
    run("quickstart_look", names)
    assert len(list(names["examples"])) == 25
    run("quickstart_train", names)
    assert names["tuned"].model_name in run_sh("quickstart_run")
    run("quickstart_use", names)
    assert isinstance(names["answer"].content, str)
    assert "/ui/sign-in?ticket=" in run_sh("quickstart_page")
    assert "/ui/sign-in?ticket=" in run_sh("page_command")
    assert names["tuned"].model_name in run_sh("command_line")
    Path("set/train.jsonl").rename("train.jsonl")
    run("openai_check", names)
    assert names["checked"].ok
    run("openai_retrain", names)
    assert names["model"].metadata["job_id"] == names["tuned"].metadata["job_id"]


@pytest.mark.train
def test_a_model_is_rolled_out_and_back(names, engine, tuned):
    shown = run_sh("rollout_commands", MODEL=tuned.model_name)
    assert "History, newest first" in shown
    address = {"base_url": engine.base_url, "api_key": engine.api_key}
    asked = run("rollout_thread", address)
    assert asked["answer"].response_metadata["model_name"] == "nano"
    answer = run("rollout_structured", asked)["found"]
    assert answer["raw"].response_metadata["model_name"] == "nano"
    found = run("rollout_address")
    assert found["base_url"] == engine.base_url
    assert found["api_key"] == engine.api_key.get_secret_value()
    sides = {"old": FakeListChatModel(responses=["8"]), "new": FakeListChatModel(responses=["9"])}
    answer = run("rollout_model", sides)["answer"]
    assert answer.response_metadata["rollout"]["side"] == {"8": "old", "9": "new"}[answer.content]


def test_a_script_of_the_openai_sdk_goes_on_working(names, engine, monkeypatch, capsys):
    monkeypatch.setenv("OPENAI_BASE_URL", engine.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", engine.api_key.get_secret_value())
    line = {
        "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    }
    Path("train.jsonl").write_text(f"{json.dumps(line)}\n" * 12)
    run("openai_sdk")
    assert capsys.readouterr().out == "cancelled\n"


def test_models_are_listed_rescued_and_recorded(names, monkeypatch, capsys):
    account = OpenAIAccount(models=2)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with openai_account(account) as url:
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        assert account.names[0][:12] in run_sh("inventory_command")
        assert "2 models are in rescued" in run_sh("rescue_command")
        assert len(run("inventory")["inventory"].models) == 6
        assert set(run("rescue")["found"].models) == set(account.names)
        assert "The training lines are in recorded" in run_sh("record_command")
        assert run("record_answers")["recording"].complete
        assert all(body["model"] == account.names[-1] for body in account.paid)


@pytest.mark.train
def test_a_model_is_migrated(names, engine, monkeypatch):
    forget_langsmith_settings(monkeypatch)
    account = OpenAIAccount(models=1)
    account.reply = lambda *_: {"role": "assistant", "content": "Yes", "refusal": None}
    [job] = [job for job in account.jobs.values() if job["fine_tuned_model"]]
    account.replace_file(job["training_file"], write_chats(Path("chats.jsonl"), 140).read_bytes())
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with openai_account(account) as url:
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        back = f"To go back: langchain-finetune aliases {account.names[0]} --remove"
        assert back in run_sh("migrate_command")
        assert run("migrate")["result"].verdict == "pass"
        assert len(account.paid) == 280
        run("recorded_model")


def test_two_models_are_compared(names, monkeypatch):
    forget_langsmith_settings(monkeypatch)
    Path("my_app.py").write_text(
        "from langchain_core.output_parsers import StrOutputParser\n"
        "from langchain_core.prompts import ChatPromptTemplate\n\n"
        "def chain(model):\n"
        "    return ChatPromptTemplate([('user', '{input}')]) | model | StrOutputParser()\n\n"
        "def correct(outputs, reference_outputs):\n"
        "    return outputs['output'] == reference_outputs['content']\n"
    )
    write_chats(Path("chats.jsonl"), 70)
    Path("set").mkdir()
    Path("chats.jsonl").rename("set/test.jsonl")
    yes = {name: lambda _: text("Yes") for name in ("gpt-4.1", "ft:gpt-4.1-mini:acme::abc123")}
    monkeypatch.setenv("OPENAI_API_KEY", "key")
    with served(RuleServer(**yes).app) as url:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{url}/v1")
        assert "against gpt-4.1: pass" in run_sh("compare_command")
    assert "<h1>" in Path("report.html").read_text()


@pytest.mark.train
@pytest.mark.filterwarnings("ignore:Accessing the 'model_fields' attribute on the instance")
@pytest.mark.filterwarnings("ignore::langchain_finetune.TrainedContractWarning")
def test_the_chain_is_served(names, engine, tuned, liked, capsys):
    names |= {"loader": liked, "only_colleagues": lambda: None, "prompt": PROMPT}
    run("http", names)
    theirs = {"key": engine.api_key, "base_url": engine.base_url}
    with served(names["app"]) as url:
        run("remote", theirs, **{"https://finetune.example": url})
    assert theirs["model"].metadata["job_id"] == theirs["job"]["job_id"]
    assert theirs["model"].metadata["training_examples"] > 10
    assert theirs["answer"].response_metadata["model_name"] == theirs["model"].model_name
    assert "model" in capsys.readouterr().out


def test_what_is_chosen_is_read(names):
    run("selection", names)
    with pytest.raises(LoadError, match="No run of the project has feedback of 'judge'"):
        list(names["loader"].invoke({"limit": 3}))
    run("query", names)
    liked = len(list(names["examples"]))
    assert liked > 10
    run("configurable", names)
    assert len(list(names["examples"])) > liked
    run("conversations", names)
    run("agent", names)
    assert len(list(names["agent_calls"].invoke({"limit": 3}))) > 0
    assert list(names["threads"].invoke({})) == []
    run("smithtune", names)
    assert list(names["examples"]) == []
    run_sh("export_command")
    assert list(Path("files").rglob("*.parquet"))


def test_an_app_leaves_ratings(names, langsmith):
    names["app"] = names["prompt"] | FakeListChatModel(responses=["8"])
    langsmith.create_project("rated")
    with tracing_context(enabled=True, client=langsmith, project_name="rated"):
        run("rate", names, calculator="rated")
    with closing(names["client"]) as client:
        client.flush()
        [found] = client.list_feedback(run_ids=[names["run_id"]])
        assert (found.key, found.score) == ("user_score", 1)


def test_the_run_store_keeps_versions(names):
    run("store", names)
    with closing(names["client"]):
        [example] = names["examples"]
        assert example.inputs == {"tea": "white"}
        assert names["client"].read_dataset_version(dataset_name="teas", tag="prod").as_of


def test_each_method_makes_its_lines(names, langsmith, liked):
    run("methods", names)
    assert list(names["pairs"]) == []
    assert set(names["pairs"].rejected_by_reason()) == {"no_pair"}
    every, last, calls, none = (
        list(names[name].invoke(liked))
        for name in ("chats", "last_answers", "calls", "completions")
    )
    # Half of the app's chats call legacy functions.
    assert len(every) == len(last) == 2 * len(calls) > 10
    assert none == []
    thumbs = names["thumbs"]
    assert [line["label"] for line in thumbs].count(True) == thumbs.notes["desirable"] > 10
    assert thumbs.notes["undesirable"] > 0
    run("stars", names)
    judged = Convert(method="unpaired_preference").invoke(names["judged"])
    assert len(list(judged)) == judged.notes["undesirable"] == len(list(thumbs))


def test_what_is_counted_and_taken_out(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = [HumanMessage("I am ada@example.com"), AIMessage("Hello")]
    key = AIMessage("Use AKIAIOSFODNN7" + "EXAMPLE")
    sessions = [{"messages": said}, {"messages": said}, {"messages": [HumanMessage("Key?"), key]}]
    names = {"loader": RunnableLambda(lambda _: sessions)}
    run("privacy", names)
    texts = [each["content"] for line in names["examples"] for each in line["messages"]]
    assert texts == ["I am <email>", "Hello", "Key?", "Use [SECRET_DETECTED]"]
    run("tokens", names)
    assert int(capsys.readouterr().out) > 50
    nano = Path(langchain_finetune.__file__).parent / "local" / "nano"
    names["tokenizer"] = AutoTokenizer.from_pretrained(nano)
    run("unsloth_data", names)
    assert len(names["texts"]) == 3
    assert "ada@example.com" in names["texts"][0]


def test_the_examples_of_split_and_report_run(names, capsys):
    names["loader"] = LangSmithRunChatLoader(project_name="calculator")
    run("split", names)
    assert 0 < len(list(names["examples"].part("test"))) < len(list(names["examples"])) / 3
    run("report", names)
    assert f"\n{names['report'].kept} {{" in capsys.readouterr().out
    assert "<h1>" in Path("report.html").read_text()
    run("budget", names)
    assert names["fine_tune"].prices == {"my-base": 4.0}


def test_models_are_compared(names, liked, engine, monkeypatch, capsys):
    monkeypatch.setenv("OPENAI_BASE_URL", engine.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", engine.api_key.get_secret_value())
    names |= {"loader": liked, "tuned": ChatOpenAI(model="nano", max_tokens=20)}
    run("compare", names, **{"gpt-4.1": "gpt-3.5-turbo"})
    assert capsys.readouterr().out.splitlines()[-1] in {"pass", "fail", "too_few"}
    assert {case.inputs["messages"][0]["role"] for case in names["result"].cases} == {"system"}
    names |= {"tools": [Calculator], "old_model": names["tuned"]}
    run("compare an agent", names)
    assert names["result"].differences
    run("compare evaluators", names)
    assert names["polite"](AIMessage("Please").model_dump())
    names["Calculator"] = Calculator
    run("compare structured output", names)
    data = names["examples"].part("test")
    result = names["compare"].invoke({"model": names["tuned"], "data": data})
    assert [each.evaluator for each in result.differences] == ["same_fields"]
    run("compare evaluators of an agent", names)
    result = names["compare"].invoke({"model": names["tuned"], "data": data})
    assert [each.evaluator for each in result.differences] == ["short", "asks_once"]
    assert result.failed_evaluations == {}


def test_short_examples_run():
    assert run("dataset")["loader"].splits == ["base"]
    assert run("community")["convert_messages_for_finetuning"]
    for names in (run("pipeline"), run("concepts"), run("community_chain")):
        assert [type(step).__name__ for step in names["chain"].steps][1:] == ["Convert", "FineTune"]
    assert run("hosted")["fine_tune"].hyperparameters.n_epochs == 3
    azure = run("azure", {"get_token": lambda: "token"})["fine_tune"]
    assert (azure.engine, azure.deployment.name) == ("azure", "calculator")
    assert run("tinker")["fine_tune"].engine == "tinker"
    fireworks = run("fireworks")["fine_tune"]
    assert (fireworks.engine, fireworks.deployment.name) == ("fireworks", "calculator")
    assert run("nebius")["fine_tune"].deployment.name == "calculator"
    assert run("together")["fine_tune"].deployment.idle_minutes == 30
    assert run("train_lora")["fine_tune"].hyperparameters.lora_rank == 16
    assert run("train_qlora")["fine_tune"].hyperparameters.load_in_4bit is True
    assert run("unsloth_base")["fine_tune"].model == "merged/"


@pytest.mark.filterwarnings("ignore:`langchain-community` is being sunset:DeprecationWarning")
def test_a_chat_loader_of_the_community_goes_on_the_left(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = ["Bob: Hi", "Ada: Hello Bob", "Bob: How are you?", "Ada: Well"]
    Path("chat.txt").write_text(
        "".join(f"[11/28/26, 10:0{n}:00 AM] {line}\n" for n, line in enumerate(lines))
    )
    chain = run("speakers")["chain"]
    [example] = (chain.steps[0] | chain.steps[1] | chain.steps[2]).invoke({})
    assert [message["role"] for message in example["messages"]] == ["user", "assistant"] * 2


def test_the_examples_with_files_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    model = FakeListChatModel(responses=["8"], name="ChatOpenAI")
    names = {"app": RunnableLambda(lambda asked: asked["input"]) | model}
    run("recorder", names)
    first = list(names["examples"])
    Path("runs.jsonl").unlink()
    run("record", names)
    [example] = names["examples"]
    assert [example] == first
    assert [message["content"] for message in example["messages"]] == ["What's 56/7?", "8"]
    for folder in ("export", "runs/today"):
        Path(folder).mkdir(parents=True)
    Path("export/a.jsonl").write_bytes(Path("runs.jsonl").read_bytes())
    Path("runs/today/b.jsonl.gz").write_bytes(gzip.compress(Path("runs.jsonl").read_bytes()))
    run("files", names)
    assert capsys.readouterr().out == "2 {} Counter()\n"
    names["loader"] = names["loader"].model_copy(update={"where": None})
    run("workers", names)
    assert Path("train.jsonl").read_bytes().count(b"56/7") == 2
    assert run("worker_function")["redact"]("to ada@example.com") == "to <email>"
    run("checks", names)
    assert capsys.readouterr().out.splitlines() == [
        "Findings(errors={}, warnings={}, fixed={})",
        "False 2 {'invalid_n_examples': 1}",
    ]


def test_commands_with_files_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    message = {"messages": [{"role": "user", "content": "Hi"}]}
    message["messages"].append({"role": "assistant", "content": "Hello"})
    Path("export").mkdir()
    for path in ("runs.jsonl", "export/a.jsonl"):
        Path(path).write_text(f"{json.dumps(message)}\n" * 12)
    assert "12" in run_sh("file_commands")
    assert "12" in run_sh("check_commands")


def test_the_environment_is_set(tmp_path):
    (tmp_path / "api_key").write_text("lcft-key")
    run_sh("point_at", LCFT_HOME=str(tmp_path))


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("README.md", r"^git clone https://\S+ && cd langchain-finetune$"),
        ("README.md", r"^uv pip install --torch-backend cpu '\.\[local\]'$"),
        ("docs/quickstart.md", r"^git clone https://\S+ && cd langchain-finetune$"),
        ("docs/quickstart.md", r"^uv pip install --torch-backend cpu '\.\[local\]'$"),
        ("docs/how-to/langsmith.md", r'^## Agents$[^#]*create_agent[^#]*calls="last"\)$'),
        ("docs/how-to/langsmith.md", r"^export LANGSMITH_ENDPOINT=\S+\nexport LANGSMITH_API_KEY="),
        ("docs/how-to/methods.md", r"`dpo` has two terms: DPO's own, and the supervised loss"),
        ("docs/how-to/jobs.md", r"`ipywidgets` is not needed"),
    ],
)
def test_what_new_users_had_to_guess_is_written(name, written):
    assert re.search(written, (ROOT / name).read_text(), re.MULTILINE)


def test_links_of_the_readme_lead_somewhere():
    """Those of `docs/` are checked by MkDocs."""
    for target in re.findall(r"\]\(([^)]+)\)", TEXT[ROOT / "README.md"]):
        page, _, anchor = target.partition("#")
        assert target.startswith("https://") or (ROOT / page).exists(), target
        assert not anchor or f"## {anchor}" in (ROOT / page).read_text().lower(), target
    assert len(TEXT[ROOT / "README.md"].encode()) <= 9000


def test_contributing_says_where_all_is():
    text = TEXT[ROOT / "CONTRIBUTING.md"]
    package = docs_hook.PACKAGE
    places = [*package.iterdir(), *(package / "local").iterdir()]
    rooms = [
        f"`{path.relative_to(package)}/`" for path in places if (path / "__init__.py").exists()
    ]
    assert len(rooms) > 12
    assert [room for room in rooms if room not in text] == []
    modules = [path.name for path in package.glob("[a-z]*.py")]
    assert [name for name in modules if f"`{name}`" not in text] == []
    scripts = [path.name for path in (ROOT / "scripts").iterdir() if path.is_file()]
    assert [name for name in scripts if "." not in name and f"scripts/{name}" not in text] == []


def test_every_command_is_named_and_no_other():
    assert {shlex.split(line, comments=True)[1] for line in COMMANDS} == set(CALLED)


def test_the_reference_has_every_option():
    reference = docs_hook.command_line()
    groups = [CALLED, *(each.commands for each in CALLED.values() if hasattr(each, "commands"))]
    for name, command in {
        name: each
        for group in groups
        for name, each in group.items()
        if not hasattr(each, "commands")
    }.items():
        section = re.search(rf"(?ms)^##+ .*\b{name}$(.*?)(?=^##|\Z)", reference)[1]
        for option in getattr(command, "params", ()):
            assert option.name == "help" or option.opts[0].upper() in section.upper()


def test_the_reference_has_every_hyperparameter_variable_engine_and_extra():
    assert all(
        f"| `{name}` |" in docs_hook.hyperparameters() for name in Hyperparameters.model_fields
    )
    named = set()
    for path in docs_hook.PACKAGE.rglob("*.py"):
        named |= set(re.findall(r'"(LCFT_\w+)"', path.read_text()))
    assert named <= set(docs_hook.variables())
    assert len(named) == 14
    assert all(f"| `{name}` |" in docs_hook.methods() for name in (*get_args(LineKind), *METHODS))
    assert all(f"| `{name}` |" in docs_hook.engines() for name in ENGINES)
    listed = re.findall(r"^\| `(\w+)` \| (.+) \|$", docs_hook.extras(), re.MULTILINE)
    assert dict(listed).keys() == {
        *("local", "files", "community", "dedup", "gguf", "langserve", "all"),
        *("langfuse", "mlflow", "phoenix", "opik", "together", "tinker", "fireworks"),
        *("postgres", "qlora", "ray"),
    }


def test_an_engine_takes_its_module_and_a_line(monkeypatch):
    engine = run("add an engine")["ENGINE"]
    monkeypatch.setitem(ENGINES, engine.name, engine)
    monkeypatch.delenv(engine.key_variable, raising=False)
    job = Job(job_id="ftjob-1", engine=engine.name, base_model="m")
    with pytest.raises(EngineAuthenticationError, match=f"set {engine.key_variable}"):
        job.status()
    assert engine.profile.name == engine.name
    assert f"| `{engine.name}` | {engine.summary} |" in docs_hook.engines()
    assert Convert(rules=engine.name).rules == engine.name


def test_the_reference_has_all_that_the_package_exports():
    shown = re.findall(r"^::: langchain_finetune\.(\w+)$", "\n".join(TEXT.values()), re.MULTILINE)
    public = set(langchain_finetune.__all__)
    errors = {name for name in public if name.endswith(("Error", "Warning"))}
    assert set(shown) - {"errors"} == public - errors
    assert len(shown) == len(set(shown))


@pytest.mark.parametrize("line", COMMANDS)
def test_the_options_of_commands_exist(line):
    """Each line is parsed as it stands; that the commands work is tested elsewhere."""
    _, name, *arguments = shlex.split(line, comments=True)
    command = CALLED[name]
    while hasattr(command, "commands") and arguments:
        command = command.commands[arguments.pop(0)]
    assert command.make_context("langchain-finetune", arguments).params
