"""Exit codes of the commands that compare two models: `compare` and `migrate`."""

import functools
from collections.abc import Callable
from typing import Any

import typer

from langchain_finetune.cli.output import print_error
from langchain_finetune.errors import FineTuningError

EXIT_CODES = {"pass": 0, "fail": 1, "too_few": 4}

NO_VERDICT = 2
"""After an error or a wrong option; `diff` and `grep` do so as well."""


def exits_by_verdict(command: Callable[..., None]) -> Callable[..., None]:
    """Have a command exit with 2 after an error: 1 says that the new model failed."""

    @functools.wraps(command)
    def run(**options: Any) -> None:
        try:
            command(**options)
        except (FineTuningError, OSError) as error:
            print_error(error)
            raise typer.Exit(NO_VERDICT) from error

    return run
