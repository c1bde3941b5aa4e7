"""What became of the chats, what the examples are like, and what training on them would take."""

import os
from collections import Counter
from pathlib import Path

from pydantic import BaseModel, ConfigDict
from rich.console import Group

from langchain_finetune.checks import Findings
from langchain_finetune.convert.estimate import Estimate, Prices, estimate, known_targets
from langchain_finetune.convert.jsonl import JsonlWriter
from langchain_finetune.convert.report.distribution import Spread
from langchain_finetune.convert.report.html import page, sections
from langchain_finetune.convert.report.outliers import StrangeExample
from langchain_finetune.convert.report.statistics import Tally
from langchain_finetune.convert.report.terminal import tables
from langchain_finetune.convert.rows import Target


class ToolUse(BaseModel):
    """How a tool is used.

    Attributes:
        name: The tool.
        offered: In how many examples it may be called.
        called: How often it is called, in requests and answers.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    offered: int
    called: int


class FindingCounts(BaseModel):
    """What the checks found, by code: `errors`, `warnings`, and errors that were `mended`."""

    model_config = ConfigDict(frozen=True)

    errors: dict[str, int]
    warnings: dict[str, int]
    mended: dict[str, int]


class ConversionReport(BaseModel):
    """A report of a conversion: numbers and ids only, and no text unless it was asked for.

    It shows itself: as tables in a terminal (`rich.print(report)`), as a page in a notebook,
    as JSON (`model_dump_json()`) and as a page of its own (`to_html()`).

    Attributes:
        engine: The engine that it is for, if it is known.
        model: The base that it is for.
        sessions: Chats that came in, with those that the loader left out.
        kept: Examples that were made.
        parts: How many of them train, validate and test.
        skipped: Chats that make no example, by reason, most frequent first.
        notes: What else was noticed, by code; see `Examples.notes`.
        tokens: Tokens of an example.
        tokens_counted: Share of the examples whose tokens were counted by a tokenizer; those of
            the rest are estimated as a quarter of their bytes.
        learnt_tokens: How many of all tokens are learnt from; None where they were not counted.
        messages: Messages of an example.
        targets: Assistant messages that are learnt from.
        calls_to_learn: How many of those call a tool.
        tools: The tools, the one most called first.
        scripts: How many examples are mostly in each script, such as `Latin`, as users and the
            assistant write: instructions and tools' results are left aside.
        also_scripts: How many have at least a letter of it.
        duplicates: Chats that were found to be duplicates, by code.
        findings: What the checks found in all chats, each code counted.
        estimates: What training would take: first at the engine that the report is for.
        strange: The strangest examples, the strangest first; see `StrangeExample`.
    """

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    engine: str | None
    model: str | None
    sessions: int
    kept: int
    parts: dict[str, int]
    skipped: dict[str, int]
    notes: dict[str, int]
    tokens: Spread
    tokens_counted: float
    learnt_tokens: int | None
    messages: Spread
    targets: int
    calls_to_learn: int
    tools: list[ToolUse]
    scripts: dict[str, int]
    also_scripts: dict[str, int]
    duplicates: dict[str, int]
    findings: FindingCounts
    estimates: list[Estimate]
    strange: list[StrangeExample]

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
        learnt_tokens=tally.learnt_tokens if tally.counted == tally.examples else None,
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
            mended=_by_count(findings.mended),
        ),
        estimates=[training_estimate(tally, each, prices) for each in known_targets(target)],
        strange=tally.strangest(),
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
