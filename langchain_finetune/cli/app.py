"""The command-line application: all commands."""

import sys

import typer
from rich.console import Console

from langchain_finetune.cli import (
    check,
    compare,
    doctor,
    engine,
    export,
    jobs,
    migration,
    record,
    rollout,
    train,
)
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


def main() -> None:
    """Run the command line; errors of this package are printed without a traceback."""
    try:
        app()
    except (FineTuningError, OSError) as error:
        # OSError: a full disk, or a file that cannot be read or written.
        console = Console(stderr=True, markup=False, emoji=False, highlight=False)
        console.print(f"Error: {error}", soft_wrap=True)
        sys.exit(getattr(error, "exit_code", 1))
