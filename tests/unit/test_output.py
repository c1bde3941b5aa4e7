"""What the commands print of users' texts is what it is: no markup, no emoji, no control codes."""

import ast
import io
from pathlib import Path

import pytest
from rich._emoji_codes import EMOJI
from rich.console import Console

from langchain_finetune import RichProgress, cli
from langchain_finetune.cli import output
from langchain_finetune.engines.jobs import JobProgress
from support.command_line import runs_command

HOSTILE = [
    "langchain-finetune[local]",
    "[bold]x[/bold] [/] [link=http://x]y[/link]",
    "ft:nano:local:two:abc",
    " ".join(f":{code}:" for code in EMOJI),
]


@pytest.mark.parametrize("text", HOSTILE)
def test_each_way_of_printing_leaves_texts_as_they_are(text, capsys):
    output.print_line(text)
    output.print_note(text)
    output.print_result({"field": text}, as_json=False)
    output.print_rows([{"field": text, "other": "x"}], as_json=False, none="")
    output.print_rows([], as_json=False, none=text)
    output.print_drawn(text)
    told = capsys.readouterr()
    assert told.out.count(text) >= 4
    assert " ".join(told.out.split()).count(text) == 5
    assert told.err == f"Note: {text}\n"


def test_control_codes_do_not_reach_the_terminal(capsys):
    output.print_line("a\x1b[31mb\rc\nd")
    output.print_rows([{"field": "a\x1b]0;x\x07\nb"}], as_json=False, none="")
    out = capsys.readouterr().out
    assert not {"\x1b", "\r", "\x07"} & set(out)
    assert out.splitlines()[:2] == ["a\ufffd[31mb\ufffdc", "d"]
    assert len(out.splitlines()) == 4


@pytest.mark.parametrize("text", HOSTILE[:3])
@pytest.mark.parametrize("terminal", [True, False])
def test_a_jobs_progress_leaves_its_id_and_state(text, terminal):
    out = io.StringIO()
    console = Console(file=out, width=300, force_terminal=terminal, color_system=None)
    with RichProgress(console) as progress:
        progress.show_job(JobProgress(text, text))
    assert f"{text}: {text}" in out.getvalue()


@pytest.mark.parametrize("text", HOSTILE[:3])
def test_errors_of_options_and_commands_quote_texts(text, monkeypatch, capsys, tmp_path):
    command = runs_command(monkeypatch, capsys)
    monkeypatch.setenv("LCFT_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "300")
    assert text in command("jobs", "list", "--engine", text).err
    name = text.replace("/", "|")
    assert str(tmp_path / name) in command("check", tmp_path / name).error


def test_commands_print_in_one_way_only():
    """Others would let markup through, sooner or later."""
    for path in Path(cli.__file__).parent.glob("*.py"):
        if path.name in {"output.py", "start.py"}:
            continue
        calls = {
            ast.unparse(node.func)
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call)
        }
        assert not calls & {"Console", "typer.echo", "typer.secho", "print"}, path
