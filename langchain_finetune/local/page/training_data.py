"""Starts the job that a form asks for, from a dataset's examples or from uploaded files."""

import asyncio
import hashlib
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import orjson

from langchain_finetune.content import mapping
from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.files import FileRecord
from langchain_finetune.local.identifiers import now
from langchain_finetune.local.jobs.create import create_job
from langchain_finetune.local.jobs.file_check import Param, check_training_file
from langchain_finetune.local.jobs.schemas import JobRecord
from langchain_finetune.local.page.engine_parts import EngineParts
from langchain_finetune.local.page.job_form import JobForm
from langchain_finetune.local.page.job_views import file_name
from langchain_finetune.local.store import RunStore
from langchain_finetune.local.store.example_formats import openai_line
from langchain_finetune.methods import METHODS, LineKind, Method

MAX_CHECKED_BYTES = 16 * 2**20
"""Largest file that is checked while somebody waits; the job checks every file again."""

_IN_MEMORY = 2**20


async def start_job(engine: EngineParts, store: RunStore, form: JobForm) -> JobRecord:
    """Make the files of a job from a form and its dataset, and start it.

    Raises:
        ApiError: Something can't be trained on; no file and no job was made.
    """
    method, _ = form.request.method_settings()
    made: list[FileRecord] = []

    async def keep(lines: Iterable[bytes], filename: str) -> FileRecord:
        with tempfile.SpooledTemporaryFile(_IN_MEMORY) as source:
            source.writelines(line + b"\n" for line in lines)
            source.seek(0)
            made.append(await engine.files.upload(source, filename))
        return made[-1]

    def uploaded(file_id: str, param: Param) -> FileRecord:
        try:
            return engine.files.get(file_id)
        except ApiError as error:
            message = "The file is gone; choose another."
            raise ApiError(error.status, message, param=param) from None

    async def fit(file: FileRecord, param: Param) -> str:
        if file.bytes <= MAX_CHECKED_BYTES and (
            fault := (await check_training_file(engine.files, file.id, param, method)).fault
        ):
            raise ApiError(400, fault.message, code=fault.code, param=param)
        return file.id

    try:
        validation = None
        if form.source == "file":
            training = uploaded(form.source_id, "training_file")
        else:
            # The store may make its callers wait for a search.
            name = (await asyncio.to_thread(store.datasets.get, form.source_id))["name"]
            lines = await asyncio.to_thread(_lines, store, form.source_id, method)
            to_train, to_validate = split(lines, form.share)
            job_name = form.request.suffix or name

            def named(part: str, kept: Sequence[bytes]) -> str:
                return f"{file_name(f'{job_name}, {part}', now(), len(kept))}.jsonl"

            training = await keep(to_train, named("training", to_train))
            if form.share:
                validation = await keep(to_validate, named("validation", to_validate))
        if form.request.validation_file and not form.share:
            validation = uploaded(form.request.validation_file, "validation_file")
        files = {
            "training_file": await fit(training, "training_file"),
            "validation_file": validation and await fit(validation, "validation_file"),
        }
        request = form.request.model_copy(update=files)
        return await create_job(request, engine.queue, engine.models, engine.home)
    except BaseException:
        for file in made:
            engine.files.delete(file.id)
        raise


def split(lines: Sequence[tuple[str, bytes]], share: float) -> tuple[list[bytes], list[bytes]]:
    """Split lines, with the ids of their examples, into those to train on and to validate with.

    The ids decide: the same set is split the same way each time, whatever its order.

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


def supervised_line(inputs: Any, outputs: Any) -> dict[str, Any] | None:
    """Return OpenAI's line of a chat, with its response format; None where there is no chat.

    As in the lines of `Convert`, it is there if its JSON schema is known.
    """
    line = openai_line(inputs, outputs)
    form = mapping(inputs).get("response_format")
    if line and "schema" in mapping(mapping(form).get("json_schema")):
        line["response_format"] = form
    return line


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


def unpaired_preference_line(inputs: Any, outputs: Any) -> dict[str, Any] | None:
    """Return the line of a judged chat, or None where the example is not one.

    It is an example of a chat whose outputs have a `label`, true or false, beside the answer.

    Example:
        >>> asked = {"messages": [{"role": "user", "content": "Hi"}]}
        >>> answer = {"role": "assistant", "content": "Hello"}
        >>> unpaired_preference_line(asked, {"message": answer, "label": True})["label"]
        True
    """
    line = supervised_line(inputs, outputs)
    label = mapping(outputs).get("label")
    return line | {"label": label} if line and isinstance(label, bool) else None


LINES: Mapping[LineKind, tuple[str, Callable[[Any, Any], dict[str, Any] | None]]] = {
    "supervised": ("chat", supervised_line),
    "preference": ("preference", preference_line),
    "unpaired_preference": ("judged chat", unpaired_preference_line),
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
