"""Examples in tokens, and which of those are trained."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

IGNORED = -100
"""The label of a token that is not trained; PyTorch's cross entropy leaves it out."""


@dataclass(frozen=True)
class Encoded:
    """An example in tokens, by the names that its method's trainer has for them.

    `length` is how many tokens go through the model.
    """

    length: int
    columns: Mapping[str, Any]


@dataclass
class Sequence:
    """Tokens that go through the model together; labels of those not trained are `IGNORED`."""

    text: str = ""
    input_ids: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)

    @property
    def length(self) -> int:
        """How many tokens they are."""
        return len(self.input_ids)

    @property
    def trained(self) -> int:
        """How many tokens are trained."""
        return len(self.labels) - self.labels.count(IGNORED)

    @property
    def target_end(self) -> int:
        """How many tokens there are up to the last one that is trained."""
        behind = next((n for n, label in enumerate(reversed(self.labels)) if label != IGNORED), 0)
        return len(self.labels) - behind
