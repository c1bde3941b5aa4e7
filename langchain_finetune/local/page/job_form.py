"""Reads the form that starts a job, without I/O; the rules of a job are those of `CreateJob`."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import orjson
from pydantic import ValidationError

from langchain_finetune.arguments import words_of
from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.jobs.create import CreateJob
from langchain_finetune.methods import Hyperparameters, foreign, read_targets

HYPERPARAMETERS = tuple(name for name in Hyperparameters.model_fields if name != "packing")
"""Fields that are hyperparameters; an empty one is left to the engine."""

FIELDS = (
    *("source", "model", "other_model", "method", "suffix", "seed"),
    *("validation_share", "validation_file", *HYPERPARAMETERS),
)

TOKEN_KEY = "page_form"  # noqa: S105 - no secret: a name in a job's metadata
"""Key of a job's metadata that identifies the form that it came from."""

MOST_SHARE = 50
"""Percent of a dataset that may be set aside for validation."""

_SENTENCES = {"string_too_short": "Choose a model."}
_FIELD_OF = {"training_file": "source"}
_LATER = "to be made"


class FormError(Exception):
    """Mistakes in a form: sentences by their field; an empty name is for the whole form."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__(" ".join(errors.values()))
        self.errors = dict(errors)


@dataclass(frozen=True)
class JobForm:
    """A form that can become a job; files that are still to be made have no id yet.

    `share` is the part of the dataset, from 0 to 1, that validates.
    """

    source: Literal["dataset", "file"]
    source_id: str
    share: float
    request: CreateJob


def read_job_form(given: Mapping[str, str]) -> JobForm:
    """Read the form's `FIELDS` and `token`, as they were sent.

    Raises:
        FormError: A field is missing or wrong.
    """
    values = {name: given.get(name, "").strip() for name in FIELDS}
    errors = {}
    kind, _, source_id = values["source"].partition(":")
    if kind not in {"dataset", "file"} or not source_id:
        errors["source"] = "Choose a dataset or a file."
    share, fault = _share(values, kind)
    if fault:
        errors["validation_share"] = fault
    try:
        request = CreateJob.model_validate(_body(values, share, job_key(given)))
        request.method_settings()
    except ValidationError as error:
        errors |= _sentences(error)
    except ApiError as error:
        errors |= errors_of(error, given)
    if errors:
        raise FormError(errors)
    return JobForm("dataset" if kind == "dataset" else "file", source_id, share, request)


def job_key(given: Mapping[str, str]) -> str:
    """Return what stands for one sending of a form, in a job's metadata.

    The form's token makes a second click the same; its fields make a changed form another.

    Raises:
        FormError: The form has no token.
    """
    token = given.get("token", "")
    if not token:
        raise FormError({"": "This form is incomplete: open the page again."})
    fields = [given.get(name, "").strip() for name in FIELDS]
    return hashlib.sha256(orjson.dumps([token, *fields])).hexdigest()[:32]


def errors_of(error: ApiError, given: Mapping[str, str]) -> dict[str, str]:
    """Return an error of the engine by the form's field."""
    if error.param == "model" and given.get("other_model", "").strip():
        return {"other_model": error.message}
    parts = [_FIELD_OF.get(part, part) for part in (error.param or "").split(".")]
    return {next((part for part in parts if part in FIELDS), ""): error.message}


def _body(values: Mapping[str, str], share: float, key: str) -> dict[str, object]:
    method = values["method"] or "supervised"
    chosen: dict[str, object] = {name: values[name] for name in HYPERPARAMETERS if values[name]}
    if values["lora_targets"]:
        chosen["lora_targets"] = read_targets(values["lora_targets"])
    # The form has the fields of all methods.
    for name in foreign(method, chosen):
        del chosen[name]
    validation = _LATER if share else values["validation_file"]
    return {
        "model": values["other_model"] or values["model"],
        "training_file": _LATER,
        "validation_file": validation or None,
        "method": {"type": method, method: {"hyperparameters": chosen}},
        "suffix": values["suffix"] or None,
        "seed": values["seed"] or None,
        "metadata": {TOKEN_KEY: key},
    }


def _share(values: Mapping[str, str], source: str) -> tuple[float, str]:
    """Return the share to validate with, and what is wrong with it."""
    try:
        percent = float(values["validation_share"] or 0)
    except ValueError:
        percent = -1
    if not 0 <= percent <= MOST_SHARE:
        return 0, f"Enter a percentage from 0 to {MOST_SHARE}."
    if percent and source == "file":
        return 0, "A share is taken of datasets; for a file, choose a validation file."
    if percent and values["validation_file"]:
        return 0, "Choose a share or a validation file, not both."
    return percent / 100, ""


def _sentences(error: ValidationError) -> dict[str, str]:
    """Return the first fault of each field; never what was typed in."""
    found: dict[str, str] = {}
    for fault in error.errors(include_input=False, include_url=False):
        field = next((str(part) for part in fault["loc"][::-1] if part in FIELDS), "")
        words = words_of(fault)
        sentence = f"{words[:1].upper()}{words[1:].removesuffix('.')}."
        found.setdefault(field, _SENTENCES.get(fault["type"], sentence))
    return found
