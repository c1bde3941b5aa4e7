"""The report of a comparison in a terminal."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from langchain_finetune.display.terminal import make_table, plain
from langchain_finetune.display.text import shorten
from langchain_finetune.display.values import read_values
from langchain_finetune.evaluation.report.figures import (
    Side,
    answers_of,
    failure_rows,
    regressions,
    score_rows,
    usage_rows,
)
from langchain_finetune.evaluation.report.sentences import (
    basis,
    difference_table,
    footnotes,
    reasons,
    refusals,
    title,
)
from langchain_finetune.evaluation.result import ComparedCase, ComparisonData

_EXCERPT = 300
"""Characters of a request and of an answer."""

_NAME = 24
"""Characters of an evaluator's name that have room beside its figures."""

_IDS = 5
"""Ids of refused cases for each reason; JSON and HTML have all."""

_STYLES = {"pass": "bold green", "fail": "bold red", "too_few": "bold yellow"}


def tables(data: ComparisonData, *, texts: bool = True) -> Group:
    """Return the report as rich tables.

    Args:
        data: The comparison.
        texts: Show the requests and answers of the worst cases, not only their ids.
    """
    style = _STYLES[data.decision.verdict] if data.decision else "bold"
    parts: list[RenderableType] = [plain(title(data), style), plain(basis(data))]
    headings, rows = difference_table(data)
    headings[1:4] = [f"{each}>" for each in headings[1:4]]
    # At 80 columns there is room for six; verdicts follow, each with its reason.
    scores = make_table("Scores", headings[:6], [row[:6] for row in rows])
    scores.columns[3].no_wrap = True
    # A longer one would be cut off.
    scores.columns[0].no_wrap = all(len(row[0]) <= _NAME for row in rows)
    parts.append(scores)
    parts += [plain(reason) for reason in reasons(data)]
    parts.append(make_table("Answers", ("", "old>", "new>"), usage_rows(data)))
    if texts and (failures := failure_rows(data)):
        parts.append(make_table("Why answers failed", ("", "reason", "answers>"), failures))
    if worst := regressions(data):
        parts.append(_side_by_side(data, worst) if texts else _list(data, worst))
    if data.refused:
        left_out = [[f"{len(ids):,}", why, _some(ids)] for why, ids in refusals(data).items()]
        parts.append(make_table("Cases left out", ("cases>", "why", "ids"), left_out))
    names = f"{data.old_experiment.name} and {data.new_experiment.name}"
    parts += [plain(note, "dim") for note in [*footnotes(data), f"Experiments: {names}."]]
    if data.url:
        parts.append(plain(f"Both answers to each case: {data.url}"))
    return Group(*parts)


def _list(data: ComparisonData, worst: list[ComparedCase]) -> Table:
    rows = [
        (case.id, "; ".join(f"{name} {old} to {new}" for name, old, new in score_rows(data, case)))
        for case in worst
    ]
    return make_table("Worst regressions", ("case", "scores"), rows)


def _side_by_side(data: ComparisonData, worst: list[ComparedCase]) -> Table:
    headings = ("request", f"old: {data.old}", f"new: {data.new}")
    table = make_table("Worst regressions", headings, ())
    table.show_lines = table.expand = True
    for column in table.columns:
        column.ratio = 1
    for case in worst:
        request = Text("\n").join([plain(case.id, "dim"), plain(_excerpt(case.inputs))])
        table.add_row(request, *(_answers(data, case, side) for side in ("old", "new")))
    return table


def _answers(data: ComparisonData, case: ComparedCase, side: Side) -> Text:
    lines = []
    for answer in answers_of(case, side):
        failed = answer.error is not None
        lines.append(plain(f"failed: {answer.error}" if failed else _excerpt(answer.outputs)))
        if answer.unseen_calls:
            lines.append(plain(f"calls without a recorded result: {answer.unseen_calls}", "dim"))
        for name, comment in answer.comments.items():
            lines.append(plain(f"{name}: {shorten(comment, _EXCERPT)}", "dim"))
    if any(answer.error is None for answer in answers_of(case, side)):
        scores = [
            f"{name} {old if side == 'old' else new}" for name, old, new in score_rows(data, case)
        ]
        lines.append(plain(", ".join(scores), "bold"))
    return Text("\n").join(lines)


def _excerpt(value: object) -> str:
    """Return the last message of a chat, or other data as text, on one line."""
    message = read_values(value)[-1]
    calls = [f"calls {call.name}({call.arguments})" for call in message.calls]
    text = " ".join([message.text, *calls]) if calls else message.summary
    return shorten(text, _EXCERPT) or "(empty)"


def _some(ids: list[str]) -> str:
    more = len(ids) - _IDS
    return ", ".join(ids[:_IDS]) + (f" and {more:,} more" if more > 0 else "")
