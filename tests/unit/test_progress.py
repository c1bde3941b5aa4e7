"""Progress is a bar where one can move, and plain lines where not."""

import io
import sys
from importlib import import_module

import pytest
from langchain_core.callbacks import dispatch_custom_event
from langchain_core.runnables import RunnableLambda
from rich.console import Console

from langchain_finetune import RichProgress
from langchain_finetune.convert.progress import ConversionProgress
from langchain_finetune.engines.jobs import JobProgress
from langchain_finetune.finetune.callbacks import PROGRESS_EVENT


def shown(**settings):
    """Return what is written while a job of 100 steps goes by."""
    out = io.StringIO()

    def job(_, config):
        def tell(status, **figures):
            news = {"job_id": "j", "status": status, "message": None, "data": figures}
            dispatch_custom_event(PROGRESS_EVENT, news, config=config)

        tell("queued")
        tell("queued")
        for step in range(1, 101):
            tell("running", step=step, total_steps=100, train_loss=1 / step)
        tell("succeeded")

    with RichProgress(Console(file=out, width=100, **settings)) as progress:
        RunnableLambda(job).invoke(None, {"callbacks": [progress]})
    assert progress.losses == [(step, 1 / step) for step in range(1, 101)]
    assert progress.job_id == "j"
    return out.getvalue()


def test_a_log_gets_a_line_for_each_change_and_each_tenth():
    lines = shown(force_terminal=False).splitlines()
    assert lines[0] == "j: queued"
    assert lines[1] == "j: running, step 1 of 100, loss 1.0000"
    assert lines[2] == "j: running, step 10 of 100, loss 0.1000"
    assert lines[-1] == "j: succeeded"
    assert len(lines) == 13


@pytest.mark.parametrize("terminal", [False, True])
def test_a_warning_of_the_engine_stays_as_a_line_and_comes_once(terminal):
    out = io.StringIO()
    console = Console(file=out, width=100, force_terminal=terminal, color_system=None)
    gone = "The host is unavailable (ConnectError)"
    with RichProgress(console) as progress:
        for times in range(2):
            progress.show_job(JobProgress("j", "running", "Training", {}, f"a{times}"))
            for again in range(3):
                progress.show_job(JobProgress("j", "queued", gone, {}, f"{times}{again}", "warn"))
                progress.show_job(JobProgress("j", "queued"))
        progress.show_job(JobProgress("j", "running", "The memory is short.", level="warn"))
    text = out.getvalue()
    assert text.count(f"j: {gone}\n") == 2
    assert text.count("j: The memory is short.\n") == 1


def test_a_terminal_gets_a_bar():
    text = shown(force_terminal=True)
    assert "100/100" in text
    assert "j: succeeded" in text


def test_a_log_says_nothing_twice():
    out = io.StringIO()
    with RichProgress(Console(file=out, width=100, force_terminal=False)) as progress:
        for chats in range(100):
            progress.show_conversion(ConversionProgress(chats, chats, chats / 50))
        progress.show_conversion(ConversionProgress(100, 90, 2.0, ended=True))
        for step in range(1, 101):
            figures = {"step": step, "total_steps": 100, "train_loss": 1 / step}
            progress.show_job(JobProgress("j", "running", data=figures))
            # The engine tells more of a step, such as that a checkpoint was kept.
            progress.show_job(JobProgress("j", "running", "Kept a checkpoint."))
    lines = out.getvalue().splitlines()
    assert lines[0] == "Converted 100 chats, 90 examples (50 chats/s)"
    assert len(lines) == len(set(lines)) == 12


def test_a_long_conversion_is_told_of_every_ten_seconds():
    out = io.StringIO()
    with RichProgress(Console(file=out, width=100, force_terminal=False)) as progress:
        for half_seconds in range(70):
            progress.show_conversion(ConversionProgress(half_seconds, 1, half_seconds / 2))
    assert [line.split()[3] for line in out.getvalue().splitlines()] == ["20", "40", "60"]


def test_a_notebook_without_ipywidgets_gets_one_line_that_changes(tmp_path, monkeypatch):
    (tmp_path / "IPython").mkdir()
    (tmp_path / "IPython" / "__init__.py").write_text("")
    # As IPython's own: `display` returns a handle where it is given an id.
    (tmp_path / "IPython" / "display.py").write_text(
        "shown = []\n"
        "class Handle:\n"
        "    def update(self, data, raw=False):\n"
        "        shown[-1].append(data['text/plain'])\n"
        "def display(data, raw=False, display_id=None):\n"
        "    shown.append([data['text/plain']])\n"
        "    return Handle()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    out = io.StringIO()
    with RichProgress(Console(file=out, force_jupyter=True)) as progress:
        progress.show_conversion(ConversionProgress(0, 0, 0.0))
        progress.show_conversion(ConversionProgress(10, 9, 2.0, ended=True))
        progress.show_job(JobProgress("ft:two:", "running", data={"step": 1, "total_steps": 2}))
    [line] = import_module("IPython.display").shown
    assert line == [
        "Reading and converting: 0 chats, 0 examples",
        "Converted 10 chats, 9 examples (5 chats/s)",
        "ft:two:: running, 1/2",
    ]
    assert out.getvalue() == ""
    for name in ("IPython.display", "IPython"):
        sys.modules.pop(name)
