"""Progress is a bar where one can move, and plain lines where not."""

import io

from langchain_core.callbacks import dispatch_custom_event
from langchain_core.runnables import RunnableLambda
from rich.console import Console

from langchain_finetune import RichProgress
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


def test_a_terminal_gets_a_bar():
    text = shown(force_terminal=True)
    assert "100/100" in text
    assert "j: succeeded" in text
