"""The check of a job's files: they exist when it is created, and fit before it trains."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Literal, NamedTuple

from langchain_finetune.checks import LOCAL, check_lines, check_size, errors_of
from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.files import Files
from langchain_finetune.local.jobs.schemas import JobErrorRecord
from langchain_finetune.methods import METHODS, Method

Param = Literal["training_file", "validation_file"]


class TrainingFileCheck(NamedTuple):
    """The number of examples in a file that is fit, or its first fault."""

    examples: int | None = None
    fault: JobErrorRecord | None = None


def require_uploaded(files: Files, file_id: str, param: Param) -> None:
    """Make sure that a file was uploaded for training.

    Raises:
        ApiError: 400 where it was not.
    """
    try:
        files.path(file_id)
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


async def check_training_file(
    files: Files, file_id: str, param: Param, method: Method
) -> TrainingFileCheck:
    """Check a file of examples; it is read in a thread."""
    stop = threading.Event()
    try:
        return await asyncio.to_thread(_check, files.path(file_id), param, method, stop)
    except ApiError as error:
        message = error.message
    except FileNotFoundError:
        message = "The file is gone."
    finally:
        # Threads cannot be cancelled, so it checks this event.
        stop.set()
    return TrainingFileCheck(
        fault=JobErrorRecord(code=f"invalid_{param}", message=message, param=param)
    )


def _check(path: Path, param: Param, method: Method, stop: threading.Event) -> TrainingFileCheck:
    name = param.replace("_", " ")
    examples = 0
    size = path.stat().st_size
    with path.open("rb") as lines:
        for number, found in check_lines(_bounded(lines, name), LOCAL, METHODS[method].lines[0]):
            if stop.is_set():
                return TrainingFileCheck()
            for error in errors_of(found):
                # With the rule's name, and no training text.
                place = "" if error.index is None else f", message {error.index}"
                message = f"Line {number} of the {name}: {error.message} (rule {error.code}{place})"
                code = f"invalid_{param}"
                return TrainingFileCheck(
                    fault=JobErrorRecord(code=code, message=message, param=param)
                )
            examples += 1
    for finding in check_size(examples, size, LOCAL, training=param == "training_file"):
        message = f"The {name}: {finding.message}"
        return TrainingFileCheck(
            fault=JobErrorRecord(code=finding.code, message=message, param=param)
        )
    return TrainingFileCheck(examples)


def _bounded(lines: IO[bytes], name: str) -> Iterator[bytes]:
    """Yield the lines of a file, with one of them in memory.

    A longer line than the rules allow is not parsed, which takes up to thirty times its memory.

    Raises:
        ApiError: A line is too long.
    """
    number, most = 0, LOCAL.max_example_bytes
    while line := lines.readline(most + 1):
        number += 1
        if len(line) > most:
            raise ApiError(
                400,
                f"Line {number} of the {name}: An example may have at most {most // 2**20} MB. "
                "(rule example_too_large)",
            )
        yield line
