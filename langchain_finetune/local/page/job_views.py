"""What the pages of jobs show, from the jobs' records, without I/O."""

import base64
import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, get_args

from langchain_finetune.display.text import counted, format_duration
from langchain_finetune.local.files import FileRecord
from langchain_finetune.local.jobs.schemas import ENDED, Checkpoint, JobRecord, JobState
from langchain_finetune.methods import Hyperparameters

STATUS_WORDS = {state: state for state in get_args(JobState)} | {
    "validating_files": "checking files"
}

_SPANS = ((86400, "day"), (3600, "hour"), (60, "minute"))


class JobProgressView(NamedTuple):
    """How far a job is: steps done, and all steps."""

    step: int
    steps: int

    def __str__(self) -> str:
        return f"step {self.step:,} of {self.steps:,}"


class Setting(NamedTuple):
    """A setting of a job as the page shows it, and whether the engine has chosen it."""

    name: str
    value: str
    chosen: bool = False


def progress(figures: Iterable[Mapping[str, Any]]) -> JobProgressView | None:
    """Return how far a job is, by the data of its events, newest first; None before a step."""
    for data in figures:
        if data.get("total_steps"):
            return JobProgressView(int(data["step"]), int(data["total_steps"]))
    return None


def loss(job: JobRecord, checkpoints: Iterable[Checkpoint]) -> str:
    """Return the loss of a job's model, such as `loss 0.25, validation 0.31`; "" if unknown."""
    for each in checkpoints:
        if each.fine_tuned_model_checkpoint == job.fine_tuned_model:
            parts = (("loss", "train_loss"), ("validation", "full_valid_loss"))
            known = [(word, each.metrics[key]) for word, key in parts if key in each.metrics]
            return ", ".join(f"{word} {value:.4g}" for word, value in known)
    return ""


def duration(job: JobRecord) -> str:
    """Return how long a job took from the first start of its training to its end; "" if unknown."""
    if job.started_at is None or job.finished_at is None:
        return ""
    seconds = job.finished_at - job.started_at
    # Times are whole seconds.
    return format_duration(seconds) if seconds else "less than 1 s"


def waits_for(job: JobRecord, active: Sequence[JobRecord], *, disk: bool) -> str:
    """Return what a job waits for, or "" if it does not.

    Args:
        job: The job.
        active: The jobs that run or are queued, oldest first.
        disk: Whether all jobs wait for the engine's file.
    """
    if job.status in ENDED:
        return ""
    if disk:
        return "waits for the engine's file, which is locked or fails"
    if job.status == "paused":
        return "waits until it is resumed"
    if job.status == "validating_files":
        return "waits until its files are checked"
    if job.status != "queued":
        return ""
    ids = [each.id for each in active]
    older = ids[: ids.index(job.id)] if job.id in ids else ids
    before = [each for each in active if each.status == "running" or each.id in older]
    if not before:
        return "starts next"
    first = min(before, key=lambda each: each.status != "running")
    others = f" and {counted(len(before) - 1, 'other job')}" if len(before) > 1 else ""
    return f"waits for {first.name}{others}"


def file_label(file: FileRecord, job: JobRecord | None) -> str:
    """Return a file's name for people: of the job that used it last, with date and examples.

    Clients name files as they like; `FineTune` by a hash.
    """
    name, count = file.filename, None
    if job is not None and job.training_file == file.id:
        name, count = f"{job.name}, training file", examples_of(job)
    elif job is not None:
        name, count = f"{job.name}, validation file", job.validation_examples
    label = file_name(name, file.created_at, count)
    return label if count else f"{label}, {file.bytes:,} bytes"


def users_of_files(jobs: Iterable[JobRecord]) -> dict[str, JobRecord]:
    """Return the first of some jobs that uses each file, by the file's id."""
    found: dict[str, JobRecord] = {}
    for job in jobs:
        for file_id in (job.training_file, job.validation_file):
            if file_id is not None:
                found.setdefault(file_id, job)
    return found


def examples_of(job: JobRecord) -> int | None:
    """Return the number of examples in a job's training file, if known."""
    told = (job.metadata or {}).get("examples", "")
    return job.examples or (int(told) if told.isdecimal() else None)


def file_name(name: str, created_at: int, examples: int | None) -> str:
    """Return the name of a file, without its suffix, that says what it is of.

    Example:
        >>> file_name("front desk", 1764374400, 12)
        'front desk, 2025-11-29, 12 examples'
    """
    day = f"{dt.datetime.fromtimestamp(created_at, dt.UTC):%Y-%m-%d}"
    return ", ".join([name, day, *([counted(examples, "example")] if examples else [])])


def actions(job: JobRecord) -> list[tuple[str, str]]:
    """Return what can be done with a job: the last part of an address, and a button's words."""
    if job.status in ENDED:
        return []
    pause = ("resume", "Resume") if job.status == "paused" else ("pause", "Pause")
    return [pause, ("cancel", "Cancel")]


def settings(job: JobRecord) -> list[Setting]:
    """Return a job's hyperparameters and seed; those still `auto` are the engine's to choose."""
    asked = job.requested.model_dump()
    shown = [
        Setting(
            Hyperparameters.model_fields[name].title or name,
            _text(value),
            chosen=value != "auto" and asked.get(name, "auto") == "auto",
        )
        for name, value in job.hyperparameters.model_dump().items()
    ]
    return [*shown, Setting("Seed", str(job.seed))]


def age(seconds: float) -> str:
    """Return how long ago something was.

    Example:
        >>> age(3), age(61), age(7300), age(200000)
        ('just now', '1 minute ago', '2 hours ago', '2 days ago')
    """
    for length, name in _SPANS:
        if seconds >= length:
            number = int(seconds // length)
            return f"{number} {name}{'s' if number > 1 else ''} ago"
    return "just now"


def time_left(seconds: float) -> str:
    """Return roughly how long something will take.

    Example:
        >>> time_left(-2), time_left(40), time_left(300)
        ('less than a minute', 'less than a minute', 'about 5 minutes')
    """
    if seconds < 60:  # noqa: PLR2004 - seconds of a minute
        return "less than a minute"
    return "about " + age(seconds).removesuffix(" ago")


def results_csv(content: bytes) -> bytes:
    """Return a job's result file, which is in base64 as OpenAI's, as the CSV that it holds."""
    return base64.b64decode(content, validate=True)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(value) if isinstance(value, list | tuple) else f"{value}"
