"""The command line: `langchain-finetune run | serve | stop`.

Exit codes: 0 done; 1 it failed, with one sentence on standard error; 2 the command is not right;
3 another engine runs on this home.
"""

import sys
from typing import Annotated, Literal

import orjson
import typer
from pydantic import ValidationError
from rich.console import Console

from langchain_finetune.convert.runnable import Convert
from langchain_finetune.errors import FineTuningError
from langchain_finetune.finetune.engines.embedded import stop_engine
from langchain_finetune.finetune.job import Hyperparameters
from langchain_finetune.finetune.progress import RichProgress
from langchain_finetune.finetune.runnable import FineTune
from langchain_finetune.home import KEY_VARIABLE, home_path
from langchain_finetune.loaders.base import SessionLoader
from langchain_finetune.loaders.datasets import LangSmithDatasetChatLoader
from langchain_finetune.loaders.runs import LangSmithRunChatLoader
from langchain_finetune.local.server import parse_aliases
from langchain_finetune.local.server import serve as serve_engine

app = typer.Typer(
    name="langchain-finetune",
    help="Turn the chats your LangChain app really had into a fine-tuned model of your own.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.command()
def run(
    *,
    model: Annotated[str, typer.Option(help="The base: nano, a folder, a hub id, a hosted name.")],
    project: Annotated[str | None, typer.Option(help="LangSmith project with the runs.")] = None,
    dataset: Annotated[str | None, typer.Option(help="LangSmith dataset instead of runs.")] = None,
    filter: Annotated[str | None, typer.Option(help="Condition on the run.")] = None,  # noqa: A002 - the option's name
    trace_filter: Annotated[str | None, typer.Option(help="Condition on the root run.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many runs.")] = None,
    engine: Annotated[
        Literal["local", "openai"], typer.Option(help="openai is any server of its API.")
    ] = "local",
    base_url: Annotated[str | None, typer.Option(help="Address of that server.")] = None,
    suffix: Annotated[str | None, typer.Option(help="Goes into the model's name.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of the training.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, max=50)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON only.")] = False,
) -> None:
    """Load chats, convert them, fine-tune, and print the new model's name."""
    loader = _loader(project, dataset, filter, trace_filter, limit)
    examples = (loader | Convert()).invoke({})
    try:
        step = FineTune(
            model=model,
            engine=engine,
            base_url=base_url,
            suffix=suffix,
            seed=seed,
            hyperparameters=Hyperparameters(n_epochs=epochs or "auto"),
        )
    except ValidationError as error:
        fault = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise typer.BadParameter(fault) from None
    # Progress goes to standard error, so that the result alone is on standard output.
    with RichProgress(Console(stderr=True, quiet=as_json)) as progress:
        try:
            chat = step.invoke(examples, {"callbacks": [progress]})
        except KeyboardInterrupt:
            job = f"job {progress.job_id} goes on" if progress.job_id else "no job was waited for"
            raise FineTuningError(f"Stopped waiting; {job}.") from None
    result = {
        "model": chat.model_name,
        "base_url": chat.openai_api_base,
        "rejected": examples.rejected_by_reason(),
        **(chat.metadata or {}),
    }
    if as_json:
        typer.echo(orjson.dumps(result, option=orjson.OPT_INDENT_2).decode())
    else:
        Console().print(result, soft_wrap=True)


@app.command()
def serve(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 0,
    host: Annotated[str, typer.Option(help="A loopback address.")] = "127.0.0.1",
    alias: Annotated[
        list[str] | None,
        typer.Option(help="Another name of a base, such as gpt-3.5-turbo=nano. Repeatable."),
    ] = None,
) -> None:
    """Run the embedded engine here until it is stopped."""
    home = home_path()
    where = f"http://127.0.0.1:{port}" if port else "an address that the log tells"
    typer.echo(
        f"Serving at {where}: OpenAI's API under /v1, LangSmith's at the root.\n"
        f"The key is in {home / 'api_key'} (or in {KEY_VARIABLE}). Ctrl-C stops the engine.",
        err=True,
    )
    serve_engine(home, host=host, port=port, aliases=parse_aliases(alias or ()))


@app.command()
def stop() -> None:
    """Stop the embedded engine that runs in the background."""
    typer.echo("Stopped." if stop_engine(home_path()) else "No engine runs on this home.")


def main() -> None:
    """Run the command line; an error of this package is one sentence, not a traceback."""
    try:
        app()
    except (FineTuningError, OSError) as error:
        # An OSError is a full disk, or a file that may not be read or written.
        Console(stderr=True).print(f"Error: {error}", markup=False, highlight=False, soft_wrap=True)
        sys.exit(getattr(error, "exit_code", 1))


def _loader(
    project: str | None,
    dataset: str | None,
    condition: str | None,
    trace_filter: str | None,
    limit: int | None,
) -> SessionLoader:
    if (project is None) == (dataset is None):
        raise typer.BadParameter("Give --project or --dataset.")
    if dataset is not None:
        if condition or trace_filter or limit:
            raise typer.BadParameter(
                "--filter, --trace-filter and --limit select runs, not datasets."
            )
        return LangSmithDatasetChatLoader(dataset_name=dataset)
    return LangSmithRunChatLoader(
        project_name=project, filter=condition, trace_filter=trace_filter, limit=limit
    )


if __name__ == "__main__":
    main()
