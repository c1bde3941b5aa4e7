"""What clients say about an example, checked. Pure functions; no I/O."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.store.run_changes import uuid_text
from langchain_finetune.local.store.timestamps import micros
from langchain_finetune.local.store.wire import Part, dumps, loads

DEFAULT_SPLIT = "base"
"""The split of examples that name none, as in LangSmith."""

SPLITS_KEY = "dataset_split"
"""Where LangSmith keeps an example's splits in its metadata."""


@dataclass(frozen=True)
class ExampleChange:
    """What a client says of one example; what is None, it does not say."""

    id: str
    inputs: str | None = None
    outputs: str | None = None
    metadata: Mapping[str, Any] | None = None
    splits: tuple[str, ...] | None = None
    created_at: int | None = None
    source_run_id: str | None = None


def example_change(
    body: Any, *, example_id: str | None = None, inputs: Any = None, outputs: Any = None
) -> ExampleChange:
    """Read what a client says of an example.

    Args:
        body: `{"id"?, "inputs"?, "outputs"?, "metadata"?, "split"?, "created_at"?,
            "source_run_id"?}`.
        example_id: Its id, where the body does not hold it.
        inputs: Its inputs, where the body does not hold them.
        outputs: Its outputs, likewise.

    Raises:
        ApiError: 400 where a field is not what it should be, or the values are to be copied from
            a run, which a local store does not do.
    """
    if not isinstance(body, dict):
        raise ApiError(400, "An example must be a JSON object.")
    if body.get("use_source_run_io") or body.get("use_source_run_attachments"):
        raise ApiError(
            400, "This server can't copy a run's values: send them.", param="use_source_run_io"
        )
    return ExampleChange(
        id=uuid_text(example_id or body.get("id"), "id") or str(uuid4()),
        inputs=_object("inputs", inputs if inputs is not None else body.get("inputs")),
        outputs=_object("outputs", outputs if outputs is not None else body.get("outputs")),
        metadata=_metadata(body.get("metadata")),
        splits=_splits(body.get("split")),
        created_at=micros(body.get("created_at")),
        source_run_id=uuid_text(body.get("source_run_id"), "source_run_id"),
    )


def examples_of_parts(parts: Iterable[Part]) -> list[ExampleChange]:
    """Read the parts `{id}`, `{id}.inputs` and `{id}.outputs` of a multipart body.

    Raises:
        ApiError: 400 where a part is malformed, or holds what this server does not keep.
    """
    found: dict[str, dict[str, Any]] = {}
    for part in parts:
        example_id, _, field = part.name.partition(".")
        if field not in {"", "inputs", "outputs"}:
            kind = field.partition(".")[0]
            raise ApiError(400, f"This server keeps no {kind} of examples.", param=kind)
        found.setdefault(example_id, {})[field] = loads(part.data, field or "example")
    return [
        example_change(
            fields.get("", {}),
            example_id=example_id,
            inputs=fields.get("inputs"),
            outputs=fields.get("outputs"),
        )
        for example_id, fields in found.items()
    ]


def example_metadata(change: ExampleChange, old: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return an example's metadata after a change, its splits among it."""
    kept = dict(old or {})
    new = dict(kept if change.metadata is None else change.metadata)
    given = change.splits or _splits(new.get(SPLITS_KEY)) or _splits(kept.get(SPLITS_KEY))
    return new | {SPLITS_KEY: list(given or (DEFAULT_SPLIT,))}


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
