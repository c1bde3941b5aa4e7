"""Which chats a command works on: the same options for all commands."""

import re
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from langchain_finetune.errors import LoadError
from langchain_finetune.loaders.base import SessionLoader
from langchain_finetune.loaders.datasets import LangSmithDatasetChatLoader
from langchain_finetune.loaders.files import RunFileChatLoader
from langchain_finetune.loaders.query import FeedbackCondition, RunQuery
from langchain_finetune.loaders.query_loader import updated
from langchain_finetune.loaders.runs import LangSmithRunChatLoader

_BOUNDS = {">=": "at_least", ">": "above", "<=": "at_most", "<": "below", "=": "value"}
_SAID = re.compile(r"(?P<key>.+?)(?P<operator>>=|<=|>|<|=)(?P<value>.+)")

_option = partial(typer.Option, rich_help_panel="Which chats")


def selected(
    *,
    project: Annotated[
        list[str] | None, _option(help="LangSmith project with the runs. Repeatable.")
    ] = None,
    dataset: Annotated[str | None, _option(help="LangSmith dataset instead of runs.")] = None,
    file: Annotated[
        list[str] | None,
        _option(help="File, folder or pattern of exported runs instead. Repeatable."),
    ] = None,
    query: Annotated[
        Path | None, _option(help="JSON file with a RunQuery; other options add to it.")
    ] = None,
    run_name: Annotated[list[str] | None, _option(help="Name of the run.")] = None,
    asked_model: Annotated[list[str] | None, _option(help="The model that the app called.")] = None,
    tag: Annotated[list[str] | None, _option(help="Tag that the run has.")] = None,
    metadata: Annotated[list[str] | None, _option(help="key=value that the run has.")] = None,
    feedback: Annotated[
        list[str] | None,
        _option(help="What users said, such as 'user_score>0'; also >=, <, <=, =."),
    ] = None,
    since: Annotated[str | None, _option(help="Began at this time or later.")] = None,
    until: Annotated[str | None, _option(help="Began before this time.")] = None,
    filter: Annotated[str | None, _option(help="Condition on the run.")] = None,  # noqa: A002
    trace_filter: Annotated[str | None, _option(help="Condition on the root run.")] = None,
    sample: Annotated[float | None, _option(help="Share of the traces to draw.")] = None,
    limit: Annotated[int | None, _option(min=1, help="At most so many runs.")] = None,
    last_calls: Annotated[
        bool, _option("--last-calls", help="Leave out calls that a later one repeats.")
    ] = False,
) -> SessionLoader:
    """Return the loader that the options describe.

    Raises:
        typer.BadParameter: They don't go together.
        LoadError: A condition is not right, or the query's file can't be read.
    """
    conditions = {
        "project_name": tuple(project) if project else None,
        "run_name": run_name,
        "model": asked_model,
        "tags": tag,
        "metadata": _pairs(metadata),
        "feedback": [_said(each) for each in feedback] if feedback else None,
        "start_time": since,
        "end_time": until,
        "filter": filter,
        "trace_filter": trace_filter,
        "sample": sample,
        "limit": limit,
    }
    given = {name: value for name, value in conditions.items() if value}
    places = [name for name in (dataset, file, project or query) if name]
    if len(places) != 1:
        raise typer.BadParameter("Give --project (or --query), --dataset or --file.")
    if (dataset or file) and (given or last_calls):
        raise typer.BadParameter("Conditions select runs of a project, not datasets or files.")
    if dataset:
        return LangSmithDatasetChatLoader(dataset_name=dataset)
    if file:
        return RunFileChatLoader(file)
    whole = updated(_kept(query), given)
    return LangSmithRunChatLoader(query=whole, calls="last" if last_calls else "all")


def _kept(path: Path | None) -> RunQuery:
    if path is None:
        return RunQuery()
    try:
        return RunQuery.model_validate_json(path.read_bytes())
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(str(part) for part in fault["loc"]) or "the file"
        raise LoadError(f"{path} holds no RunQuery: {place}: {fault['msg']}.") from error


def _pairs(texts: list[str] | None) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts or ()]
    if any(not key or not sign for key, sign, _ in pairs):
        raise typer.BadParameter("--metadata is key=value.")
    return {key: value for key, _, value in pairs}


def _said(text: str) -> FeedbackCondition:
    """Return the condition of a text such as `user_score>0`.

    Example:
        >>> _said("user_score>=1").condition()
        'and(eq(feedback_key, "user_score"), gte(feedback_score, 1.0))'
    """
    found = _SAID.fullmatch(text)
    if found is None:
        return FeedbackCondition(key=text)
    try:
        return FeedbackCondition(
            key=found["key"].strip(), **{_BOUNDS[found["operator"]]: found["value"].strip()}
        )
    except ValidationError as error:
        raise typer.BadParameter(f"--feedback {text!r} compares with no number.") from error
