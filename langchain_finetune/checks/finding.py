"""What a check found, and a list of it that stays small."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from langchain_finetune.checks.profiles import Profile

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
        fix: What `Convert(fix=True)` does about it, where that is safe.
        fixed: Whether it was done.
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
    """What was found: the first of each code in full, and all of them counted.

    Iterating gives those that were kept, at most 100 of each code.

    Attributes:
        errors: How many errors there were, by code; fixed ones are not among them.
        warnings: How many warnings, by code.
        fixed: How many errors were fixed, by code.

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
        self.fixed: Counter[str] = Counter()

    def add(self, finding: Finding) -> None:
        """Count a finding, and keep it if it is among the first of its code."""
        if finding.fixed:
            self.fixed[finding.code] += 1
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
            f"fixed={dict(self.fixed)})"
        )


FIXABLE: Mapping[str, str] = {
    "arguments_against_schema": "The turn becomes history (weight 0).",
    "duplicate_call_id": "The calls get ids of their own.",
    "empty_functions": "The empty list is left out.",
    "empty_target": "The turn becomes history (weight 0).",
    "empty_tool_calls": "The empty list is left out.",
    "empty_tools": "The empty list is left out.",
    "invalid_arguments": "Missing arguments become {}.",
    "invalid_call_name": "Spaces around the name are left out.",
    "invalid_name": "_ takes the place of what is not allowed.",
    "invalid_unicode": "Halves are joined, or become U+FFFD.",
    "invalid_weight": "true is 1 and false is 0.",
    "no_content": "An empty instruction is left out.",
    "no_final_answer": "Messages after the last answer are left out.",
    "parallel_without_tools": "It is left out.",
    "tool_not_offered": (
        "Spaces around the name are left out, or the turn becomes history (weight 0)."
    ),
    "unknown_role": "developer becomes system.",
    "untyped_call": '"type": "function" is added.',
    "untyped_tool": '"type": "function" is added.',
    "weight_outside_assistant": "It is left out.",
}
"""What `Convert(fix=True)` does about an error of each code."""


class Validator(Protocol):
    """A compiled JSON schema."""

    def is_valid(self, instance: Any) -> bool: ...  # noqa: D102 - the library's
    def iter_errors(self, instance: Any) -> Any: ...  # noqa: D102 - the library's


@dataclass(frozen=True)
class Tangled:
    """A compiled schema that may take too long for some arguments; see `takes_too_long`."""

    validator: Validator
    schema: Mapping[str, Any]


@dataclass(frozen=True)
class Toolbox:
    """What may be called.

    Attributes:
        validators: A name's compiled schemas; several where several tools share the name, and
            None where there is no schema that can be used.
        findings: Faults of the definitions.
        known: Whether the definitions could be read: if not, calls can't be held to them.
    """

    validators: Mapping[str, tuple[Validator | Tangled | None, ...]]
    findings: tuple[Finding, ...] = ()
    known: bool = True


NOTHING = Toolbox({})
"""No tool is offered."""


@dataclass(slots=True)
class Check:
    """The check of one example.

    Attributes:
        rules: The provider's rules.
        toolbox: What the example offers.
        found: What is wrong with it.
    """

    rules: Profile
    toolbox: Toolbox = NOTHING
    found: list[Finding] = field(default_factory=list)

    def add(
        self, code: str, message: str, index: int | None = None, severity: Severity = "error"
    ) -> None:
        """Note a fault; what this provider does not enforce, is a warning."""
        if code in self.rules.warnings:
            severity = "warning"
        fix = FIXABLE.get(code) if severity == "error" else None
        self.found.append(Finding(code, message, index, severity, fix))
