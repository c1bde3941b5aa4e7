"""Errors of a worker, to be raised in the process that started it."""

import traceback
from typing import Any

from langchain_finetune import errors
from langchain_finetune.errors import ConvertError, FineTuningError

ERROR = "error"
"""What a value that is an error begins with."""


class WorkerTracebackError(Exception):
    """The traceback of an error in a worker process: the cause of the same error here."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def plain_error(error: FineTuningError | OSError) -> tuple[Any, ...]:
    """Return an error as plain data, with its traceback."""
    trace = "".join(traceback.format_exception(error))
    if isinstance(error, OSError):
        name = None if error.filename is None else str(error.filename)
        return ERROR, "", (error.errno, error.strerror or str(error), name), trace
    return ERROR, type(error).__name__, str(error), trace


def error_of(plain: tuple[Any, ...]) -> FineTuningError | OSError:
    """Return the error that `plain_error` has made plain."""
    _, name, told, trace = plain
    error: FineTuningError | OSError
    if not name:
        error = OSError(*told)
    else:
        kind = getattr(errors, name, ConvertError)
        error = kind(told)
    error.__cause__ = WorkerTracebackError(trace)
    return error
