"""The command-line application: all commands."""

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from langchain_finetune.cli import (
    bases,
    check,
    compare,
    doctor,
    engine,
    export,
    jobs,
    migrate,
    migration,
    record,
    rollout,
    train,
)
from langchain_finetune.cli.output import print_error, print_line
from langchain_finetune.errors import FineTuningError

app = typer.Typer(
    name="langchain-finetune",
    help="Fine-tune a model of your own on the real chats of your LangChain app.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(train.prepare)
app.command()(check.check)
app.command()(train.run)
app.command()(compare.compare)
app.add_typer(jobs.app, name="jobs", help="List, watch, pause, resume and cancel fine-tuning jobs.")
app.command()(migration.inventory)
app.command()(migration.rescue)
app.command()(record.record)
app.command()(migrate.migrate)
app.add_typer(bases.app, name="bases", help="List base models, and add one.")
app.command()(engine.models)
app.command()(rollout.promote)
app.command()(rollout.rollback)
app.command()(rollout.canary)
app.command()(rollout.shadow)
app.command()(rollout.aliases)
app.command()(export.export)
app.command()(engine.page)
app.command()(engine.serve)
app.command()(engine.stop)
app.command()(doctor.doctor)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - as typer calls it
    if wanted:
        print_line(f"langchain-finetune {version('langchain-finetune')}")
        raise typer.Exit


@app.callback()
def options(
    *,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", is_eager=True, callback=_print_version
        ),
    ] = False,
) -> None:
    """Fine-tune a model of your own on the real chats of your LangChain app."""


def _in_home(argument: str) -> str:
    """Return an argument with `~/` as the home folder, which shells leave after a `=`."""
    name, sign, value = argument.partition("=") if argument.startswith("--") else ("", "", argument)
    return name + sign + (str(Path(value).expanduser()) if value.startswith("~/") else value)


def run() -> None:
    """Run the command line; errors of this package are printed without a traceback."""
    try:
        app(args=[_in_home(each) for each in sys.argv[1:]])
    except (FineTuningError, OSError) as error:
        # OSError: a full disk, or a file that cannot be read or written.
        print_error(error)
        sys.exit(getattr(error, "exit_code", 1))
