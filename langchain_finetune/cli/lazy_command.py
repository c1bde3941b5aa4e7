"""A command whose module is imported when it is called: `--help` and completion stay quick."""

import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand
from typer.main import get_command


class LazyCommand(TyperCommand):
    """The name and first line of a command, or group of commands, that is imported when called."""

    def __init__(self, name: str, module: str, help: str) -> None:  # noqa: A002 - as typer says it
        """Name the command; `module` holds a function of its name, or the `app` of a group."""
        super().__init__(name, help=help)
        self._module = module

    def load(self) -> Any:
        """Import the command itself. Its libraries may take seconds, which a terminal shows."""
        with _loading():
            module = import_module(self._module)
        group = getattr(module, "app", None)
        if group is None:
            group = typer.Typer(add_completion=False)
            group.command(self.name)(getattr(module, str(self.name)))
        command = get_command(group)
        command.name = self.name
        if not command.help:
            command.help = self.help
        return command

    def make_context(
        self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any
    ) -> Any:
        """Return the context of the command itself, which is then what is invoked."""
        return self.load().make_context(info_name, args, parent=parent, **extra)


def loaded(commands: Sequence[LazyCommand]) -> dict[str, Any]:
    """Return all commands by name, imported, such as for their documentation."""
    return {str(each.name): each.load() for each in commands}


def _loading() -> AbstractContextManager[object]:
    """Return a block in which a terminal shows that the program is being loaded."""
    completes = any(name.endswith("_COMPLETE") for name in os.environ)
    if completes or not sys.stderr.isatty():
        return nullcontext()
    from langchain_finetune.cli.output import console  # noqa: PLC0415 - not needed elsewhere

    return console(err=True).status("Loading")
