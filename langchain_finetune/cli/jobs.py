"""`jobs`: looking at a job, waiting for it, steering it."""

import datetime as dt
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console

from langchain_finetune.cli.job_list import list_jobs
from langchain_finetune.cli.job_options import found
from langchain_finetune.cli.output import AsJson, print_json, print_result, print_rows
from langchain_finetune.cli.sharing import shares
from langchain_finetune.errors import FineTuningError
from langchain_finetune.finetune.handle import DAY_S, Job
from langchain_finetune.finetune.job_status import JobEvent, JobProgress
from langchain_finetune.finetune.progress import PROGRESS_EVENT, RichProgress

_EVENTS = 20
"""How many events people are shown; programs get all."""

app = typer.Typer(no_args_is_help=True)
app.command("list")(list_jobs)


@app.command()
@shares(found, into="job")
def show(*, job: Job, as_json: AsJson = False) -> None:
    """Show how a job stands, what has happened to it, and its figures."""
    status, events, metrics = job.status(), job.events(), job.metrics()
    checkpoints = job.checkpoints()
    if as_json:
        print_json(
            {
                "job": job.model_dump(),
                "status": asdict(status),
                "events": [asdict(event) for event in events],
                "metrics": metrics,
                "checkpoints": [asdict(checkpoint) for checkpoint in checkpoints],
            }
        )
        return
    print_result({**job.model_dump(), **asdict(status)}, as_json=False)
    said = [event for event in events if event.type != "metrics"]
    print_rows([_event(event) for event in said[-_EVENTS:]], as_json=False, none="No events.")
    if metrics:
        typer.echo(f"Figures of {len(metrics)} steps; the last: {_figures(metrics[-1])}.")
    for kept in checkpoints:
        typer.echo(f"Checkpoint at step {kept.step}: {kept.model}")


@app.command()
@shares(found, into="job")
def watch(
    *,
    job: Job,
    timeout: Annotated[
        float, typer.Option(min=0.0, help="Seconds to wait; the job goes on afterwards.")
    ] = DAY_S,
    as_json: AsJson = False,
) -> None:
    """Show how a job goes on until it has ended; exit code 1 if it gave no model."""
    with RichProgress(Console(stderr=True, quiet=as_json)) as progress:

        def tell(news: JobProgress) -> None:
            progress.on_custom_event(PROGRESS_EVENT, asdict(news))

        try:
            status = job.wait(timeout_s=timeout, on_progress=tell)
        except KeyboardInterrupt:
            raise FineTuningError(f"Stopped watching; job {job.job_id} goes on.") from None
    print_result(asdict(status), as_json=as_json)


@app.command()
@shares(found, into="job")
def cancel(*, job: Job, as_json: AsJson = False) -> None:
    """Cancel a job; one that has ended stays as it is."""
    print_result(asdict(job.cancel()), as_json=as_json)


@app.command()
@shares(found, into="job")
def pause(*, job: Job, as_json: AsJson = False) -> None:
    """Pause a job, where the engine can."""
    print_result(asdict(job.pause()), as_json=as_json)


@app.command()
@shares(found, into="job")
def resume(*, job: Job, as_json: AsJson = False) -> None:
    """Let a paused job go on."""
    print_result(asdict(job.resume()), as_json=as_json)


def _event(event: JobEvent) -> dict[str, str]:
    when = dt.datetime.fromtimestamp(event.created_at, dt.UTC)
    return {"at": when.isoformat(timespec="seconds"), "level": event.level, "event": event.message}


def _figures(step: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in step.items())
