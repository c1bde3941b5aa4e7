"""Who calls a model: LLM runs by model in LangSmith, or in the embedded engine's run store."""

import datetime as dt
import os
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from langsmith import Client

from langchain_finetune.content import mapping
from langchain_finetune.engines.local import find_engine
from langchain_finetune.errors import LoadError
from langchain_finetune.loaders.filter_language import compare, metadata, one_of, same_row
from langchain_finetune.loaders.langsmith_client import reading, reading_client
from langchain_finetune.loaders.query import in_utc
from langchain_finetune.loaders.run_reader import RunReader
from langchain_finetune.loaders.run_requests import Run, RunRequest
from langchain_finetune.loaders.time_windows import started
from langchain_finetune.migration.listing import ModelCalls

MOST_RUNS = 10_000
"""Newest runs of those models that are counted."""

MOST_PROJECTS = 100
"""Projects that are looked into if none is named."""

_PROJECTS = 5
"""Most projects that are named as the place."""

_NAMES = 100
"""Models in one filter."""


def tracing_client() -> Client | None:
    """Return a client of LangSmith, if its key is set, or of the embedded engine, if it runs."""
    if os.environ.get("LANGSMITH_API_KEY") or os.environ.get("LANGCHAIN_API_KEY"):
        return reading_client()
    engine = find_engine()
    if engine is None:
        return None
    key = engine.api_key.get_secret_value()
    return Client(api_url=engine.url, api_key=key, auto_batch_tracing=False)


def count_calls(
    client: Client,
    names: Sequence[str],
    projects: Sequence[str],
    since: dt.datetime,
    most: int = MOST_RUNS,
) -> tuple[dict[str, ModelCalls], list[str], str | None]:
    """Return the runs of models since a time, by name, notes on what was not, and where they are.

    A run counts if its metadata has the model as `ls_model_name` (LangChain's tracer, LangSmith's
    wrappers), or else its inputs as `model`. Without projects, all those with runs since then are
    searched, up to `MOST_PROJECTS`. At most `most` runs are read. Where no project has runs,
    nothing was counted: the result has no entry and no place.

    Raises:
        LoadError: A project does not exist, or the runs cannot be read.
    """
    found, notes = _projects(client, projects, since)
    # Of each run only when and where it was: its messages may be large.
    seen: dict[str, list[tuple[dt.datetime | None, str]]] = {name: [] for name in names}
    known: set[str] = set()
    room = most
    for start in range(0, len(names) if found else 0, _NAMES):
        part = names[start : start + _NAMES]
        by_metadata = RunRequest(
            project_ids=tuple(found),
            filter=metadata("ls_model_name", part),
            start_time=since,
            light=True,
        )
        in_inputs = same_row(compare("eq", "input_key", "model"), [one_of("input_value", part)])
        by_inputs = RunRequest(project_ids=tuple(found), filter=in_inputs, start_time=since)
        for request, where in ((by_metadata, "metadata"), (by_inputs, "inputs")):
            try:
                for run in islice(_runs(client, request), room):
                    model = _model_of(run, where)
                    if str(run.get("id")) not in known and model in part:
                        project = str(run.get("session_id"))
                        seen[model].append((started(run), found.get(project, project)))
                    known.add(str(run.get("id")))
            except LoadError as error:
                if where == "metadata":
                    raise
                notes.append(f"Runs with the model in their inputs only were not counted: {error}")
            room = max(most - len(known), 0)
    if not room:
        notes.append(f"Only the newest {most} runs were counted.")
    place = _place(client)
    if not known and not (found and _has_runs(client, tuple(found), since)):
        told = f"No calls were counted: {place} has no runs since {since:%Y-%m-%d}."
        return {}, [*notes, told], None
    calls = {
        name: ModelCalls(
            count=len(runs),
            at_least=not room,
            last_at=max((at for at, _ in runs if at is not None), default=None),
            projects=tuple(sorted({project for _, project in runs})),
        )
        for name, runs in seen.items()
    }
    return calls, notes, f"{place}, {_listed(list(found.values()))}"


def _place(client: Client) -> str:
    engine = find_engine()
    own = engine is not None and client.api_url.rstrip("/") == engine.url.rstrip("/")
    return "the embedded engine's run store" if own else f"LangSmith ({client.api_url})"


def _listed(projects: Sequence[str]) -> str:
    more = len(projects) - _PROJECTS
    names = ", ".join(sorted(projects)[:_PROJECTS])
    return f"project {names}" + (f" and {more} others" if more > 0 else "")


def _projects(
    client: Client, names: Sequence[str], since: dt.datetime
) -> tuple[dict[str, str], list[str]]:
    """Return the names of the projects to search by id, and notes."""
    found: dict[str, str] = {}
    for name in names:
        with reading(client, f"project {name!r}"):
            found[str(client.read_project(project_name=name).id)] = name
    if names:
        return found, []
    with reading(client, "list of projects"):
        # Experiments are projects too. The embedded engine's list has no condition for that.
        apps = (one for one in client.list_projects() if one.reference_dataset_id is None)
        listed = list(islice(apps, MOST_PROJECTS + 1))
    for project in listed[:MOST_PROJECTS]:
        last = project.last_run_start_time
        if last is None or in_utc(last) >= since:
            found[str(project.id)] = project.name or str(project.id)
    more = len(listed) > MOST_PROJECTS
    told = f"Only {MOST_PROJECTS} projects were searched: name the app's (--project)."
    return found, [told] if more else []


def _has_runs(client: Client, projects: tuple[str, ...], since: dt.datetime) -> bool:
    request = RunRequest(project_ids=projects, start_time=since, light=True)
    return next(iter(_runs(client, request)), None) is not None


def _runs(client: Client, request: RunRequest) -> Iterable[Run]:
    for page in RunReader(client).pages(request):
        yield from page.runs


def _model_of(run: Run, where: str) -> str:
    fields: Mapping[str, Any] = mapping(run.get("inputs"))
    if where == "metadata":
        fields = mapping(mapping(run.get("extra")).get("metadata"))
    return str(fields.get("ls_model_name" if where == "metadata" else "model"))
