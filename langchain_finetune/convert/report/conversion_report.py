"""The report: outcome of the chats, statistics of the examples, and estimates of training."""

import re
from collections import Counter
from collections.abc import Sequence

from rich.console import Group

from langchain_finetune.checks import Findings
from langchain_finetune.convert.estimate import Prices, estimate, known_targets
from langchain_finetune.convert.power import power_of
from langchain_finetune.convert.report.figures import FindingCounts, ReportFigures, ToolUse
from langchain_finetune.convert.report.html import sections, title
from langchain_finetune.convert.report.statistics import MAX_GROUPS, Tally
from langchain_finetune.convert.report.terminal import tables
from langchain_finetune.convert.rows import Target
from langchain_finetune.display.report import Report
from langchain_finetune.sessions import Skip

_MESSAGE = re.compile(r" \(message \d+\)$")


class ConversionReport(Report, ReportFigures):
    """A report of a conversion: numbers and ids, without text unless requested.

    It can be displayed as tables in a terminal (`print(report)`, in color by `rich.print(report)`),
    as HTML in a notebook, as JSON (`model_dump_json()`) and as an HTML page (`to_html()`).

    Its attributes are those of `ReportFigures`.
    """

    def _title(self) -> str:
        return title(self)

    def _repr_html_(self) -> str:
        return sections(self)

    def __rich__(self) -> Group:
        return tables(self)


def make_report(
    tally: Tally,
    target: Target,
    *,
    sessions: int,
    rejected: Sequence[Skip],
    notes: dict[str, int],
    findings: Findings,
    prices: Prices | None = None,
) -> ConversionReport:
    """Return the report of a pass over the rows; for the counts, see `ReportFigures`."""
    held_out, groups = tally.parts["test"], len(tally.test_groups)
    names = Counter(dict.fromkeys(tally.offered, 0))
    names.update(tally.called)
    skipped = Counter(skip.code for skip in rejected)
    return ConversionReport(
        engine=target.engine,
        model=target.model,
        sessions=sessions,
        kept=tally.examples,
        parts={part: tally.parts[part] for part in ("train", "validation", "test")},
        evaluation=power_of(held_out, _known(groups)) if held_out else None,
        skipped=_by_count(skipped),
        notes=dict(sorted(notes.items())),
        tokens=tally.tokens.distribution(),
        tokens_counted=round(tally.counted / max(1, tally.examples), 4),
        target_tokens=tally.target_tokens if tally.counted == tally.examples else None,
        messages=tally.messages.distribution(),
        targets=tally.targets,
        calls_to_learn=tally.calls_to_learn,
        repeated_calls=tally.repeated_calls,
        tools=[
            ToolUse(name=name, offered=tally.offered[name], called=count)
            for name, count in _by_count(names).items()
        ],
        scripts=_by_count(tally.scripts),
        also_scripts=_by_count(tally.also),
        duplicates=_by_count(
            Counter({code: n for code, n in {**notes, **skipped}.items() if "duplicate" in code})
        ),
        meanings=_meanings(rejected, findings),
        findings=FindingCounts(
            errors=_by_count(findings.errors),
            warnings=_by_count(findings.warnings),
            fixed=_by_count(findings.fixed),
        ),
        estimates=[
            estimate(
                each,
                tally.parts["train"],
                tally.part_tokens["train"],
                tokens_are_estimated=tally.counted < tally.examples,
                prices=prices,
            )
            for each in known_targets(target)
        ],
        outliers=tally.outliers(),
    )


def _meanings(rejected: Sequence[Skip], findings: Findings) -> dict[str, str]:
    """Return what each code of a reason or a warning means, in the words of its first chat."""
    said = [(each.code, each.message) for each in findings if each.severity == "warning"]
    said += [(each.code, _MESSAGE.sub("", each.reason)) for each in rejected]
    return {code: sentence for code, sentence in reversed(said) if sentence}


def _known(groups: int) -> int | None:
    return groups if 0 < groups < MAX_GROUPS else None


def _by_count(counts: Counter[str]) -> dict[str, int]:
    """Return counts, most frequent first, and equal ones by name."""
    return dict(sorted(counts.items(), key=lambda each: (-each[1], each[0])))
