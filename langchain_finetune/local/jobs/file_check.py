"""The check of a job's files: they exist when it is created, and fit before it trains."""

import asyncio
import threading
from pathlib import Path
from typing import Literal

from langchain_finetune.checks import LOCAL, check_lines, check_size, errors_of
from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.files import Files
from langchain_finetune.local.jobs.schemas import JobErrorRecord
from langchain_finetune.methods import METHODS, Method

Param = Literal["training_file", "validation_file"]


def require_uploaded(files: Files, file_id: str, param: Param) -> None:
    """Make sure that a file was uploaded for training.

    Raises:
        ApiError: 400 where it was not.
    """
    try:
        purpose = files.get(file_id).purpose
    except ApiError:
        purpose = None
    if purpose != "fine-tune":
        raise ApiError(
            400,
            f"{file_id} is not a file that was uploaded with the purpose fine-tune.",
            code=f"invalid_{param}",
            param=param,
        )


async def fault_of_file(
    files: Files, file_id: str, param: Param, method: Method
) -> JobErrorRecord | None:
    """Return the first fault of a file of examples, or None; it is read in a thread.

    Args:
        files: The uploaded files.
        file_id: The file: one JSON object a line; empty lines are ignored.
        param: Which file of the job it is.
        method: What the examples are for.
    """
    stop = threading.Event()
    try:
        path = files.path(file_id)
        return await asyncio.to_thread(_fault_of_lines, path, param, method, stop)
    except ApiError as error:
        return JobErrorRecord(code=f"invalid_{param}", message=error.message, param=param)
    finally:
        # Threads cannot be cancelled, so it checks this event.
        stop.set()


def _fault_of_lines(
    path: Path, param: Param, method: Method, stop: threading.Event
) -> JobErrorRecord | None:
    name = param.replace("_", " ")
    examples = 0
    try:
        size = path.stat().st_size
        with path.open("rb") as lines:
            for number, found in check_lines(lines, LOCAL, METHODS[method].lines[0]):
                if stop.is_set():
                    return None
                if errors := errors_of(found):
                    # With the rule's name, and no training text.
                    first = errors[0]
                    place = "" if first.index is None else f", message {first.index}"
                    return JobErrorRecord(
                        code=f"invalid_{param}",
                        message=f"Line {number} of the {name}: {first.message}"
                        f" (rule {first.code}{place})",
                        param=param,
                    )
                examples += 1
    except FileNotFoundError:
        return JobErrorRecord(code=f"invalid_{param}", message="The file is gone.", param=param)
    for finding in check_size(examples, size, LOCAL, training=param == "training_file"):
        message = f"The {name}: {finding.message}"
        return JobErrorRecord(code=finding.code, message=message, param=param)
    return None
