"""The report in a terminal."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from langchain_finetune.convert.report.distribution import Distribution
from langchain_finetune.convert.report.figures import ReportFigures
from langchain_finetune.convert.report.formatting import (
    estimate_row,
    footnotes,
    left_out,
    noted,
    remarks,
)
from langchain_finetune.display.terminal import make_table
from langchain_finetune.display.text import share

_BLOCKS = " ▁▂▃▄▅▆▇█"
_TOOLS = 12


def tables(report: ReportFigures) -> Group:
    """Return the report as rich tables."""
    parts: list[RenderableType] = [_counts(report)]
    parts.extend(Text(sentence) for sentence in remarks(report))
    parts.append(_distributions(report))
    if report.tools:
        parts.append(_tools(report))
    headings = ("engine", "base", "cost>", "time>", "epochs>", "trained tokens>")
    parts.append(make_table("Training estimates", headings, map(estimate_row, report.estimates)))
    if report.outliers:
        rows = [(each.id, f"{each.score:.1f}", "; ".join(each.reasons)) for each in report.outliers]
        parts.append(make_table("Outliers to review first", ("chat", "deviations>", "why"), rows))
    notes = footnotes(report.estimates, report.tokens_counted)
    parts.extend(Text(note, style="dim") for note in notes)
    return Group(*parts)


def _counts(report: ReportFigures) -> Table:
    rows = [("chats in the input", report.sessions, "")]
    rows.append(("examples kept", report.kept, share(report.kept, report.sessions)))
    split = len([count for count in report.parts.values() if count]) > 1
    for part, count in report.parts.items() if split else ():
        rows.append((f"  {part}", count, share(count, report.kept)))
    for what, count, _ in left_out(report):
        rows.append((what, count, share(count, report.sessions)))
    rows += [(what, count, "") for what, count, _ in noted(report)]
    rows.append(("answers to train on", report.targets, ""))
    rows.append(("  that call a tool", report.calls_to_learn, ""))
    for script, count in report.scripts.items():
        rows.append((f"mostly in {script} script", count, share(count, report.kept)))
    return make_table(
        "Conversion", ("", "count>", "share>"), ((n, f"{c:,}", s) for n, c, s in rows)
    )


def _distributions(report: ReportFigures) -> Table:
    rows = []
    for name, distribution in (("tokens", report.tokens), ("messages", report.messages)):
        figures = [getattr(distribution, key) for key in ("min", "median", "p90", "p99", "max")]
        rows.append((name, _sparkline(distribution), *(f"{figure:,}" for figure in figures)))
    headings = ("per example", "distribution", "min>", "median>", "90%>", "99%>", "max>")
    return make_table("Length", headings, rows)


def _tools(report: ReportFigures) -> Table:
    rows = [
        (tool.name, f"{tool.offered:,}", f"{tool.called:,}" if tool.called else "never")
        for tool in report.tools[:_TOOLS]
    ]
    rest = len(report.tools) - _TOOLS
    if rest > 0:
        rows.append((f"{rest} more", "", ""))
    return make_table("Tools", ("tool", "offered in>", "calls>"), rows)


def _sparkline(distribution: Distribution) -> str:
    highest = max((bar.count for bar in distribution.histogram), default=1)
    steps = len(_BLOCKS) - 1
    return "".join(_BLOCKS[-(-bar.count * steps // highest)] for bar in distribution.histogram)
