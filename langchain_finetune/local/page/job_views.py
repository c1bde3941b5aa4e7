"""What the pages of jobs show, from the jobs' records, without I/O."""

import base64
import binascii
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, get_args

from langchain_finetune.local.jobs.schemas import ENDED, JobRecord, JobState
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
    """Return a job's result file as the CSV that spreadsheets open; OpenAI's is in base64."""
    try:
        return base64.b64decode(content, validate=True)
    except binascii.Error:
        return content


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(value) if isinstance(value, list | tuple) else f"{value}"
