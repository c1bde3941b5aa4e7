"""`jobs`: list, watch, pause, resume and cancel fine-tuning jobs."""

import datetime as dt
from collections import defaultdict
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from langchain_finetune.cli.interrupt import INTERRUPTED
from langchain_finetune.cli.job_options import AddressOption, connection_of, selected_job
from langchain_finetune.cli.model_output import print_model
from langchain_finetune.cli.options import EngineChoice, with_options
from langchain_finetune.cli.output import (
    AsJson,
    console,
    print_json,
    print_line,
    print_note,
    print_result,
    print_rows,
)
from langchain_finetune.display.text import counted
from langchain_finetune.engines import engine_of
from langchain_finetune.engines.access import same_address
from langchain_finetune.engines.jobs import JobStatus, RemoteJob
from langchain_finetune.engines.local import find_engine, stored_jobs
from langchain_finetune.errors import FineTuningError
from langchain_finetune.finetune.callbacks import RichProgress
from langchain_finetune.finetune.connection import Connection
from langchain_finetune.finetune.job import DAY_S, Job
from langchain_finetune.finetune.job_queries import newest_jobs, statuses_of
from langchain_finetune.finetune.ledger import Entry, Ledger
from langchain_finetune.home import home_path

_LOCAL = ""
_UNKNOWN = JobStatus("", "unknown")

Statuses = dict[tuple[str, str], JobStatus | None]
"""Statuses by the engine's address and the job's id; None for a job that no longer exists."""


@dataclass(frozen=True)
class ListedJob:
    """A job of the list: as the ledger has it, or only its engine."""

    job_id: str | None
    engine: str
    address: str
    base_model: str | None
    begun_at: float

    @classmethod
    def of(cls, entry: Entry) -> "ListedJob":
        """Return the job of an entry of the ledger."""
        # The embedded engine's address may change when it restarts.
        address = _LOCAL if entry.engine == "local" else entry.base_url
        return cls(entry.job_id, entry.engine, address, entry.base_model, entry.begun_at)


def list_jobs(
    engine: Annotated[EngineChoice | None, typer.Option(help="Only jobs of this engine.")] = None,
    base_url: AddressOption = None,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of jobs.")] = 20,
    as_json: AsJson = False,  # noqa: FBT002 - an option
) -> None:
    """List this machine's jobs, newest first: those that it submitted, and its own engine's."""
    jobs = [
        ListedJob.of(entry)
        for entry in Ledger(home_path()).entries()
        if engine in {None, entry.engine}
        and (base_url is None or same_address(entry.base_url, base_url))
    ]
    statuses: Statuses = {}
    errors: list[FineTuningError] = []
    if engine in {None, "local"} and base_url is None:
        try:
            own = _own_jobs(limit)
        except FineTuningError as error:
            errors.append(error)
            statuses |= {(_LOCAL, job.job_id or ""): _UNKNOWN for job in jobs}
        else:
            known = {job.job_id for job in jobs}
            # Those that it trains at a host are listed by the engine of that host.
            new = [one for one in own if one.id not in known and one.trained_at is None]
            jobs += [_listed(record) for record in new]
            statuses |= {(_LOCAL, record.id): record.status for record in own}
    jobs = sorted(jobs, key=lambda job: job.begun_at, reverse=True)[:limit]
    _ask_for_statuses(jobs, base_url, statuses, errors)
    rows = [_row(job, statuses) for job in jobs]
    print_rows(rows, as_json=as_json, none="There are no jobs on this machine.")
    for each in errors:
        print_note(str(each))


def _own_jobs(limit: int) -> list[RemoteJob]:
    """Return the embedded engine's newest jobs, and all if it is stopped; it is not started."""
    home = home_path()
    if find_engine(home) is None:
        found = stored_jobs(home)
        if waiting := sum(not record.status.ended for record in found):
            print_note(
                f"The embedded engine is stopped; {counted(waiting, 'unfinished job')} of it will "
                "go on when it is started, such as by `jobs show`."
            )
        return found
    return Connection("local").run(partial(newest_jobs, limit))


def _listed(record: RemoteJob) -> ListedJob:
    begun_at = float(record.status.created_at or 0)
    return ListedJob(record.id, "local", _LOCAL, record.base_model, begun_at)


def _ask_for_statuses(
    jobs: list[ListedJob],
    base_url: str | None,
    statuses: Statuses,
    errors: list[FineTuningError],
) -> None:
    """Add the missing statuses, and the errors of engines that did not respond."""
    accounts: dict[tuple[str, str], list[str]] = defaultdict(list)
    for job in jobs:
        if job.job_id and (job.address, job.job_id) not in statuses:
            accounts[job.engine, job.address].append(job.job_id)
    for (engine, address), ids in accounts.items():
        if address == _LOCAL and find_engine(home_path()) is None:
            # The stopped engine's file has all of its jobs.
            statuses |= {(address, job_id): None for job_id in ids}
            continue
        try:
            connection = connection_of(engine, address, base_url)
            known = connection.run(partial(statuses_of, ids))
        except FineTuningError as error:
            errors.append(error)
        else:
            statuses |= {(address, job_id): status for job_id, status in known.items()}


def _row(job: ListedJob, statuses: Statuses) -> dict[str, Any]:
    status = statuses.get((job.address, job.job_id or ""), _UNKNOWN)
    if job.job_id is None:
        state = "may have been created: run the same chain again"
    else:
        state = status.status if status is not None else "deleted"
    return {
        "job_id": job.job_id,
        "status": state,
        "fine_tuned_model": status and status.fine_tuned_model,
        "base_model": job.base_model,
        "engine": job.engine,
        "base_url": job.address or None,
        "begun_at": _time(job.begun_at),
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
    shown = {
        "job": job.job_id,
        "status": status.status,
        "error": status.error_message,
        "model": status.fine_tuned_model,
        "base model": job.base_model,
        "engine": job.engine,
        "address": job.base_url,
        "examples": job.training_examples,
        "trained tokens": status.trained_tokens,
        "created": _time(status.created_at),
        "finished": _time(status.finished_at),
    }
    print_result(shown, as_json=False)
    print_line("")
    messages = [event for event in events if event.type != "metrics"]
    rows = [{"at": _time(each.created_at), "event": each.message} for each in messages[-_EVENTS:]]
    print_rows(rows, as_json=False, none="No events.")
    print_line("")
    if metrics:
        steps = counted(len(metrics), "step")
        print_line(f"Metrics of {steps}; the last: {_format_metrics(metrics[-1])}.")
    for checkpoint in checkpoints:
        print_line(f"Checkpoint at step {checkpoint.step}: {checkpoint.model}")


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
    with RichProgress(console(err=True, quiet=as_json)) as progress:
        try:
            status = job.wait(timeout_s=timeout, on_progress=progress.show_job)
        except KeyboardInterrupt:
            print_line(f"Error: Stopped watching; job {job.job_id} continues.", err=True)
            raise typer.Exit(INTERRUPTED) from None
    if as_json:
        print_json(asdict(status))
    else:
        print_model(job, status.fine_tuned_model)


@app.command()
@with_options(selected_job, into="job")
def cancel(*, job: Job, as_json: AsJson = False) -> None:
    """Cancel a job. Exits with 1 if it has already ended otherwise."""
    _print_steered(job.cancel(), "cancelled", as_json=as_json)


@app.command()
@with_options(selected_job, into="job")
def pause(*, job: Job, as_json: AsJson = False) -> None:
    """Pause a job, if the engine supports it. Exits with 1 if it has already ended."""
    _print_steered(job.pause(), "paused", as_json=as_json)


@app.command()
@with_options(selected_job, into="job")
def resume(*, job: Job, as_json: AsJson = False) -> None:
    """Resume a paused job, if the engine supports it. Exits with 1 if it has already ended."""
    _print_steered(job.resume(), "resumed", as_json=as_json)


@app.command()
@with_options(selected_job, into="job")
def download(
    *,
    path: Annotated[Path, typer.Argument(help="A new folder.")],
    job: Job,
    checkpoint: Annotated[
        int | None, typer.Option(help="Step of a checkpoint instead of the final model.")
    ] = None,
) -> None:
    """Download the weights of a job's model, if the engine hands them out."""
    print_line(str(job.download(path, checkpoint)))


def _print_steered(status: JobStatus, wanted: str, *, as_json: bool) -> None:
    """Print the state of a job; fail if it had ended before.

    Raises:
        FineTuningError: It had.
    """
    if status.ended and status.status != wanted:
        raise FineTuningError(
            f"Job {status.job_id} was not {wanted}: it has ended already ({status.status})."
        )
    if as_json:
        print_json(asdict(status))
    else:
        print_line(f"Job {status.job_id}: {status.status}.")


def _time(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat(timespec="seconds")


def _format_metrics(step: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in step.items())
