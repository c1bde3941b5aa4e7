"""Logs errors by kind and place only: their messages may quote training text."""

import logging
import sys
import traceback
from types import TracebackType


def log_broken(logger: logging.Logger, what: str, error: BaseException) -> None:
    """Log that something broke, with the places in the code and without the error's message."""
    logger.error("%s broke: %s", what, describe(type(error), error.__traceback__))


def describe(kind: type[BaseException] | None, trace: TracebackType | None) -> str:
    """Return an error's kind and the places it came through."""
    return "".join([kind.__name__ if kind else "", "\n", *traceback.format_tb(trace)]).rstrip()


class QuietFormatter(logging.Formatter):
    """A formatter that leaves the messages of exceptions out."""

    def formatException(  # noqa: N802 the name that logging calls
        self,
        ei: tuple[type[BaseException], BaseException, TracebackType | None]
        | tuple[None, None, None],
    ) -> str:
        """Return the exception's kind and places."""
        return describe(ei[0], ei[2])


def log_config(path: str | None) -> dict[str, object]:
    """Return logging's configuration for an engine: to a file, or to stderr."""
    handler: dict[str, object] = {"class": "logging.StreamHandler", "stream": sys.stderr}
    if path:
        handler = {"class": "logging.FileHandler", "filename": path, "encoding": "utf-8"}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "quiet": {"()": QuietFormatter, "format": "%(asctime)s %(levelname)s %(message)s"}
        },
        "handlers": {"log": handler | {"formatter": "quiet"}},
        "loggers": {
            name: {"handlers": ["log"], "level": "INFO", "propagate": False}
            for name in ("uvicorn", "langchain_finetune")
        },
    }
