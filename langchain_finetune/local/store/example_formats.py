"""Examples from a CSV file, as `client.upload_csv` sends it. Pure functions."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, cast
from uuid import uuid4

import orjson

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.store.bodies import FormPart
from langchain_finetune.local.store.example_changes import ExampleChange
from langchain_finetune.local.store.values import dumps
from langchain_finetune.sessions import FineTuningSession, line_settings

MAX_ROWS = 100_000
"""Most rows of a file: short ones take a hundred times their bytes as examples."""

_SINGLE = ("id", "name", "description", "data_type")


def csv_upload(parts: Iterable[FormPart]) -> tuple[dict[str, Any], list[ExampleChange]]:
    """Read a dataset and its examples from the parts of a form.

    They are `file`, `input_keys` and `output_keys` (columns, repeated), and the fields of the
    dataset; its name is that of the file where there is no other.
    """
    fields: dict[str, list[FormPart]] = {}
    for part in parts:
        fields.setdefault(part.name, []).append(part)
    if "file" not in fields:
        raise ApiError(400, "The form needs a file.", param="file")
    file = fields.pop("file")[0]
    texts = {name: [_text(part) for part in listed] for name, listed in fields.items()}
    dataset = {name: texts[name][0] for name in _SINGLE if name in texts}
    dataset.setdefault("name", file.filename)
    keys = {kind: texts.get(f"{kind}_keys", []) for kind in ("input", "output")}
    return dataset, _examples(_text(file), keys)


def _examples(text: str, keys: Mapping[str, Sequence[str]]) -> list[ExampleChange]:
    if not keys["input"]:
        raise ApiError(400, "input_keys must name columns.", param="input_keys")
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        missing = {*keys["input"], *keys["output"]}.difference(reader.fieldnames or ())
        if missing:
            raise ApiError(400, f"The file has no column {', '.join(sorted(missing))}.")
        rows = list(islice(reader, MAX_ROWS + 1))
    except csv.Error as error:
        # It names the kind of the fault, and quotes nothing.
        raise ApiError(400, f"The file is not valid CSV: {error}.", param="file") from None
    if len(rows) > MAX_ROWS:
        raise ApiError(413, f"The file has more than {MAX_ROWS} rows: cut it.", param="file")
    return [
        ExampleChange(
            str(uuid4()),
            inputs=dumps({key: row[key] for key in keys["input"]}, "inputs"),
            outputs=dumps({key: row[key] for key in keys["output"]}, "outputs")
            if keys["output"]
            else None,
        )
        for row in rows
    ]


def _text(part: FormPart) -> str:
    try:
        return part.data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ApiError(400, f"{part.name} is not UTF-8 text.", param=part.name) from None


_ROLES = {"human": "user", "ai": "assistant", "system": "system", "tool": "tool"}
_KEPT = ("name", "tool_call_id")


def openai_line(inputs: Any, outputs: Any) -> dict[str, Any] | None:
    """Return `{messages, tools?, functions?, parallel_tool_calls?}`; None if there is no chat."""
    if not isinstance(inputs, dict) or not isinstance(outputs, dict):
        return None
    given = inputs.get("input", inputs.get("messages"))
    answer = outputs.get("output", outputs.get("message"))
    if answer is None and isinstance(outputs.get("messages"), list):
        answer = outputs["messages"][-1] if outputs["messages"] else None
    if not isinstance(given, list) or not given:
        return None
    messages = [_message(message) for message in [*given, answer]]
    if None in messages:
        return None
    line: dict[str, Any] = {"messages": messages}
    return line | line_settings(cast("FineTuningSession", inputs))


def _message(message: Any) -> dict[str, Any] | None:
    if not isinstance(message, dict):
        return None
    if isinstance(message.get("role"), str):
        return message
    data, kind = message.get("data"), message.get("type")
    if not isinstance(data, dict) or not isinstance(kind, str):
        return None
    extra = data.get("additional_kwargs")
    extra = extra if isinstance(extra, dict) else {}
    role = "function" if kind == "function" else data.get("role") or _ROLES.get(kind)
    if not isinstance(role, str):
        return None
    given = data.get("tool_calls")
    given = given if isinstance(given, list) else []
    calls = [_call(call) for call in given if isinstance(call, dict)] or extra.get("tool_calls")
    return {
        "role": role,
        "content": data.get("content"),
        **{name: data[name] for name in _KEPT if data.get(name)},
        **({"tool_calls": calls} if calls else {}),
        **({"function_call": extra["function_call"]} if extra.get("function_call") else {}),
    }


def _call(call: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": call.get("id"),
        "type": "function",
        "function": {
            "name": call.get("name"),
            "arguments": orjson.dumps(call.get("args") or {}).decode(),
        },
    }
