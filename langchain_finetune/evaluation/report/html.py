"""The report of a comparison as an HTML page: one file, without scripts or external resources."""

from collections.abc import Iterable
from html import escape

from langchain_finetune.display.html import (
    footer,
    header,
    section,
    stacked,
    styled,
    table,
)
from langchain_finetune.display.messages import ShownMessage
from langchain_finetune.display.text import counted, dollars, format_duration
from langchain_finetune.display.values import read_values
from langchain_finetune.evaluation.report.figures import (
    Side,
    answers_of,
    failure_rows,
    figure,
    regressions,
    score_rows,
    usage_of,
    usage_rows,
)
from langchain_finetune.evaluation.report.sentences import (
    VERDICTS,
    basis,
    decisive,
    difference_table,
    footnotes,
    reasons,
    refusals,
    title,
)
from langchain_finetune.evaluation.result import (
    ComparedCase,
    ComparisonData,
    ExperimentLink,
    ModelAnswer,
    ScoreDifference,
)

_LONGEST = 20_000
"""Characters of a message; the experiment has the rest."""


def sections(data: ComparisonData, *, before: str = "") -> str:
    """Return the page's content with its style, which affects nothing around it.

    Args:
        data: The comparison.
        before: A section that stands before the scores.
    """
    parts = [_head(data), before, _scores(data), _usage(data)]
    if worst := regressions(data):
        shown = [_case(data, case, number) for number, case in enumerate(worst, 1)]
        parts.append(section("Worst regressions", "".join(shown)))
    if data.refused:
        parts.append(_refused(data))
    parts.append(_experiments(data))
    return styled("".join([*parts, footer(map(escape, footnotes(data)))]))


def _head(data: ComparisonData) -> str:
    old, new = usage_of(data, "old"), usage_of(data, "new")
    groups = len({case.group for case in data.cases})
    tiles = [("Cases", f"{len(data.cases):,}", f"of {counted(groups, 'conversation')}")]
    if data.decision:
        told = f"{data.decision.confidence:.0%} confidence"
        tiles.insert(0, ("Verdict", VERDICTS[data.decision.verdict], told))
    for each in decisive(data):
        interval = f"{figure(each.low, sign=True)} to {figure(each.high, sign=True)}"
        name, value = escape(each.evaluator), figure(each.difference, sign=True)
        tiles.append((name, value, f"new minus old; {each.confidence:.0%}: {interval}"))
    if new.latency_median_s is not None:
        before = f"median; old {format_duration(old.latency_median_s)}"
        tiles.append(("Latency", format_duration(new.latency_median_s), before))
    if new.usd_per_1000 is not None:
        before = f"of 1,000 answers; old {escape(dollars(old.usd_per_1000))}"
        tiles.append(("Cost", escape(dollars(new.usd_per_1000)), before))
    return header("Comparison of models", escape(title(data)), escape(basis(data)), tiles)


def _scores(data: ComparisonData) -> str:
    widest = max(
        (abs(end) for each in data.differences for end in (each.low, each.high)), default=0
    )
    headings, cells = difference_table(data)
    rows = []
    for each, row in zip(data.differences, cells, strict=True):
        name, *figures = map(escape, row)
        rows.append([f"<code>{name}</code>", *figures[:5], _interval(each, widest), *figures[5:]])
    shown = table([*headings[:6], "", *headings[6:]], rows, kind="scores wide")
    for each in decisive(data):
        parts = [
            ("won", each.wins, "validation"),
            ("lost", each.losses, "lost"),
            ("tied", each.ties, "tied"),
        ]
        if each.cases:
            said = ", ".join(f"{name} {count:,}" for name, count, _ in parts)
            shown += f"<h3>{escape(each.evaluator)}: {said}</h3>" + stacked(parts, said)
    why = "".join(f"<li>{escape(reason)}</li>" for reason in reasons(data))
    return section("Scores", shown + (f"<ul>{why}</ul>" if why else ""))


def _interval(each: ScoreDifference, widest: float) -> str:
    """Return the interval around zero, drawn; the numbers stand beside it."""
    low, high, middle = (
        50 + (48 * value / widest if widest else 0)
        for value in (each.low, each.high, each.difference)
    )
    kind = "lost" if each.high < 0 else "validation" if each.low > 0 else "train"
    return (
        '<svg class="meter" width="100%" height="16" aria-hidden="true">'
        '<line class="floor" x1="50%" x2="50%" y1="0" y2="16"/>'
        f'<rect class="{kind}" x="{low:.2f}%" y="6" height="4" '
        f'width="{max(high - low, 0.5):.2f}%"/>'
        f'<circle class="{kind}" cx="{middle:.2f}%" cy="8" r="5"/></svg>'
    )


def _usage(data: ComparisonData) -> str:
    rows = [[escape(cell) for cell in row] for row in usage_rows(data)]
    shown = table(["", "old", "new"], rows)
    if failures := [[escape(cell) for cell in row] for row in failure_rows(data)]:
        shown += "<h3>Why answers failed</h3>" + table(["", "reason", "answers"], failures, "wide")
    return section("Latency, cost and failures", shown)


def _case(data: ComparisonData, case: ComparedCase, number: int) -> str:
    scores = [[escape(cell) for cell in row] for row in score_rows(data, case)]
    request = _messages(read_values(case.inputs), "request")
    if case.reference is not None:
        told = _messages(read_values(case.reference), "reference")
        request += f"<details><summary>Reference</summary>{told}</details>"
    sides: list[tuple[Side, str]] = [("old", data.old), ("new", data.new)]
    answers = "".join(
        f"<div><h4>{side}: {escape(name)}</h4>{_answers(answers_of(case, side))}</div>"
        for side, name in sides
    )
    return (
        f"<article><h3>{number}. <code>{escape(case.id)}</code></h3>{request}"
        f'<div class="pair">{answers}</div>{table(["score", "old", "new"], scores)}</article>'
    )


def _answers(answers: Iterable[ModelAnswer]) -> str:
    shown = []
    for each in answers:
        if each.error is not None:
            shown.append(f'<p class="warn">Failed: {escape(each.error)}</p>')
        else:
            shown.append(_messages(read_values(each.outputs), "answer"))
        if each.unseen_calls:
            shown.append(f"<p>Tool calls without a recorded result: {each.unseen_calls:,}</p>")
        for name, comment in each.comments.items():
            shown.append(f'<p class="fine"><b>{escape(name)}</b>: {escape(comment)}</p>')
    return "".join(shown)


def _messages(messages: Iterable[ShownMessage], label: str) -> str:
    return "".join(_message(each, label) for each in messages)


def _message(message: ShownMessage, label: str) -> str:
    texts = [part.text for part in message.parts if part.kind != "reasoning"]
    texts += [f"calls {call.name}({call.arguments})" for call in message.calls]
    text = "\n".join(texts) or "(empty)"
    rest = len(text) - _LONGEST
    text = text if rest <= 0 else f"{text[:_LONGEST]}... ({rest:,} more characters)"
    return (
        f'<blockquote><b class="fine">{escape(message.role or label)}</b>\n{escape(text)}'
        "</blockquote>"
    )


def _refused(data: ComparisonData) -> str:
    rows = []
    for why, ids in refusals(data).items():
        listed = ", ".join(f"<code>{escape(each)}</code>" for each in ids)
        shown = f"<details><summary>ids</summary>{listed}</details>"
        rows.append([escape(why), f"{len(ids):,}", shown])
    return section("Cases left out", table(["why", "cases", ""], rows))


def _experiments(data: ComparisonData) -> str:
    rows = [
        [side, f"<code>{escape(name)}</code>", _link(link)]
        for side, name, link in (
            ("old", data.old, data.old_experiment),
            ("new", data.new, data.new_experiment),
        )
    ]
    shown = table(["", "model", "experiment"], rows)
    if _is_web(data.url):
        shown += f'<p><a href="{escape(data.url or "")}">Side by side</a></p>'
    return section("Experiments", shown)


def _link(link: ExperimentLink) -> str:
    name = escape(link.name)
    return f'<a href="{escape(link.url or "")}">{name}</a>' if _is_web(link.url) else name


def _is_web(url: str | None) -> bool:
    return bool(url) and str(url).startswith(("https://", "http://"))
