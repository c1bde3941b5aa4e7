"""What a check found, and a list of it that stays small."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

Severity = Literal["error", "warning"]
"""`error`: the example is rejected. `warning`: it is kept, and the fault is told."""

KEPT = 100
"""How many findings of one code are kept in memory; all are counted."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault of an example, or of a file.

    Attributes:
        code: Stable name of the rule, such as `no_assistant_message`.
        message: One sentence; it never quotes training text.
        index: Position of the message at fault, counted from 0; None for the whole example.
        severity: `error` or `warning`.
        mend: What `Convert(mend=True)` does about it, where that is safe.
        mended: Whether it was done.
        row: Number of the example, counted from 1: of a file its line, of `Convert` the chat's
            place among those that came in. None for a whole file.
        id: Names the chat, such as its run id.
        source: Where the chat came from; see `FineTuningSession`.

    Example:
        >>> print(Finding("no_content", "A user message needs content.", 2, row=7))
        row 7, message 2: A user message needs content. (no_content)
    """

    code: str
    message: str
    index: int | None = None
    severity: Severity = "error"
    mend: str | None = None
    mended: bool = False
    row: int | None = None
    id: str = ""
    source: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __str__(self) -> str:
        places = [] if self.row is None else [f"row {self.row}"]
        places += [self.id] if self.id else []
        places += [] if self.index is None else [f"message {self.index}"]
        place = f"{', '.join(places)}: " if places else ""
        return f"{place}{self.message} ({self.code})"


class Findings:
    """What was found: the first of each code in full, and all of them counted.

    Iterating gives those that were kept, at most 100 of each code.

    Attributes:
        errors: How many errors there were, by code; mended ones are not among them.
        warnings: How many warnings, by code.
        mended: How many errors were mended, by code.

    Example:
        >>> findings = Findings()
        >>> findings.add(Finding("no_target", "There is nothing to learn."))
        >>> len(findings), findings.errors
        (1, Counter({'no_target': 1}))
    """

    def __init__(self) -> None:
        self._kept: list[Finding] = []
        self._kept_of: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.warnings: Counter[str] = Counter()
        self.mended: Counter[str] = Counter()

    def add(self, finding: Finding) -> None:
        """Count a finding, and keep it if it is among the first of its code."""
        if finding.mended:
            self.mended[finding.code] += 1
        elif finding.severity == "error":
            self.errors[finding.code] += 1
        else:
            self.warnings[finding.code] += 1
        if self._kept_of[finding.code] < KEPT:
            self._kept_of[finding.code] += 1
            self._kept.append(finding)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self._kept)

    def __len__(self) -> int:
        return len(self._kept)

    def __repr__(self) -> str:
        return (
            f"Findings(errors={dict(self.errors)}, warnings={dict(self.warnings)}, "
            f"mended={dict(self.mended)})"
        )
