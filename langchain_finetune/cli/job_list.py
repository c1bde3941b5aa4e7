"""`jobs list`: the jobs that were asked for from this machine, with their states."""

import datetime as dt
from collections import defaultdict
from functools import partial
from typing import Annotated, Any

import typer
from rich.console import Console

from langchain_finetune.cli.job_options import AddressOption, connection_of
from langchain_finetune.cli.output import AsJson, print_rows
from langchain_finetune.errors import EngineError, FineTuningError
from langchain_finetune.finetune.connection import same_address
from langchain_finetune.finetune.engines.embedded import find_engine
from langchain_finetune.finetune.engines.profiles import Engine
from langchain_finetune.finetune.job_status import JobStatus
from langchain_finetune.finetune.ledger import Entry, Ledger
from langchain_finetune.finetune.look import statuses_of
from langchain_finetune.home import home_path

_LOCAL = ""
_DOWN = (
    "The embedded engine does not run, so the state of its jobs is not known; "
    "`jobs show` starts it."
)

Statuses = dict[tuple[str, str], JobStatus | None]
"""States by the engine's address and the job's id; None for a job that is not there any more."""


def list_jobs(
    engine: Annotated[Engine | None, typer.Option(help="Only its jobs.")] = None,
    base_url: AddressOption = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 20,
    as_json: AsJson = False,  # noqa: FBT002 - an option
) -> None:
    """List the jobs that were asked for from this machine, the newest first."""
    entries = [
        entry
        for entry in Ledger(home_path()).entries()
        if engine in {None, entry.engine}
        and (base_url is None or same_address(entry.base_url, base_url))
    ][:limit]
    statuses, silent = _asked(entries, base_url)
    rows = [_row(entry, statuses) for entry in entries]
    print_rows(rows, as_json=as_json, none="No job was asked for from this machine.")
    for error in silent:
        Console(stderr=True).print(f"Note: {error}", markup=False, highlight=False, soft_wrap=True)


def _asked(entries: list[Entry], base_url: str | None) -> tuple[Statuses, list[FineTuningError]]:
    """Return how jobs stand by engine's address and id, and why some engines did not tell."""
    places: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in entries:
        places[_place(entry)].append(entry)
    statuses: Statuses = {}
    silent: list[FineTuningError] = []
    for (_, address), jobs in places.items():
        ids = [entry.job_id for entry in jobs if entry.job_id]
        try:
            if address == _LOCAL and find_engine(home_path()) is None:
                raise EngineError(_DOWN)
            told = connection_of(jobs[0], base_url).run(partial(statuses_of, ids))
        except FineTuningError as error:
            silent.append(error)
        else:
            statuses |= {(address, job_id): status for job_id, status in told.items()}
    return statuses, silent


def _place(entry: Entry) -> tuple[str, str]:
    # The embedded engine listens elsewhere after each start.
    return entry.engine, _LOCAL if entry.engine == "local" else entry.base_url


def _row(entry: Entry, statuses: Statuses) -> dict[str, Any]:
    place = _place(entry)[1], entry.job_id or ""
    status = statuses.get(place)
    if entry.job_id is None:
        state = "may have been made: run the same chain again"
    elif status is not None:
        state = status.status
    else:
        state = "not there any more" if place in statuses else "unknown"
    begun = dt.datetime.fromtimestamp(entry.begun_at, dt.UTC)
    return {
        "job_id": entry.job_id,
        "status": state,
        "fine_tuned_model": status and status.fine_tuned_model,
        "base_model": entry.base_model,
        "engine": entry.engine,
        "base_url": place[0] or None,
        "begun_at": begun.isoformat(timespec="seconds"),
    }
