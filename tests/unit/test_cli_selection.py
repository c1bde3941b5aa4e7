"""The command line's options select the same chats as a loader's arguments."""

import json
from importlib.metadata import version

import pytest
import typer

from langchain_finetune import (
    Hyperparameters,
    LangSmithDatasetChatLoader,
    LangSmithRunChatLoader,
    LoadError,
    RunFileChatLoader,
    RunQuery,
)
from langchain_finetune.cli.hyperparameter_options import hyperparameter_options
from langchain_finetune.cli.options import chat_loader
from support.command_line import runs_command


def test_options_become_a_query(tmp_path):
    kept = tmp_path / "query.json"
    kept.write_text(RunQuery(project_name="app", tags="a", limit=5).model_dump_json())
    loader = chat_loader(
        query=kept,
        feedback=["user_score>0", "judge >= 0.5", "label=good", "seen"],
        metadata=["tenant=acme", "rule=a=b"],
        since="2026-11-01",
        limit=7,
        last_calls=True,
    )
    assert isinstance(loader, LangSmithRunChatLoader)
    assert loader.calls == "last"
    assert loader.query == RunQuery(
        project_name="app",
        tags="a",
        feedback=[
            {"key": "user_score", "above": 0},
            {"key": "judge", "at_least": 0.5},
            {"key": "label", "value": "good"},
            {"key": "seen"},
        ],
        metadata={"tenant": "acme", "rule": "a=b"},
        start_time="2026-11-01",
        limit=7,
    )


def test_several_projects_a_dataset_and_files():
    assert chat_loader(project=["a", "b"]).query.project_names == ("a", "b")
    assert isinstance(chat_loader(dataset="d"), LangSmithDatasetChatLoader)
    files = chat_loader(file=["x.jsonl", "y/"])
    assert isinstance(files, RunFileChatLoader)
    assert files.path == ["x.jsonl", "y/"]
    for source in ({"project": ["a"]}, {"file": ["x.jsonl"]}):
        assert not chat_loader(**source).internal_calls
        assert chat_loader(**source, internal_calls=True).internal_calls


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"project": ["a"], "dataset": "d"},
        {"file": ["a"], "limit": 3},
        {"dataset": "d", "last_calls": True},
        {"dataset": "d", "internal_calls": True},
        {"project": ["a"], "metadata": ["tenant"]},
        {"project": ["a"], "feedback": ["user_score>good"]},
    ],
)
def test_what_does_not_go_together_is_a_usage_error(options):
    with pytest.raises(typer.BadParameter):
        chat_loader(**options)


def test_a_wrong_condition_or_file_is_one_sentence(tmp_path):
    with pytest.raises(LoadError, match="start_time"):
        chat_loader(project=["a"], since="yesterday")
    broken = tmp_path / "query.json"
    broken.write_text('{"projekt": "a"}')
    with pytest.raises(LoadError, match=r"query\.json is not .* argument 'projekt'; did you mean"):
        chat_loader(query=broken)


def test_hyperparameters_are_options():
    given = hyperparameter_options(
        n_epochs=3, lora_targets="q_proj, v_proj", packing=False, beta=None
    )
    assert given == Hyperparameters(n_epochs=3, lora_targets=("q_proj", "v_proj"), packing=False)
    one = hyperparameter_options(lora_targets="q_proj")
    assert one == Hyperparameters(lora_targets=("q_proj",))
    assert (
        hyperparameter_options.__signature__.parameters.keys()
        == Hyperparameters.model_fields.keys()
    )
    with pytest.raises(typer.BadParameter, match="beta must be at most 2"):
        hyperparameter_options(beta=3.0)


def test_options_of_run_have_each_hyperparameter_and_epochs(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "200")
    told = runs_command(monkeypatch, capsys)("run", "--help").out
    for name in Hyperparameters.model_fields.keys() - {"n_epochs"}:
        assert f"--{name.replace('_', '-')}" in told
    assert "--epochs" in told
    assert "Conditions on the runs of a project" in told


def test_last_calls_fold_an_agents_calls_in_a_file_in_any_order(tmp_path):
    def call(number, *texts, trace="t"):
        roles = ["user", "assistant"] * 3
        chat = [{"role": r, "content": c} for r, c in zip(roles, texts, strict=False)]
        return {
            "id": f"00000000-0000-0000-0000-00000000000{number}", "trace_id": trace, "name": "x",
            "run_type": "llm", "inputs": {"messages": chat[:-1]}, "outputs": {"message": chat[-1]},
        }  # fmt: skip

    runs = [
        call(1, "Hi", "Hello"),
        call(2, "Hi", "Hello", "Bye", "Bye!"),
        call(3, "Hi", "Hello", trace="other"),
        call(4, "Hi", "Hello", "Bye", "Bye!"),
        call(5, "Hi", "Good day"),
    ]
    for order in (runs, runs[::-1]):
        (tmp_path / "runs.jsonl").write_text("".join(json.dumps(run) + "\n" for run in order))
        sessions = chat_loader(file=[str(tmp_path / "runs.jsonl")], last_calls=True).invoke({})
        kept = {session["source"]["run_id"][-1] for session in sessions}
        assert {"3", "5"} < kept
        assert len(kept & {"2", "4"}) == 1
        assert len(kept) == 3
        assert sessions.skipped_by_reason() == {"folded": 2}


def test_the_version_is_told(monkeypatch, capsys):
    told = runs_command(monkeypatch, capsys)("--version")
    assert (told.code, told.out) == (0, f"langchain-finetune {version('langchain-finetune')}\n")


def test_check_says_what_a_file_is_that_is_not_for_training(monkeypatch, capsys, tmp_path):
    command = runs_command(monkeypatch, capsys)
    files = {
        "runs.jsonl": (
            json.dumps({"id": "1", "inputs": {}, "outputs": {}}),
            "makes examples of runs",
        ),
        "sources.jsonl": (json.dumps({"part": "train", "line": 1, "id": "x"}), "train.jsonl"),
        "list.json": ("[]", "one JSON list"),
        "x.parquet": ("PAR1", "is a Parquet or compressed file"),
    }
    for name, (content, said) in files.items():
        (tmp_path / name).write_text(content + "\n")
        assert said in command("check", tmp_path / name).error
    line = {"messages": [{"role": "user", "content": "Hi"}]}
    (tmp_path / "one.jsonl").write_text(json.dumps(line))
    told = command("check", tmp_path / "one.jsonl")
    assert told.code == 1
    assert "1 example, 1 with errors" in told.out
    assert "1 examples" not in told.out
