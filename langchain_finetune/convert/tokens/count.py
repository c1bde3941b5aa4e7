"""Results of counting the tokens of an example."""

from dataclasses import dataclass
from typing import Literal

CountTokens = Literal["offline", "always"]
"""Count only with local files; or download what is missing, or fail."""


@dataclass(frozen=True, slots=True)
class Count:
    """The tokens of an example.

    Attributes:
        total: All tokens of the example, which are charged for.
        longest: Tokens of the longest sequence, to which the limit applies; usually the total.
        targets: Tokens of the targets: answers without weight 0.
    """

    total: int
    longest: int
    targets: int


@dataclass(frozen=True, slots=True)
class Over:
    """An example with more tokens than the limit; they were not all counted."""


@dataclass(frozen=True, slots=True)
class Unfit:
    """An example that can't be trained on, with the reason, which never quotes training text."""

    code: str
    reason: str
