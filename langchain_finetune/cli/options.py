"""Options that several commands share: which chats, and how they are converted."""

import functools
import inspect
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, get_type_hints

import typer
from pydantic import ValidationError

from langchain_finetune.arguments import explain
from langchain_finetune.convert.duplicates import Duplicates
from langchain_finetune.convert.secrets import SecretAction
from langchain_finetune.convert.too_long import TooLong
from langchain_finetune.convert.truncated import Truncated
from langchain_finetune.engines import ENGINES
from langchain_finetune.errors import InvalidArgumentError, LoadError
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
_CONDITION = re.compile(r"(?P<key>.+?)(?P<operator>>=|<=|>|<|=)(?P<value>.+)")

_option = partial(typer.Option, rich_help_panel="Source of chats")
_condition = partial(typer.Option, rich_help_panel="Conditions on the runs of a project")


def chat_loader(
    *,
    project: Annotated[
        list[str] | None, _option(help="LangSmith project of the runs. Repeatable.")
    ] = None,
    dataset: Annotated[str | None, _option(help="LangSmith dataset, instead of runs.")] = None,
    file: Annotated[
        list[str] | None,
        _option(help="File, folder, glob pattern or s3:// address of runs. Repeatable."),
    ] = None,
    query: Annotated[
        Path | None, _option(help="JSON file of a RunQuery; other options override it.")
    ] = None,
    run_name: Annotated[list[str] | None, _condition(help="Name of the runs.")] = None,
    asked_model: Annotated[list[str] | None, _condition(help="Model that the app called.")] = None,
    tag: Annotated[list[str] | None, _condition(help="Tag of the runs.")] = None,
    metadata: Annotated[
        list[str] | None, _condition(help="Metadata of the runs, as key=value.")
    ] = None,
    feedback: Annotated[
        list[str] | None,
        _condition(help="Feedback, such as 'user_score>0'; also >=, <, <=, =."),
    ] = None,
    since: Annotated[str | None, _condition(help="Only runs from this time on.")] = None,
    until: Annotated[str | None, _condition(help="Only runs started before this time.")] = None,
    filter: Annotated[str | None, _condition(help="LangSmith filter of the runs.")] = None,  # noqa: A002
    trace_filter: Annotated[str | None, _condition(help="Filter of the root runs.")] = None,
    sample: Annotated[float | None, _condition(help="Fraction of the traces to sample.")] = None,
    limit: Annotated[int | None, _condition(min=1, help="Maximum number of runs.")] = None,
    last_calls: Annotated[
        bool,
        _option("--last-calls", help="Skip calls that a later call of an agent repeats."),
    ] = False,
    internal_calls: Annotated[
        bool,
        _option("--internal-calls", help="Also load calls that agent middleware made for itself."),
    ] = False,
) -> SessionLoader:
    """Return the loader that the options describe."""
    conditions = {
        "project_name": tuple(project) if project else None,
        "run_name": run_name,
        "model": asked_model,
        "tags": tag,
        "metadata": _pairs(metadata),
        "feedback": [_feedback_condition(each) for each in feedback] if feedback else None,
        "start_time": since,
        "end_time": until,
        "filter": filter,
        "trace_filter": trace_filter,
        "sample": sample,
        "limit": limit,
    }
    given = {name: value for name, value in conditions.items() if value}
    sources = [source for source in (dataset, file, project or query) if source]
    if len(sources) != 1:
        raise typer.BadParameter("Use one of --project (or --query), --dataset and --file.")
    if (dataset or file) and given:
        raise typer.BadParameter(
            "Conditions apply only to runs of a project, not to datasets or files."
        )
    calls: Literal["all", "last"] = "last" if last_calls else "all"
    if dataset:
        if last_calls or internal_calls:
            name = "--last-calls" if last_calls else "--internal-calls"
            raise typer.BadParameter(f"{name} applies only to runs, not to datasets.")
        return LangSmithDatasetChatLoader(dataset_name=dataset)
    if file:
        return RunFileChatLoader(file, calls=calls, internal_calls=internal_calls)
    wanted = updated(_query_of(query), given)
    return LangSmithRunChatLoader(query=wanted, calls=calls, internal_calls=internal_calls)


def _query_of(path: Path | None) -> RunQuery:
    if path is None:
        return RunQuery()
    try:
        return RunQuery.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise LoadError(f"{path} is not a valid RunQuery: {explain(error, RunQuery)}") from error


def _pairs(texts: list[str] | None) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts or ()]
    if any(not key or not sign for key, sign, _ in pairs):
        raise typer.BadParameter("--metadata must have the form key=value.")
    return {key: value for key, _, value in pairs}


def _feedback_condition(text: str) -> FeedbackCondition:
    """Return the condition that a text such as `user_score>0` describes.

    Example:
        >>> _feedback_condition("user_score>=1").condition()
        'and(eq(feedback_key, "user_score"), gte(feedback_score, 1.0))'
    """
    found = _CONDITION.fullmatch(text)
    if found is None:
        return FeedbackCondition(key=text)
    try:
        return FeedbackCondition(
            key=found["key"].strip(), **{_BOUNDS[found["operator"]]: found["value"].strip()}
        )
    except InvalidArgumentError as error:
        raise typer.BadParameter(f"--feedback {text!r} does not compare with a number.") from error


_convert_option = partial(typer.Option, rich_help_panel="Conversion")


def convert_options(
    *,
    targets: Annotated[
        Literal["all", "last"], _convert_option(help="Answers of a chat to train on.")
    ] = "all",
    rules: Annotated[
        EngineChoice | None,
        _convert_option(help="Provider whose rules apply; by default the engine."),
    ] = None,
    fix: Annotated[
        bool, _convert_option("--fix", help="Fix errors that have only one correction.")
    ] = False,
    strict: Annotated[
        bool, _convert_option("--strict", help="Fail if a chat is skipped or rejected.")
    ] = False,
    truncated: Annotated[
        Truncated, _convert_option(help="Handle answers that were cut off.")
    ] = "reject",
    secrets: Annotated[
        SecretAction, _convert_option(help="Handle API keys and other secrets.")
    ] = "report",
    duplicates: Annotated[Duplicates, _convert_option(help="Handle duplicate chats.")] = "keep",
    too_long: Annotated[
        TooLong, _convert_option(help="Handle chats over the token limit.")
    ] = "reject",
    max_example_tokens: Annotated[
        int | None, _convert_option(min=1, help="Token limit, instead of the model's.")
    ] = None,
    validation: Annotated[
        float,
        _convert_option(min=0.0, max=1.0, help="Fraction of the conversations to validate with."),
    ] = 0.0,
    test: Annotated[
        float,
        _convert_option(min=0.0, max=1.0, help="Fraction to test with, which is never uploaded."),
    ] = 0.0,
    split_by: Annotated[
        Literal["auto", "thread", "trace"] | None,
        _convert_option(help="Unit that is never split; auto by default."),
    ] = None,
    split_seed: Annotated[int | None, _convert_option(help="Seed of the split.")] = None,
    workers: Annotated[
        int, _convert_option(min=1, max=256, help="Processes that convert; they read files, too.")
    ] = 1,
    on: Annotated[
        str | None,
        _convert_option(
            metavar="RAY", help="Cluster of Ray that converts: ray, or ray://HEAD:10001."
        ),
    ] = None,
) -> dict[str, Any]:
    """Return the arguments of `Convert` that the options describe."""
    shares = {"validation": validation, "test": test}
    split = {"by": split_by, "seed": split_seed}
    split = {name: value for name, value in split.items() if value is not None}
    if split and not any(shares.values()):
        raise typer.BadParameter("--split-by and --split-seed require --validation or --test.")
    return {
        "targets": targets,
        "rules": rules,
        "fix": fix,
        "strict": strict,
        "truncated": truncated,
        "secrets": secrets,
        "duplicates": duplicates,
        "too_long": too_long,
        "max_example_tokens": max_example_tokens,
        "split": {**shares, **split} if any(shares.values()) else None,
        "workers": workers,
        "on": on,
    }


Command = Callable[..., None]
Made = TypeVar("Made")


def with_options(made: Callable[..., Any], into: str) -> Callable[[Command], Command]:
    """Return a decorator that adds the options of a function to a command.

    The options are the function's keyword-only parameters; its result goes into the command's
    parameter `into`.

    Example:
        ```python
        @with_options(chat_loader, into="loader")
        def run(*, loader: SessionLoader, model: str) -> None: ...
        ```
    """
    shared = inspect.signature(made, eval_str=True).parameters

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def filled(**options: Any) -> None:
            chosen = {name: options.pop(name) for name in shared}
            command(**{into: made(**chosen)}, **options)

        # Typer reads the options from the command's signature and type hints.
        own = [each for each in inspect.signature(command).parameters.values() if each.name != into]
        hints = get_type_hints(command, include_extras=True)
        filled.__signature__ = inspect.Signature([*shared.values(), *own])  # type: ignore[attr-defined]
        filled.__annotations__ = {
            **{name: option.annotation for name, option in shared.items()},
            **{option.name: hints[option.name] for option in own},
        }
        return filled

    return decorate


def option_parameter(name: str, kind: Any, settings: Any) -> inspect.Parameter:
    """Return the parameter from which Typer makes an option that need not be given."""
    return inspect.Parameter(
        name.removeprefix("--").replace("-", "_"),
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[kind | None, settings],
    )


def build(kind: Callable[..., Made], **settings: Any) -> Made:
    """Return a pydantic model that is built from options; refuse options that are invalid."""
    try:
        return kind(**settings)
    except InvalidArgumentError as error:
        raise typer.BadParameter(str(error)) from None
    except ValidationError as error:
        raise typer.BadParameter(explain(error)) from None
