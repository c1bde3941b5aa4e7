"""`jobs`: list, watch, pause, resume and cancel fine-tuning jobs."""

import datetime as dt
from collections import defaultdict
from dataclasses import asdict
from functools import partial
from typing import Annotated, Any

import typer
from rich.console import Console

from langchain_finetune.cli.job_options import AddressOption, connection_of, selected_job
from langchain_finetune.cli.options import EngineChoice, with_options
from langchain_finetune.cli.output import AsJson, print_json, print_result, print_rows
from langchain_finetune.engines import engine_of
from langchain_finetune.engines.base import same_address
from langchain_finetune.engines.jobs import JobEvent, JobStatus
from langchain_finetune.engines.local import find_engine
from langchain_finetune.errors import EngineError, FineTuningError
from langchain_finetune.finetune.callbacks import PROGRESS_EVENT, RichProgress
from langchain_finetune.finetune.job import DAY_S, Job
from langchain_finetune.finetune.job_queries import statuses_of
from langchain_finetune.finetune.ledger import Entry, Ledger
from langchain_finetune.home import home_path

_LOCAL = ""

Statuses = dict[tuple[str, str], JobStatus | None]
"""Statuses by the engine's address and the job's id; None for a job that no longer exists."""


def list_jobs(
    engine: Annotated[EngineChoice | None, typer.Option(help="Only jobs of this engine.")] = None,
    base_url: AddressOption = None,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of jobs.")] = 20,
    as_json: AsJson = False,  # noqa: FBT002 - an option
) -> None:
    """List the jobs that were submitted from this machine, newest first."""
    entries = [
        entry
        for entry in Ledger(home_path()).entries()
        if engine in {None, entry.engine}
        and (base_url is None or same_address(entry.base_url, base_url))
    ][:limit]
    statuses, errors = _statuses(entries, base_url)
    rows = [_row(entry, statuses) for entry in entries]
    print_rows(rows, as_json=as_json, none="No jobs were submitted from this machine.")
    for error in errors:
        Console(stderr=True).print(f"Note: {error}", markup=False, highlight=False, soft_wrap=True)


def _statuses(entries: list[Entry], base_url: str | None) -> tuple[Statuses, list[FineTuningError]]:
    """Return the statuses of jobs, and the errors of engines that did not respond."""
    accounts: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in entries:
        accounts[_account(entry)].append(entry)
    statuses: Statuses = {}
    errors: list[FineTuningError] = []
    for (_, address), jobs in accounts.items():
        ids = [entry.job_id for entry in jobs if entry.job_id]
        try:
            if address == _LOCAL and find_engine(home_path()) is None:
                raise EngineError(
                    "The embedded engine is not running, so the status of its jobs is unknown; "
                    "`jobs show` starts it."
                )
            known = connection_of(jobs[0], base_url).run(partial(statuses_of, ids))
        except FineTuningError as error:
            errors.append(error)
        else:
            statuses |= {(address, job_id): status for job_id, status in known.items()}
    return statuses, errors


def _account(entry: Entry) -> tuple[str, str]:
    # The embedded engine's address may change when it restarts.
    return entry.engine, _LOCAL if entry.engine == "local" else entry.base_url


def _row(entry: Entry, statuses: Statuses) -> dict[str, Any]:
    address, job_id = _account(entry)[1], entry.job_id or ""
    status = statuses.get((address, job_id))
    if entry.job_id is None:
        state = "may have been created: run the same chain again"
    elif status is not None:
        state = status.status
    else:
        state = "deleted" if (address, job_id) in statuses else "unknown"
    begun = dt.datetime.fromtimestamp(entry.begun_at, dt.UTC)
    return {
        "job_id": entry.job_id,
        "status": state,
        "fine_tuned_model": status and status.fine_tuned_model,
        "base_model": entry.base_model,
        "engine": entry.engine,
        "base_url": address or None,
        "begun_at": begun.isoformat(timespec="seconds"),
    }


_EVENTS = 20
"""Number of events that are shown; JSON output contains all."""

app = typer.Typer(no_args_is_help=True)
app.command("list")(list_jobs)


@app.command()
@with_options(selected_job, into="job")
def show(*, job: Job, as_json: AsJson = False) -> None:
    """Show a job's status, events, metrics and checkpoints."""
    can = engine_of(job.engine).capabilities
    status = job.status()
    events = job.events() if "events" in can else []
    metrics = job.metrics() if "metrics" in can else []
    checkpoints = job.checkpoints() if "checkpoints" in can else []
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
    messages = [event for event in events if event.type != "metrics"]
    print_rows([_event(event) for event in messages[-_EVENTS:]], as_json=False, none="No events.")
    if metrics:
        typer.echo(f"Metrics of {len(metrics)} steps; the last: {_format_metrics(metrics[-1])}.")
    for checkpoint in checkpoints:
        typer.echo(f"Checkpoint at step {checkpoint.step}: {checkpoint.model}")


@app.command()
@with_options(selected_job, into="job")
def watch(
    *,
    job: Job,
    timeout: Annotated[
        float, typer.Option(min=0.0, help="Seconds to wait; the job continues afterwards.")
    ] = DAY_S,
    as_json: AsJson = False,
) -> None:
    """Show a job's progress until it has ended. Exits with 1 if it did not produce a model."""
    with RichProgress(Console(stderr=True, quiet=as_json)) as progress:
        try:
            status = job.wait(
                timeout_s=timeout,
                on_progress=lambda update: progress.on_custom_event(PROGRESS_EVENT, asdict(update)),
            )
        except KeyboardInterrupt:
            raise FineTuningError(f"Stopped watching; job {job.job_id} continues.") from None
    print_result(asdict(status), as_json=as_json)


@app.command()
@with_options(selected_job, into="job")
def cancel(*, job: Job, as_json: AsJson = False) -> None:
    """Cancel a job, unless it has already ended."""
    print_result(asdict(job.cancel()), as_json=as_json)


@app.command()
@with_options(selected_job, into="job")
def pause(*, job: Job, as_json: AsJson = False) -> None:
    """Pause a job, if the engine supports it."""
    print_result(asdict(job.pause()), as_json=as_json)


@app.command()
@with_options(selected_job, into="job")
def resume(*, job: Job, as_json: AsJson = False) -> None:
    """Resume a paused job, if the engine supports it."""
    print_result(asdict(job.resume()), as_json=as_json)


def _event(event: JobEvent) -> dict[str, str]:
    when = dt.datetime.fromtimestamp(event.created_at, dt.UTC)
    return {"at": when.isoformat(timespec="seconds"), "level": event.level, "event": event.message}


def _format_metrics(step: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in step.items())
