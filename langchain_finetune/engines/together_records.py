"""Together's jobs, events, metrics and checkpoints as this package's records, and the job's mark.

Together keeps no metadata. The mark by which a job is found again is therefore the end of its
suffix, and so part of its model's name: 12 hex digits of the fingerprint, and 4 of the attempt.
Source: together 3.1.1, `types` (the suffix has up to 40 characters).
"""

import datetime as dt
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from langchain_finetune.engines.jobs import (
    JobCheckpoint,
    JobEvent,
    JobStatus,
    RemoteJob,
    UploadedFile,
    figures_of,
)

MAX_SUFFIX = 40
_FINGERPRINT, _SUBMISSION = "fingerprint", "submission"
_DIGITS = {_FINGERPRINT: 12, _SUBMISSION: 4}
OWN_SUFFIX = MAX_SUFFIX - 1 - sum(_DIGITS.values())
"""Most characters of a suffix that the user gives."""

MARK = "mark"
_MARK = re.compile(r"(?:^|-)([0-9a-f]{16})(?:-|$)")

_STATES = {
    "pending": "queued",
    "completed": "succeeded",
    "error": "failed",
    "user_error": "failed",
}
"""Others are kept as they are: they end as `cancelled`, or the job goes on."""

UNUSABLE = frozenset({"FAILED", "INVALID_FORMAT"})
_LEVELS = {"warning": "warn", "iwarning": "warn", "ierror": "error", "error": "error"}
_AFTER_TRAINING = frozenset(
    {
        *("training_complete", "model_compressing", "model_uploading", "job_complete"),
        *("job_error", "job_stopped", "early_stopped"),
    }
)
_NAMES = {"global_step": "step", "loss": "train_loss", "eval/loss": "valid_loss"}


def marked_suffix(suffix: str | None, metadata: Mapping[str, str]) -> str | None:
    """Return a job's suffix with the marks of its metadata.

    Example:
        >>> marked_suffix("calc", {"fingerprint": "ab" * 32, "submission": "cd" * 8})
        'calc-ababababababcdcd'
    """
    mark = "".join(metadata.get(name, "")[:digits] for name, digits in _DIGITS.items())
    return "-".join(part for part in (suffix, mark) if part) or None


def carries(job: RemoteJob, metadata: Mapping[str, str]) -> bool:
    """Return whether a job's mark is that of the metadata; other metadata is not kept."""
    mark = job.metadata.get(MARK, "")
    start = _DIGITS[_FINGERPRINT]
    parts = {_FINGERPRINT: mark[:start], _SUBMISSION: mark[start:]}
    wanted = {name: metadata[name][:digits] for name, digits in _DIGITS.items() if name in metadata}
    return bool(wanted) and all(parts[name] == value for name, value in wanted.items())


def remote_job(job: Any) -> RemoteJob:
    """Return a job of the SDK, whose answers to creating, listing and asking differ."""
    state = getattr(job.status, "value", job.status)
    status = _STATES.get(str(state), str(state))
    names = (getattr(job, name, None) for name in ("x_model_output_name", "output_name"))
    name = next((each for each in names if each), None)
    ended = status in {"succeeded", "failed", "cancelled"}
    mark = _MARK.search(getattr(job, "suffix", None) or name or "")
    return RemoteJob(
        JobStatus(
            job_id=job.id,
            status=status,
            fine_tuned_model=(name or job.id) if status == "succeeded" else None,
            trained_tokens=getattr(job, "token_count", None),
            error_code=str(state) if status == "failed" else None,
            created_at=_seconds(getattr(job, "created_at", None)),
            finished_at=_seconds(getattr(job, "updated_at", None)) if ended else None,
        ),
        getattr(job, "model", None) or None,
        {MARK: mark[1]} if mark else {},
    )


def uploaded_file(file: Any) -> UploadedFile:
    """Return an uploaded file; one that is not checked yet can't be trained on."""
    usable = getattr(file, "processing_status", None) == "COMPLETED"
    return UploadedFile(
        file.id, getattr(file, "filename", None), getattr(file, "bytes", None), usable
    )


def job_events(job_id: str, events: Iterable[Any], rows: Iterable[Mapping[str, Any]]) -> list[Any]:
    """Return a job's events with its metrics among them, newest first.

    Together's events have no id: theirs is made from their content, and from how often it has
    occurred before.
    """
    told: list[JobEvent] = []
    seen: dict[str, int] = {}
    ordered = sorted(events, key=lambda each: str(getattr(each, "created_at", "")))
    for one in ordered:
        content = [str(getattr(one, name, "")) for name in ("created_at", "type", "message")]
        name = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]
        seen[name] = seen.get(name, 0) + 1
        level = str(getattr(one, "level", None) or "info").lower().removeprefix("legacy_")
        steps = {each: getattr(one, each, None) for each in ("step", "total_steps")}
        told.append(
            JobEvent(
                id=f"{job_id}:{name}:{seen[name]}",
                created_at=_seconds(getattr(one, "created_at", None)) or 0,
                level=_LEVELS.get(level, "info"),
                type="message",
                message=str(getattr(one, "message", None) or getattr(one, "type", "")),
                data={each: value for each, value in steps.items() if value is not None},
            )
        )
    kinds = [str(getattr(one, "type", "")).lower() for one in ordered]
    ends = (place for place, kind in enumerate(kinds) if kind in _AFTER_TRAINING)
    place = next(ends, len(told))
    at = told[place - 1].created_at if told[:place] else 0
    steps_of = [
        JobEvent(f"{job_id}:metrics:{number}", at, "info", "metrics", "", dict(row))
        for number, row in enumerate(metrics_rows(rows))
    ]
    return [*told[:place], *steps_of, *told[place:]][::-1]


def metrics_rows(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, float]]:
    """Return metrics by this package's names.

    Example:
        >>> metrics_rows([{"train/global_step": 2, "train/loss": 0.5, "eval/loss": 0.7}])
        [{'step': 2.0, 'train_loss': 0.5, 'valid_loss': 0.7}]
    """
    return [
        {
            _NAMES.get(name.removeprefix("train/"), name.removeprefix("train/")): value
            for name, value in figures_of(row).items()
        }
        for row in rows
    ]


def job_checkpoints(job_id: str, kept: Iterable[Any]) -> list[JobCheckpoint]:
    """Return a job's checkpoints, newest first; of a step, the whole model before its adapter."""
    by_step: dict[int, Any] = {}
    for one in kept:
        if one.step not in by_step or getattr(one, "checkpoint", None) == "model":
            by_step[one.step] = one
    return [
        JobCheckpoint(
            f"{job_id}:{step}",
            step,
            str(getattr(one, "object_id", None) or getattr(one, "path", "")),
        )
        for step, one in sorted(by_step.items(), reverse=True)
    ]


def _seconds(moment: Any) -> int | None:
    """Return a time in seconds since 1970; the SDK keeps what it can't read as text."""
    try:
        if isinstance(moment, str):
            moment = dt.datetime.fromisoformat(moment)
        return int(moment.timestamp())
    except (AttributeError, ValueError):
        return None
