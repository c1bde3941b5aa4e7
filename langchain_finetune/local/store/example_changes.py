"""What clients say about an example, checked. Pure functions; no I/O."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import jsonschema_rs
import orjson

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.store.attachments import Attachment
from langchain_finetune.local.store.bodies import FormPart
from langchain_finetune.local.store.values import dumps, loads, micros, uuid_text

DEFAULT_SPLIT = "base"
"""The split of examples that name none, as in LangSmith."""

_PARTS = frozenset({"", "inputs", "outputs", "attachments_operations"})

SPLITS_KEY = "dataset_split"
"""Where LangSmith keeps an example's splits in its metadata."""


@dataclass(frozen=True)
class ExampleChange:
    """What a client says of one example; what is None, it does not say.

    Attributes:
        attachments: Files that are new.
        kept_attachments: Of the files before, those that stay, with their new names; None keeps
            them all.
        from_run: Inputs and outputs are those of the run that it comes from.
        files_from_run: Names of that run's files that it takes over.
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


def example_change(
    body: Any,
    *,
    example_id: str | None = None,
    inputs: Any = None,
    outputs: Any = None,
    attachments: Iterable[Attachment] = (),
    operations: Any = None,
) -> ExampleChange:
    """Read what a client says of an example.

    Args:
        body: `{"id"?, "inputs"?, "outputs"?, "metadata"?, "split"?, "created_at"?,
            "source_run_id"?}`.
        example_id: Its id, where the body does not hold it.
        inputs: Its inputs, where the body does not hold them.
        outputs: Its outputs, likewise.
        attachments: Files that are new.
        operations: `{"rename": {old: new}, "retain": [name]}`, of the files before.

    Raises:
        ApiError: 400 where a field is not what it should be.
    """
    if not isinstance(body, dict):
        raise ApiError(400, "An example must be a JSON object.")
    files = body.get("use_source_run_attachments") or []
    if not _is_texts(files):
        raise ApiError(400, "use_source_run_attachments must be a list of texts.")
    if (body.get("use_source_run_io") or files) and not body.get("source_run_id"):
        raise ApiError(400, "A source_run_id must say from which run.", param="source_run_id")
    return ExampleChange(
        attachments=tuple(attachments),
        kept_attachments=_kept(operations),
        from_run=bool(body.get("use_source_run_io")),
        files_from_run=tuple(files),
        id=uuid_text(example_id or body.get("id"), "id") or str(uuid4()),
        inputs=_object("inputs", inputs if inputs is not None else body.get("inputs")),
        outputs=_object("outputs", outputs if outputs is not None else body.get("outputs")),
        metadata=_metadata(body.get("metadata")),
        splits=_splits(body.get("split")),
        created_at=micros(body.get("created_at")),
        source_run_id=uuid_text(body.get("source_run_id"), "source_run_id"),
    )


def examples_of_parts(parts: Iterable[FormPart]) -> list[ExampleChange]:
    """Read the parts of a multipart body.

    Args:
        parts: Named `{id}`, `{id}.inputs`, `{id}.outputs`, `{id}.attachment.{name}` and
            `{id}.attachments_operations`.

    Raises:
        ApiError: 400 where a part is malformed, or holds what this server does not keep.
    """
    found: dict[str, dict[str, Any]] = {}
    files: dict[str, list[Attachment]] = {}
    for part in parts:
        example_id, _, field = part.name.partition(".")
        kind, _, name = field.partition(".")
        fields = found.setdefault(example_id, {})
        if kind == "attachment" and name:
            attachment = Attachment(name, part.content_type, part.data)
            files.setdefault(example_id, []).append(attachment)
        elif field in _PARTS:
            fields[field] = loads(part.data, field or "example")
        else:
            raise ApiError(400, "A part's name is none of an example.")
    return [
        example_change(
            fields.get("", {}),
            example_id=example_id,
            inputs=fields.get("inputs"),
            outputs=fields.get("outputs"),
            attachments=files.get(example_id, ()),
            operations=fields.get("attachments_operations"),
        )
        for example_id, fields in found.items()
    ]


def example_metadata(change: ExampleChange, old: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return an example's metadata after a change, its splits among it."""
    kept = dict(old or {})
    new = dict(kept if change.metadata is None else change.metadata)
    given = change.splits or _splits(new.get(SPLITS_KEY)) or _splits(kept.get(SPLITS_KEY))
    return new | {SPLITS_KEY: list(given or (DEFAULT_SPLIT,))}


def _kept(operations: Any) -> Mapping[str, str] | None:
    """Return which files stay, by their old names, with their new ones."""
    if operations is None:
        return None
    rename = operations.get("rename") or {} if isinstance(operations, dict) else None
    retain = operations.get("retain") or [] if isinstance(operations, dict) else None
    fits = isinstance(rename, dict) and _is_texts(list(rename.values())) and _is_texts(retain)
    if not fits or rename is None or retain is None:
        raise ApiError(
            400,
            'attachments_operations must be {"rename": {...}, "retain": [...]}.',
            param="attachments_operations",
        )
    return {name: name for name in retain} | rename


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _object(name: str, value: Any) -> str | None:
    if value is not None and not isinstance(value, dict):
        raise ApiError(400, f"{name} must be an object.", param=name)
    return None if value is None else dumps(value, name)


def _metadata(value: Any) -> Mapping[str, Any] | None:
    if value is not None and not isinstance(value, dict):
        raise ApiError(400, "metadata must be an object.", param="metadata")
    return value


def _splits(value: Any) -> tuple[str, ...] | None:
    splits = [value] if isinstance(value, str) else value
    if splits is None:
        return None
    if not isinstance(splits, list) or not all(isinstance(split, str) for split in splits):
        raise ApiError(400, "split must be a text or a list of texts.", param="split")
    return tuple(splits)


SCHEMAS = {"inputs": "inputs_schema_definition", "outputs": "outputs_schema_definition"}
"""Where a dataset says what the values of its examples must look like."""


def require_schemas(dataset: Mapping[str, Any]) -> None:
    """Refuse a dataset with something that is no JSON schema.

    Raises:
        ApiError: 400 with the name of the field.
    """
    for name in SCHEMAS.values():
        if dataset.get(name) is not None:
            _validator(name, dataset[name])


def require_fit(dataset: Mapping[str, Any], example: Mapping[str, Any]) -> None:
    """Refuse an example that does not fit the schemas of its dataset.

    Args:
        dataset: As it was made.
        example: Its row: `id`, and `inputs` and `outputs` as JSON.

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
