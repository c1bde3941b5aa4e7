"""What the steps record of chats in one process, as plain data to record in another one."""

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

from langchain_finetune.checks import Finding, Findings
from langchain_finetune.convert.rows import Outcome
from langchain_finetune.sessions import Skip

_FINDING = ("code", "message", "index", "severity", "fix", "fixed", "row", "id", "source")


@dataclass
class EventRecorder:
    """An outcome, and what a loader skips and notes, of which is taken what is new.

    Attributes:
        outcome: What the steps record.
        skipped: What the loader skips.
        notes: What the loader counts.
    """

    outcome: Outcome
    skipped: list[Skip]
    notes: Counter[str]
    _sessions: int = 0

    def take(self) -> tuple[Any, ...]:
        """Return what was recorded since the last call; empty if that is nothing."""
        outcome = self.outcome
        read = outcome.sessions - self._sessions
        findings = outcome.findings
        counted = (findings.errors, findings.warnings, findings.fixed)
        if not (outcome.rejected or outcome.counts or self.skipped or self.notes or any(counted)):
            # By far the most frequent case.
            self._sessions = outcome.sessions
            return (read,) if read else ()
        taken = (
            read,
            [(skip.id, skip.code, skip.reason) for skip in self.skipped],
            dict(self.notes),
            [(skip.id, skip.code, skip.reason) for skip in outcome.rejected],
            dict(outcome.counts),
            [_plain(finding) for finding in findings],
            *map(dict, counted),
        )
        self._sessions = outcome.sessions
        self.skipped.clear()
        self.notes.clear()
        outcome.rejected.clear()
        outcome.counts.clear()
        outcome.findings = Findings()
        return taken


def record(
    taken: tuple[Any, ...],
    outcome: Outcome,
    skipped: list[Skip],
    notes: Counter[str],
    first: int,
) -> None:
    """Record what another process has taken.

    Args:
        taken: What `EventRecorder.take` returned.
        outcome: Where it is recorded.
        skipped: Where the loader's skips go.
        notes: Where the loader's counts go.
        first: Number of chats before those that the process counts from 1.
    """
    if not taken:
        return
    read, *rest = taken
    outcome.sessions += read
    if not rest:
        return
    skips, noted, rejected, counts, findings, errors, warnings, fixed = rest
    skipped += [Skip(*skip) for skip in skips]
    notes.update(noted)
    outcome.rejected += [Skip(*skip) for skip in rejected]
    outcome.counts.update(counts)
    kept = [Finding(**dict(zip(_FINDING, each, strict=True))) for each in findings]
    outcome.findings.include(
        [replace(each, row=None if each.row is None else each.row + first) for each in kept],
        errors=errors,
        warnings=warnings,
        fixed=fixed,
    )


def _plain(finding: Finding) -> tuple[Any, ...]:
    fields = {name: getattr(finding, name) for name in _FINDING}
    return tuple({**fields, "source": dict(finding.source)}.values())
