"""One check on its way: the rules it goes by, what may be called, and what it found so far."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from langchain_finetune.convert.checks.finding import Finding, Severity
from langchain_finetune.convert.checks.mendable import MENDABLE
from langchain_finetune.convert.checks.profiles import Profile


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
        mend = MENDABLE.get(code) if severity == "error" else None
        self.found.append(Finding(code, message, index, severity, mend))
