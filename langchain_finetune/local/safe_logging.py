"""Logs exceptions by type and traceback only: their messages may contain training text."""

import logging
import sys
import traceback
from types import TracebackType


def log_failure(logger: logging.Logger, what: str, error: BaseException) -> None:
    """Log that something failed, with the traceback but without the exception's message."""
    logger.error("%s failed: %s", what, format_error(type(error), error.__traceback__))


def format_error(kind: type[BaseException] | None, trace: TracebackType | None) -> str:
    """Return the type of an exception and its traceback."""
    return "".join([kind.__name__ if kind else "", "\n", *traceback.format_tb(trace)]).rstrip()


class MessagelessFormatter(logging.Formatter):
    """A formatter that omits the messages of exceptions."""

    def formatException(  # noqa: N802 - overrides logging
        self,
        ei: tuple[type[BaseException], BaseException, TracebackType | None]
        | tuple[None, None, None],
    ) -> str:
        """Return the exception's type and traceback."""
        return format_error(ei[0], ei[2])


def log_config(path: str | None) -> dict[str, object]:
    """Return the logging configuration of an engine, for a file or stderr."""
    handler: dict[str, object] = {"class": "logging.StreamHandler", "stream": sys.stderr}
    if path:
        handler = {"class": "logging.FileHandler", "filename": path, "encoding": "utf-8"}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "messageless": {
                "()": MessagelessFormatter,
                "format": "%(asctime)s %(levelname)s %(message)s",
            }
        },
        "handlers": {"log": handler | {"formatter": "messageless"}},
        "loggers": {
            name: {"handlers": ["log"], "level": "INFO", "propagate": False}
            for name in ("uvicorn", "langchain_finetune")
        },
    }
