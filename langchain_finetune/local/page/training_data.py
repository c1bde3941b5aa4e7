"""Makes a dataset of the store into files to train on."""

import asyncio
import hashlib
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import orjson

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.files import FileRecord, Files
from langchain_finetune.local.jobs.file_check import Param, fault_of_file
from langchain_finetune.local.store import RunStore
from langchain_finetune.local.store.example_formats import openai_line
from langchain_finetune.methods import METHODS, LineKind, Method

MAX_CHECKED_BYTES = 16 * 2**20
"""Largest file that is checked while somebody waits; the job checks every file again."""

_IN_MEMORY = 2**20


async def dataset_files(
    store: RunStore, files: Files, dataset_id: str, method: Method, share: float
) -> list[FileRecord]:
    """Keep a dataset's examples as files: one to train on, and for a share one to validate with.

    Args:
        store: Knows the dataset.
        files: Keeps the files.
        dataset_id: The dataset.
        method: What the examples are for.
        share: Part of the examples, from 0 to 1, that validates.

    Raises:
        ApiError: 404 for an unknown dataset; 400 where an example does not fit the method, or a
            share leaves one of the files empty.
    """
    # The store may make its callers wait for a search.
    name = (await asyncio.to_thread(store.datasets.get, dataset_id))["name"]
    lines = await asyncio.to_thread(_lines, store, dataset_id, method)
    train, validation = split(lines, share)
    kept = await _keep(files, train, f"{name}.jsonl")
    if not share:
        return [kept]
    try:
        return [kept, await _keep(files, validation, f"{name}-validation.jsonl")]
    except BaseException:
        files.delete(kept.id)
        raise


async def require_fit(files: Files, file: FileRecord, param: Param, method: Method) -> None:
    """Make sure that a file can be trained on, unless it is too large to be read right now.

    Raises:
        ApiError: 400 that says which line is unfit, and why.
    """
    if file.bytes > MAX_CHECKED_BYTES:
        return
    if fault := await fault_of_file(files, file.id, param, method):
        raise ApiError(400, fault.message, code=fault.code, param=param)


def split(lines: Sequence[tuple[str, bytes]], share: float) -> tuple[list[bytes], list[bytes]]:
    """Split lines into those to train on and those to validate with.

    The ids decide: the same set is split the same way each time, whatever its order.

    Args:
        lines: Ids of examples, and their lines.
        share: Part that validates, from 0 to 1.

    Raises:
        ApiError: 400 where one of the sides would be empty.

    Example:
        >>> [len(side) for side in split([(str(n), b"{}") for n in range(20)], 0.1)]
        [18, 2]
    """
    wanted = round(len(lines) * share)
    if share and not 0 < wanted < len(lines):
        raise ApiError(
            400,
            f"{share:.0%} of {len(lines)} examples leaves nothing to"
            f" {'validate with' if not wanted else 'train on'}: choose another share.",
            param="validation_share",
        )
    order = sorted((hashlib.sha256(key.encode()).digest(), key) for key, _ in lines)
    chosen = {key for _, key in order[:wanted]}
    train = [line for key, line in lines if key not in chosen]
    return train, [line for key, line in lines if key in chosen]


def preference_line(inputs: Any, outputs: Any) -> dict[str, Any] | None:
    """Return OpenAI's line of a preference, or None where the example is not one.

    The inputs are `{"messages": [...], "tools"?: [...]}`, or `{"input": {...}}` with the same; the
    outputs are `{"preferred_output": [...], "non_preferred_output": [...]}`.
    """
    if not isinstance(inputs, dict) or not isinstance(outputs, dict):
        return None
    given = inputs if "messages" in inputs else inputs.get("input")
    sides = {side: outputs.get(side) for side in ("preferred_output", "non_preferred_output")}
    if not isinstance(given, dict) or not all(isinstance(side, list) for side in sides.values()):
        return None
    return {"input": given} | sides


LINES: Mapping[LineKind, tuple[str, Callable[[Any, Any], dict[str, Any] | None]]] = {
    "supervised": ("chat", openai_line),
    "preference": ("preference", preference_line),
}
"""For each kind of line that the engine trains on: its word, and what makes an example into one."""


def _lines(store: RunStore, dataset_id: str, method: Method) -> list[tuple[str, bytes]]:
    _, line_of = LINES[METHODS[method].lines[0]]
    made = []
    for example in store.examples.all(dataset_id=dataset_id, limit=-1):
        # They are JSON as it came in; a line is made of parsed JSON.
        inputs, outputs = orjson.loads(orjson.dumps([example["inputs"], example["outputs"]]))
        line = line_of(inputs, outputs)
        if line is None:
            raise _unfit(example["id"], method, inputs, outputs)
        made.append((example["id"], orjson.dumps(line)))
    if not made:
        raise ApiError(400, "The dataset has no examples.", param="training_file")
    return made


def _unfit(example_id: str, method: Method, inputs: Any, outputs: Any) -> ApiError:
    fault = f"holds no {LINES[METHODS[method].lines[0]][0]}"
    for other in METHODS.values():
        word, line_of = LINES[other.lines[0]]
        if line_of(inputs, outputs):
            fault = f"is a {word}: choose {other.label}"
    return ApiError(400, f"Example {example_id} {fault}.", param="training_file")


async def _keep(files: Files, lines: Iterable[bytes], filename: str) -> FileRecord:
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as source:
        source.writelines(line + b"\n" for line in lines)
        source.seek(0)
        return await files.upload(source, filename)
