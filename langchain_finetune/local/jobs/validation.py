"""Reads a training file line by line before a job starts, and says what makes it unfit."""

import threading
from pathlib import Path
from typing import Literal

from langchain_finetune.checks import LOCAL, Finding, Method, check_lines, check_size, errors_of
from langchain_finetune.local.jobs.schemas import JobErrorRecord, MethodType

Param = Literal["training_file", "validation_file"]


def check_file(
    path: Path, param: Param, stop: threading.Event, method: MethodType = "supervised"
) -> JobErrorRecord | None:
    """Return the first fault of a file of examples, or None.

    Args:
        path: The file: one JSON object a line; empty lines are passed over.
        param: Which file of the job it is.
        stop: Set by another thread when nobody wants the answer any more.
        method: What the examples are for: `dpo` takes preferences.
    """
    lines_of: Method = "preference" if method == "dpo" else "supervised"
    examples = 0
    try:
        size = path.stat().st_size
        with path.open("rb") as lines:
            for number, found in check_lines(lines, LOCAL, lines_of):
                if stop.is_set():
                    return None
                if errors := errors_of(found):
                    place = f"Line {number} of the {_spoken(param)}: "
                    return JobErrorRecord(
                        code=f"invalid_{param}", message=place + _said(errors[0]), param=param
                    )
                examples += 1
    except FileNotFoundError:
        return JobErrorRecord(code=f"invalid_{param}", message="The file is gone.", param=param)
    for finding in check_size(examples, size, LOCAL, training=param == "training_file"):
        message = f"The {_spoken(param)}: {finding.message}"
        return JobErrorRecord(code=finding.code, message=message, param=param)
    return None


def _spoken(param: Param) -> str:
    return param.replace("_", " ")


def _said(finding: Finding) -> str:
    """Say what is wrong with one line, with the rule's name and no training text."""
    place = "" if finding.index is None else f", message {finding.index}"
    return f"{finding.message} (rule {finding.code}{place})"
