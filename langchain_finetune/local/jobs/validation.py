"""Reads a training file line by line before a job starts, and says what makes it unfit."""

import json
import threading
from pathlib import Path
from typing import Literal

from langchain_finetune.convert.checks import MIN_EXAMPLES, check_example
from langchain_finetune.convert.preference_checks import check_preference
from langchain_finetune.local.jobs.records import JobError, MethodType

Param = Literal["training_file", "validation_file"]


def check_file(
    path: Path, param: Param, stop: threading.Event, method: MethodType = "supervised"
) -> JobError | None:
    """Return the first fault of a file of examples, or None.

    Args:
        path: The file: one JSON object a line; empty lines are passed over.
        param: Which file of the job it is.
        stop: Set by another thread when nobody wants the answer any more.
        method: What the examples are for: `dpo` takes preferences.
    """
    examples = 0
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if stop.is_set():
                    return None
                if not line.strip():
                    continue
                if fault := _fault_of(line, method):
                    return JobError(
                        code=f"invalid_{param}",
                        message=f"Line {number} of the {param.replace('_', ' ')}: {fault}",
                        param=param,
                    )
                examples += 1
    except FileNotFoundError:
        return JobError(code=f"invalid_{param}", message="The file is gone.", param=param)
    fewest = MIN_EXAMPLES if param == "training_file" else 1
    if examples < fewest:
        return JobError(
            code="invalid_n_examples",
            message=f"The {param.replace('_', ' ')} has {examples} example(s), "
            f"but must have at least {fewest}.",
            param=param,
        )
    return None


def _fault_of(line: bytes, method: MethodType) -> str | None:
    """Return what is wrong with one line, with the rule's name and no training text."""
    try:
        example = json.loads(line)
    except (ValueError, RecursionError):
        return "It is no JSON (rule not_json)."
    for finding in (check_preference if method == "dpo" else check_example)(example):
        place = "" if finding.index is None else f", message {finding.index}"
        return f"{finding.message} (rule {finding.code}{place})"
    return None
