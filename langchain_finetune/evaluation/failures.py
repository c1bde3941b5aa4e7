"""What failed in a comparison: named by its class and place only, without any text."""

import logging
from pathlib import Path

from langchain_core.exceptions import (
    ModelAuthenticationError,
    ModelConnectionError,
    ModelNotFoundError,
    ModelPermissionDeniedError,
)
from langsmith import aevaluate, evaluate

NOT_RECORDED = "not_recorded"
"""Code of the error with which a recording refuses a request that it has no answer to."""

_NOT_FOUND, _REFUSED = frozenset({404}), frozenset({401, 403})


class NotRecordedError(Exception):
    """The recording that answers in place of a model has no answer to a request."""


class AnswerFailedError(Exception):
    """A chain raised; the message is the name of the error's class, without any text."""


class EvaluatorFailedError(Exception):
    """An evaluator raised; the message names the error and its place, without any text."""


def _is_news(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, AnswerFailedError | EvaluatorFailedError)


def log_no_failures() -> None:
    """Let LangSmith log no traceback of each failure: the result has them all."""
    for runner in (evaluate, aevaluate):
        # The same function is added once only.
        logging.getLogger(runner.__module__).addFilter(_is_news)


def remedy_of(error: BaseException) -> str | None:
    """Return what to do about an error that each further answer would meet, too; or else None."""
    status = getattr(error, "status_code", None)
    if isinstance(error, ModelNotFoundError) or status in _NOT_FOUND:
        return "Its engine has no such model: check the name, the engine and the address."
    if (
        isinstance(error, ModelAuthenticationError | ModelPermissionDeniedError)
        or status in _REFUSED
    ):
        return "Its engine does not accept the key: check the one in the environment."
    if isinstance(error, ModelConnectionError | ConnectionError):
        return "Its engine can't be reached: check the address, and that it is running."
    return None


def place_of(error: BaseException) -> str:
    """Return the class of an error, and the file and line that raised it."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f" at {Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else ""
    return f"{type(error).__name__}{place}"
