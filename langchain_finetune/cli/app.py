"""All commands under one roof; an error is one sentence."""

import sys

import typer
from rich.console import Console

from langchain_finetune.cli import check, doctor, engine, export, jobs, train
from langchain_finetune.errors import FineTuningError

app = typer.Typer(
    name="langchain-finetune",
    help="Turn the chats your LangChain app really had into a fine-tuned model of your own.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(train.prepare)
app.command()(check.check)
app.command()(train.run)
app.add_typer(jobs.app, name="jobs", help="Look at fine-tuning jobs, and steer them.")
app.command()(engine.models)
app.command()(export.export)
app.command()(engine.page)
app.command()(engine.serve)
app.command()(engine.stop)
app.command()(doctor.doctor)


def main() -> None:
    """Run the command line; an error of this package is one sentence, not a traceback."""
    try:
        app()
    except (FineTuningError, OSError) as error:
        # An OSError is a full disk, or a file that may not be read or written.
        Console(stderr=True).print(f"Error: {error}", markup=False, highlight=False, soft_wrap=True)
        sys.exit(getattr(error, "exit_code", 1))
