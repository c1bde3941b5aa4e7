"""Brings the weights of a fine-tuned model home. No I/O but for the folder."""

import tempfile
from functools import partial
from pathlib import Path

from langchain_finetune.durable import flush
from langchain_finetune.engines.flow import Do, Flow, ask
from langchain_finetune.errors import FineTuningError
from langchain_finetune.finetune.connection import Account
from langchain_finetune.finetune.job_queries import finished_model, job_status


def download_weights(
    job_id: str, checkpoint: int | None, path: str | Path, account: Account
) -> Flow[Path]:
    """Write a job's weights to a folder, which appears when it is complete; return its path.

    Raises:
        EngineError: The engine does not hand out weights, or they came incomplete.
        JobError: The job does not have this model (yet).
        FineTuningError: The folder is not empty.
    """
    account.engine.require("weights")
    target = Path(path).expanduser().absolute()
    yield from finished_model(job_id, checkpoint, account)
    status = yield from job_status(job_id, account)

    def attempt() -> Flow[None]:
        fresh: tempfile.TemporaryDirectory[str] = yield Do(partial(_fresh, target))
        try:
            folder = Path(fresh.name, "model")
            yield Do(folder.mkdir)
            yield from account.api.weights(status, checkpoint, folder)
            yield Do(partial(_placed, folder, target))
        finally:
            fresh.cleanup()

    yield from ask(attempt, account.engine.pace.retry)
    return target


def _fresh(target: Path) -> "tempfile.TemporaryDirectory[str]":
    """Return a folder beside the target, readable only by its owner."""
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise FineTuningError(f"{target} exists and is not empty: name a new folder.")
    target.parent.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-")


def _placed(folder: Path, target: Path) -> None:
    # An empty folder is replaced.
    folder.replace(target)
    flush(target.parent)
