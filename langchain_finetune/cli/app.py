"""The command-line application: the commands and their first lines."""

from typing import Annotated, Any

import typer
from typer.main import get_command

from langchain_finetune.cli.lazy_command import LazyCommand

_MODULES = {
    "train": {
        "prepare": "Load and convert chats, and write training files and a report.",
        "run": "Load and convert chats, fine-tune a model, and print its name.",
    },
    "check": {"check": "Check training files, without printing their text."},
    "compare": {"compare": "Compare a new model with the old one."},
    "jobs": {"jobs": "List, watch, pause, resume and cancel fine-tuning jobs."},
    "rescue": {
        "inventory": "List an account's fine-tuned models.",
        "rescue": "Fetch jobs, files and stored chat completions of fine-tuned models.",
    },
    "record": {"record": "Record what a model answers to its real prompts."},
    "migrate": {"migrate": "Rescue, record, train, compare and swap."},
    "bases": {
        "bases": "List the base models that are on this machine, and those that can be added."
    },
    "rollout": {
        "promote": "Let a model answer all requests for a name.",
        "rollback": "End a canary or shadow or, without one, go back to the model before.",
        "canary": "Let a model answer a share of the threads or users.",
        "shadow": "Ask a model too, after each answer, without showing what it answers.",
        "aliases": "List the aliases of the embedded engine, or show or remove one.",
    },
    "export": {"export": "Export the engine's runs to files."},
    "models": {"models": "List the models of the embedded engine, and export one."},
    "engine": {
        "page": "Print a link to the engine's web page.",
        "serve": "Run the embedded engine in the foreground.",
        "stop": "Stop the embedded engine.",
    },
    "trainer": {"trainer": "Let this machine train along with an engine's."},
    "doctor": {"doctor": "Check installation, home, engine and keys."},
}

COMMANDS = [
    LazyCommand(name, f"langchain_finetune.cli.{module}", summary)
    for module, summaries in _MODULES.items()
    for name, summary in summaries.items()
]


def command_line() -> Any:
    """Return the command `langchain-finetune`."""
    app = typer.Typer(
        name="langchain-finetune",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
    )
    app.callback()(options)
    group: Any = get_command(app)
    for command in COMMANDS:
        group.add_command(command)
    return group


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - as typer calls it
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415 - not needed elsewhere

        from langchain_finetune.cli.output import print_line  # noqa: PLC0415

        print_line(f"langchain-finetune {version('langchain-finetune')}")
        raise typer.Exit


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
