"""What became of the chats, what the examples are like, and what training on them would take."""

import os
from collections import Counter
from pathlib import Path

from rich.console import Group

from langchain_finetune.checks import Findings
from langchain_finetune.convert.estimate import Estimate, Prices, estimate, known_targets
from langchain_finetune.convert.jsonl import JsonlWriter
from langchain_finetune.convert.report.figures import FindingCounts, ReportFigures, ToolUse
from langchain_finetune.convert.report.html import page, sections
from langchain_finetune.convert.report.statistics import Tally
from langchain_finetune.convert.report.terminal import tables
from langchain_finetune.convert.rows import Target


class ConversionReport(ReportFigures):
    """A report of a conversion: numbers and ids only, and no text unless it was asked for.

    It shows itself: as tables in a terminal (`rich.print(report)`), as a page in a notebook,
    as JSON (`model_dump_json()`) and as a page of its own (`to_html()`).

    Its attributes are those of `ReportFigures`.
    """

    def to_html(self, path: str | os.PathLike[str] | None = None) -> str:
        """Return the report as one HTML page, which needs no network and no script.

        Args:
            path: A file to write it to, too.
        """
        html = page(self)
        if path is not None:
            # It may quote training text, which is for its owner only.
            with JsonlWriter(Path(path)) as writer:
                writer.write(html.encode())
        return html

    def _repr_html_(self) -> str:
        return sections(self)

    def __rich__(self) -> Group:
        return tables(self)


def make_report(
    tally: Tally,
    target: Target,
    *,
    sessions: int,
    skipped: Counter[str],
    notes: dict[str, int],
    findings: Findings,
    prices: Prices | None = None,
) -> ConversionReport:
    """Return the report of a pass over the rows.

    Args:
        tally: What was counted in it.
        target: What the examples are for.
        sessions: How many chats came in.
        skipped: How many make no example, by reason.
        notes: What else was noticed.
        findings: What the checks found.
        prices: Prices that the user gives.
    """
    names = Counter(dict.fromkeys(tally.offered, 0))
    names.update(tally.called)
    return ConversionReport(
        engine=target.engine,
        model=target.model,
        sessions=sessions,
        kept=tally.examples,
        parts={part: tally.parts[part] for part in ("train", "validation", "test")},
        skipped=_by_count(skipped),
        notes=dict(sorted(notes.items())),
        tokens=tally.tokens.spread(),
        tokens_counted=round(tally.counted / max(1, tally.examples), 4),
        target_tokens=tally.target_tokens if tally.counted == tally.examples else None,
        messages=tally.messages.spread(),
        targets=tally.targets,
        calls_to_learn=tally.calls_to_learn,
        tools=[
            ToolUse(name=name, offered=tally.offered[name], called=count)
            for name, count in _by_count(names).items()
        ],
        scripts=_by_count(tally.scripts),
        also_scripts=_by_count(tally.also),
        duplicates=_by_count(
            Counter({code: n for code, n in {**notes, **skipped}.items() if "duplicate" in code})
        ),
        findings=FindingCounts(
            errors=_by_count(findings.errors),
            warnings=_by_count(findings.warnings),
            fixed=_by_count(findings.fixed),
        ),
        estimates=[training_estimate(tally, each, prices) for each in known_targets(target)],
        outliers=tally.outliers(),
    )


def training_estimate(tally: Tally, target: Target, prices: Prices | None) -> Estimate:
    """Return what training on the examples of the part `train` takes."""
    return estimate(
        target,
        tally.parts["train"],
        tally.part_tokens["train"],
        tokens_are_estimated=tally.counted < tally.examples,
        prices=prices,
    )


def _by_count(counts: Counter[str]) -> dict[str, int]:
    """Return counts, the most frequent first, and by name where they are equal."""
    return dict(sorted(counts.items(), key=lambda each: (-each[1], each[0])))
