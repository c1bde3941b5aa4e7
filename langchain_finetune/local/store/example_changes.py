"""Changes of examples as clients send them, validated. Pure functions; no I/O."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import jsonschema_rs
import orjson
from pydantic import BeforeValidator, Field

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.store.attachments import Attachment
from langchain_finetune.local.store.bodies import FormPart
from langchain_finetune.local.store.values import (
    ClientBody,
    Id,
    dumps,
    loads,
    micros,
    new_uuid,
    validated,
)

DEFAULT_SPLIT = "base"
"""The split of examples that name none, as in LangSmith."""

_PARTS = frozenset({"inputs", "outputs", "attachments_operations"})

SPLITS_KEY = "dataset_split"
"""Where LangSmith keeps an example's splits in its metadata."""


@dataclass(frozen=True)
class ExampleChange:
    """A client's change of one example; None leaves a field as it is.

    Of the files before, `kept_attachments` stay, under their new names; None keeps them all.
    With `from_run` inputs and outputs are those of the source run, and `files_from_run` its files.
    """

    id: str
    inputs: str | None = None
    outputs: str | None = None
    metadata: Mapping[str, Any] | None = None
    splits: tuple[str, ...] | None = None
    created_at: int | None = None
    source_run_id: str | None = None
    attachments: tuple[Attachment, ...] = ()
    kept_attachments: Mapping[str, str] | None = None
    from_run: bool = False
    files_from_run: tuple[str, ...] = ()


def _texts(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


_Splits = Annotated[tuple[str, ...], BeforeValidator(_texts)]


class _Operations(ClientBody):
    """Changes of the files before: `{"rename": {old: new}, "retain": [name]}`."""

    rename: dict[str, str] = Field(default={})
    retain: list[str] = Field(default=[])

    @property
    def kept(self) -> Mapping[str, str]:
        return {name: name for name in self.retain} | self.rename


class _ExampleBody(ClientBody):
    id: Id = Field(default_factory=new_uuid)
    inputs: dict[str, Any] | None = None
    outputs: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    split: _Splits | None = None
    created_at: Any = None
    source_run_id: Id | None = None
    use_source_run_io: Any = None
    use_source_run_attachments: list[str] = Field(default=[])
    attachments_operations: _Operations | None = None


def example_change(body: Any, *, attachments: Iterable[Attachment] = ()) -> ExampleChange:
    """Read a client's change of an example, with files that are new.

    Raises:
        ApiError: 400 if a field is invalid.
    """
    asked = validated(_ExampleBody, body)
    files, operations = asked.use_source_run_attachments, asked.attachments_operations
    if (asked.use_source_run_io or files) and not asked.source_run_id:
        raise ApiError(400, "A source_run_id must say from which run.", param="source_run_id")
    return ExampleChange(
        attachments=tuple(attachments),
        kept_attachments=None if operations is None else operations.kept,
        from_run=bool(asked.use_source_run_io),
        files_from_run=tuple(files),
        id=asked.id,
        inputs=None if asked.inputs is None else dumps(asked.inputs, "inputs"),
        outputs=None if asked.outputs is None else dumps(asked.outputs, "outputs"),
        metadata=asked.metadata,
        splits=asked.split,
        created_at=micros(asked.created_at),
        source_run_id=asked.source_run_id,
    )


def examples_of_parts(parts: Iterable[FormPart]) -> list[ExampleChange]:
    """Read the parts of a multipart body.

    Their names are `{id}`, `{id}.inputs`, `{id}.outputs`, `{id}.attachment.{name}` and
    `{id}.attachments_operations`.
    """
    found: dict[str, dict[str, Any]] = {}
    files: dict[str, list[Attachment]] = {}
    for part in parts:
        example_id, _, field = part.name.partition(".")
        kind, _, name = field.partition(".")
        fields = found.setdefault(example_id, {"id": example_id})
        if kind == "attachment" and name:
            attachment = Attachment(name, part.content_type, part.data)
            files.setdefault(example_id, []).append(attachment)
        elif not field:
            body = loads(part.data, "example")
            if not isinstance(body, dict):
                raise ApiError(400, "An example must be a JSON object.")
            found[example_id] = {**body, **fields}
        elif field in _PARTS:
            fields[field] = loads(part.data, field)
        else:
            raise ApiError(400, "A part's name is not that of an example.")
    return [
        example_change(fields, attachments=files.get(example_id, ()))
        for example_id, fields in found.items()
    ]


def example_metadata(change: ExampleChange, old: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return an example's metadata after a change, its splits among it."""
    kept = dict(old or {})
    new = dict(kept if change.metadata is None else change.metadata)
    given = change.splits or _splits(new.get(SPLITS_KEY)) or _splits(kept.get(SPLITS_KEY))
    return new | {SPLITS_KEY: list(given or (DEFAULT_SPLIT,))}


def _splits(value: Any) -> tuple[str, ...] | None:
    splits = _texts(value)
    if splits is None:
        return None
    if not isinstance(splits, list) or not all(isinstance(split, str) for split in splits):
        raise ApiError(400, "split must be a string or a list of strings.", param="split")
    return tuple(splits)


SCHEMAS = {"inputs": "inputs_schema_definition", "outputs": "outputs_schema_definition"}
"""Where a dataset keeps the JSON schemas of its examples."""


def require_schemas(dataset: Mapping[str, Any]) -> None:
    """Refuse a dataset with something that is not a JSON schema."""
    for name in SCHEMAS.values():
        if dataset.get(name) is not None:
            _validator(name, dataset[name])


def require_fit(dataset: Mapping[str, Any], example: Mapping[str, Any]) -> None:
    """Refuse an example's row that does not fit the schemas of its dataset.

    Raises:
        ApiError: 400 with the example and the place of the fault, and no value.
    """
    for column, name in SCHEMAS.items():
        if dataset.get(name) is None or example[column] is None:
            continue
        validator = _validator(name, dataset[name])
        fault = next(iter(validator.iter_errors(orjson.loads(example[column]))), None)
        if fault is not None:
            place = "/".join(str(part) for part in [column, *fault.instance_path])
            raise ApiError(
                400,
                f"Example {example['id']} does not fit the dataset's schema at {place}.",
                code="schema_mismatch",
                param=column,
            )


def _validator(name: str, schema: Any) -> Any:
    try:
        return jsonschema_rs.validator_for(schema, validate_formats=False, offline=True)
    except (ValueError, jsonschema_rs.ValidationError):
        raise ApiError(400, f"{name} must be a JSON schema.", param=name) from None
