"""Count."""

from dataclasses import dataclass
from typing import Literal

CountTokens = Literal["offline", "always"]
"""Count where all that it takes is on this machine; or download what it takes, or else fail."""


@dataclass(frozen=True, slots=True)
class Count:
    """The tokens of an example.

    Attributes:
        total: All that the model is trained on, so what is paid for.
        longest: Of the longest sequence, which the limit is about; the total in most cases.
        targets: Those that are learnt: the answers that have no weight 0.
    """

    total: int
    longest: int
    targets: int


@dataclass(frozen=True, slots=True)
class Over:
    """An example that surely has more tokens than the limit; how many, was not counted."""


@dataclass(frozen=True, slots=True)
class Unfit:
    """An example that the model can't be trained on, seen when it is counted.

    Attributes:
        code: Stable name of the reason.
        reason: One sentence; it never quotes training text.
    """

    code: str
    reason: str
