"""Examples from a CSV file, as `client.upload_csv` sends it. Pure functions."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any
from uuid import uuid4

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.store.example_changes import ExampleChange
from langchain_finetune.local.store.wire import Part, dumps

MAX_ROWS = 100_000
"""Most rows of a file: short ones take a hundred times their bytes as examples."""

_SINGLE = ("id", "name", "description", "data_type")


def csv_upload(parts: Iterable[Part]) -> tuple[dict[str, Any], list[ExampleChange]]:
    """Read a dataset and its examples from the parts of a form.

    Args:
        parts: `file`, `input_keys` and `output_keys` (columns, repeated), and the fields of the
            dataset; its name is that of the file where there is no other.

    Raises:
        ApiError: 400 where the file is no CSV, or lacks a column that a key names.
    """
    fields: dict[str, list[Part]] = {}
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
        raise ApiError(400, f"The file can't be read as CSV: {error}.", param="file") from None
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


def _text(part: Part) -> str:
    try:
        return part.data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ApiError(400, f"{part.name} is no text in UTF-8.", param=part.name) from None
