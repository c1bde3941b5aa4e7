"""`export`: the runs of a real engine as files, by the command line."""

import pytest

from langchain_finetune import Convert, RunFileChatLoader
from support.command_line import runs_command


@pytest.fixture
def command(engine, monkeypatch, capsys):
    """Run a command in the engine's home, and in this process."""
    return runs_command(monkeypatch, capsys)


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_runs_are_exported_and_learnt_from(command, traffic, langsmith, tmp_path, kind):
    langsmith.flush()
    made = command("export", "--project", "calculator", "--format", kind, "--json").json
    examples = (RunFileChatLoader(made["folder"]) | Convert()).invoke({})
    assert 0 < len(list(examples)) < made["runs"]
    said = command(
        *("export", "--project", "calculator", "--format", kind, "--out", tmp_path / "files"),
        *("--filter", 'eq(run_type, "llm")'),
    )
    assert said.code == 0
    assert str(tmp_path / "files" / "export_id=") in said.out.replace("\n", "")
    moved = (RunFileChatLoader(tmp_path / "files") | Convert()).invoke({})
    assert list(moved) == list(examples)


def test_what_can_not_be_exported_is_one_sentence(command, traffic):
    assert "has no project 'none'" in command("export", "--project", "none").error
    wrong = command("export", "--project", "calculator", "--filter", "eq(")
    assert "filter is malformed" in wrong.error
    late = command("export", "--project", "calculator", "--since", "noon")
    assert "start_time" in late.error
