"""What `doctor` finds."""

from dataclasses import dataclass
from typing import Literal

State = Literal["good", "note", "bad"]


@dataclass(frozen=True)
class Diagnosis:
    """One check, its result (`bad` makes the command fail), and what to do."""

    what: str
    state: State
    detail: str
