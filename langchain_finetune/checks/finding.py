"""Findings of a check, and a collection of them with bounded memory."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from langchain_finetune.checks.profiles import Profile

Severity = Literal["error", "warning"]
"""`error`: the example is rejected. `warning`: it is kept, and the finding is reported."""

KEPT = 100
"""How many findings of each code are kept in memory; all are counted."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem of an example, or of a file.

    Attributes:
        code: Stable name of the rule, such as `no_assistant_message`.
        message: One sentence; it never quotes training text.
        index: Index of the message, counted from 0; None for the whole example.
        severity: `error` or `warning`.
        fix: What `Convert(fix=True)` does about it, if there is a safe fix.
        fixed: Whether it was fixed.
        row: Number of the example, counted from 1: its line in a file, or the position of the
            chat in the input of `Convert`. None for a whole file.
        id: Id of the chat, such as its run id.
        source: Source of the chat; see `FineTuningSession`.

    Example:
        >>> print(Finding("no_content", "A user message needs content.", 2, row=7))
        row 7, message 2: A user message needs content. (no_content)
    """

    code: str
    message: str
    index: int | None = None
    severity: Severity = "error"
    fix: str | None = None
    fixed: bool = False
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
    """A collection of findings: the first of each code are kept, and all are counted.

    Iterating yields those that were kept, at most 100 of each code.

    Attributes:
        errors: Number of errors by code, without fixed ones.
        warnings: Number of warnings by code.
        fixed: Number of fixed errors by code.

    Example:
        >>> findings = Findings()
        >>> findings.add(Finding("no_target", "Every assistant weight is 0."))
        >>> len(findings), findings.errors
        (1, Counter({'no_target': 1}))
    """

    def __init__(self) -> None:
        self._kept: list[Finding] = []
        self._kept_of: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.warnings: Counter[str] = Counter()
        self.fixed: Counter[str] = Counter()

    def add(self, finding: Finding) -> None:
        """Count a finding, and keep it if it is among the first of its code."""
        if finding.fixed:
            self.fixed[finding.code] += 1
        elif finding.severity == "error":
            self.errors[finding.code] += 1
        else:
            self.warnings[finding.code] += 1
        self._keep(finding)

    def include(
        self,
        kept: Iterable[Finding],
        *,
        errors: Mapping[str, int],
        warnings: Mapping[str, int],
        fixed: Mapping[str, int],
    ) -> None:
        """Add another collection: what it kept, and its counts."""
        self.errors.update(errors)
        self.warnings.update(warnings)
        self.fixed.update(fixed)
        for finding in kept:
            self._keep(finding)

    def _keep(self, finding: Finding) -> None:
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
            f"fixed={dict(self.fixed)})"
        )


FIXES_BY_CODE: Mapping[str, str] = {
    "arguments_against_schema": "The turn becomes context (weight 0).",
    "duplicate_call_id": "The calls get distinct ids.",
    "empty_functions": "The empty list is removed.",
    "empty_target": "The turn becomes context (weight 0).",
    "empty_tool_calls": "The empty list is removed.",
    "empty_tools": "The empty list is removed.",
    "invalid_arguments": "Missing arguments become {}.",
    "invalid_call_name": "Spaces around the name are removed.",
    "invalid_name": "Characters that are not allowed become _.",
    "invalid_unicode": "Surrogates are joined, or become U+FFFD.",
    "invalid_weight": "true becomes 1 and false becomes 0.",
    "no_content": "An empty instruction is removed.",
    "no_final_answer": "Messages after the last answer are removed.",
    "parallel_without_tools": "It is removed.",
    "text_in_parts": "The parts are joined to one string.",
    "tool_not_offered": (
        "Spaces around the name are removed, or the turn becomes context (weight 0)."
    ),
    "unknown_role": "developer becomes system.",
    "untyped_call": '"type": "function" is added.',
    "untyped_tool": '"type": "function" is added.',
    "weight_outside_assistant": "It is removed.",
}
"""What `Convert(fix=True)` does about a finding of each code."""

FIXED_WARNINGS = frozenset({"text_in_parts"})
"""Codes of warnings that are fixed, too: the fix changes nothing that the model sees."""


class Validator(Protocol):
    """A compiled JSON schema."""

    def is_valid(self, instance: Any) -> bool: ...  # noqa: D102 - the library's
    def iter_errors(self, instance: Any) -> Any: ...  # noqa: D102 - the library's


@dataclass(frozen=True)
class CostlySchema:
    """A compiled schema that may be too slow for some arguments; see `takes_too_long`."""

    validator: Validator
    schema: Mapping[str, Any]


@dataclass(frozen=True)
class Toolbox:
    """The tools of an example: compiled schemas by name, and findings in the definitions.

    A name has several schemas if tools share it, and None for a tool without a usable one.
    """

    validators: Mapping[str, tuple[Validator | CostlySchema | None, ...]]
    findings: tuple[Finding, ...] = ()
    known: bool = True
    """Whether the definitions could be read; if not, calls can't be checked."""


NOTHING = Toolbox({})
"""No tools are offered."""


@dataclass(slots=True)
class Check:
    """The check of one example against a provider's rules."""

    rules: Profile
    toolbox: Toolbox = NOTHING
    found: list[Finding] = field(default_factory=list)

    def add(
        self, code: str, message: str, index: int | None = None, severity: Severity = "error"
    ) -> None:
        """Add a finding; a rule that this provider does not enforce is a warning."""
        if code in self.rules.warnings:
            severity = "warning"
        fixes = severity == "error" or code in FIXED_WARNINGS
        fix = FIXES_BY_CODE.get(code) if fixes else None
        self.found.append(Finding(code, message, index, severity, fix))
