"""Which chats a command works on: the same options for all commands."""

import functools
import inspect
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, get_type_hints

import typer
from pydantic import ValidationError

from langchain_finetune.convert.duplicates import Duplicates
from langchain_finetune.convert.secrets import SecretAction
from langchain_finetune.convert.too_long import TooLong
from langchain_finetune.engines import ENGINES
from langchain_finetune.errors import LoadError
from langchain_finetune.loaders.base import SessionLoader
from langchain_finetune.loaders.datasets import LangSmithDatasetChatLoader
from langchain_finetune.loaders.files import RunFileChatLoader
from langchain_finetune.loaders.query import FeedbackCondition, RunQuery
from langchain_finetune.loaders.query_loader import updated
from langchain_finetune.loaders.runs import LangSmithRunChatLoader

# Typer lists the names in an option's help, and refuses all others.
if TYPE_CHECKING:
    EngineChoice = str
else:
    EngineChoice = Literal[tuple(ENGINES)]

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


_convert_option = partial(typer.Option, rich_help_panel="Conversion")


def conversion(
    *,
    targets: Annotated[
        Literal["all", "last"], _convert_option(help="Which answers of a chat are learnt.")
    ] = "all",
    rules: Annotated[
        EngineChoice | None, _convert_option(help="Whose rules; by default those of the engine.")
    ] = None,
    fix: Annotated[
        bool, _convert_option("--fix", help="Put right what needs no guessing.")
    ] = False,
    strict: Annotated[
        bool, _convert_option("--strict", help="Fail if a chat had to be left out.")
    ] = False,
    secrets: Annotated[
        SecretAction, _convert_option(help="What to do about API keys and the like.")
    ] = "report",
    duplicates: Annotated[
        Duplicates, _convert_option(help="What to do about chats that come more than once.")
    ] = "keep",
    too_long: Annotated[
        TooLong, _convert_option(help="What to do about chats that the model can't take.")
    ] = "reject",
    max_example_tokens: Annotated[
        int | None, _convert_option(min=1, help="Limit of your own, instead of the model's.")
    ] = None,
    validation: Annotated[
        float, _convert_option(min=0.0, max=1.0, help="Share of the conversations that validates.")
    ] = 0.0,
    test: Annotated[
        float, _convert_option(min=0.0, max=1.0, help="Share that tests; it is never sent.")
    ] = 0.0,
    split_by: Annotated[
        Literal["auto", "thread", "trace"] | None,
        _convert_option(help="What stays together in one part; auto by default."),
    ] = None,
    split_seed: Annotated[int | None, _convert_option(help="Draws other conversations.")] = None,
) -> dict[str, Any]:
    """Return the arguments of `Convert` that the options describe.

    Raises:
        typer.BadParameter: They don't go together.
    """
    shares = {"validation": validation, "test": test}
    drawn = {"by": split_by, "seed": split_seed}
    drawn = {name: value for name, value in drawn.items() if value is not None}
    if drawn and not any(shares.values()):
        raise typer.BadParameter("--split-by and --split-seed need --validation or --test.")
    return {
        "targets": targets,
        "rules": rules,
        "fix": fix,
        "strict": strict,
        "secrets": secrets,
        "duplicates": duplicates,
        "too_long": too_long,
        "max_example_tokens": max_example_tokens,
        "split": {**shares, **drawn} if any(shares.values()) else None,
    }


Command = Callable[..., None]
Made = TypeVar("Made")


def shares(made: Callable[..., Any], into: str) -> Callable[[Command], Command]:
    """Return a decorator that gives a command the options of a function.

    Args:
        made: Its parameters, keyword-only, are the options.
        into: The parameter of the command that gets what the function returns.

    Example:
        ```python
        @shares(selected, into="loader")
        def run(*, loader: SessionLoader, model: str) -> None: ...
        ```
    """
    shared = inspect.signature(made, eval_str=True).parameters

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def filled(**options: Any) -> None:
            chosen = {name: options.pop(name) for name in shared}
            command(**{into: made(**chosen)}, **options)

        # Typer reads the options of a command from its signature and its hints.
        own = [each for each in inspect.signature(command).parameters.values() if each.name != into]
        hints = get_type_hints(command, include_extras=True)
        filled.__signature__ = inspect.Signature([*shared.values(), *own])  # type: ignore[attr-defined]
        filled.__annotations__ = {
            **{name: option.annotation for name, option in shared.items()},
            **{option.name: hints[option.name] for option in own},
        }
        return filled

    return decorate


def made_of(kind: Callable[..., Made], **settings: Any) -> Made:
    """Return a model of pydantic with settings that came as options.

    Raises:
        typer.BadParameter: They are not right, or don't go together.
    """
    try:
        return kind(**settings)
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(str(part) for part in fault["loc"])
        said = fault["msg"].removeprefix("Value error, ")
        raise typer.BadParameter(f"{place}: {said}" if place else said) from None
