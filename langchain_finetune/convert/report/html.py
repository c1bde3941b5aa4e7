"""The report as an HTML page: one file, without scripts or external resources."""

from collections.abc import Sequence
from html import escape

from langchain_finetune.convert.report.distribution import Bar, Distribution
from langchain_finetune.convert.report.figures import ReportFigures
from langchain_finetune.convert.report.formatting import (
    duration,
    estimate_row,
    footnotes,
    left_out,
    money,
    noted,
    remarks,
)
from langchain_finetune.convert.report.outliers import Outlier
from langchain_finetune.display.html import (
    footer,
    header,
    meter,
    section,
    stacked,
    styled,
    svg,
    table,
)
from langchain_finetune.display.text import counted, share, short

_TOP, _FLOOR, _HEIGHT = 26, 168, 192
_TICKS = 5


def histogram(values: Distribution, unit: str) -> str:
    """Return a histogram of values of a unit, such as `tokens`, with their median marked."""
    bars = values.histogram
    if not bars:
        return ""
    highest = max(bar.count for bar in bars)
    width = 100 / len(bars)
    drawn = [_grid(highest)]
    for number, bar in enumerate(bars):
        height = (_FLOOR - _TOP) * bar.count / highest
        # A bar with one example must still be visible.
        height = max(height, 2) if bar.count else 0
        kind = "bar rest" if bar.end is None else "bar"
        drawn.append(
            f'<rect class="{kind}" x="{number * width + width * 0.06:.3f}%" '
            f'y="{_FLOOR - height:.1f}" width="{width * 0.88:.3f}%" height="{height:.1f}" rx="2">'
            f"<title>{_span(bar)} {unit}: {bar.count:,}</title></rect>"
        )
    drawn.append(_axis(values))
    start, step = bars[0].start, (bars[0].end or bars[0].start + 1) - bars[0].start
    place = min(100.0, (values.median + 0.5 - start) / step * width)
    anchor = "start" if place < 50 else "end"  # noqa: PLR2004 - the middle
    shift = 5 if anchor == "start" else -5
    drawn.append(
        f'<line class="mark" x1="{place:.2f}%" x2="{place:.2f}%" y1="10" y2="{_FLOOR}"/>'
        f'<text class="mark" x="{place:.2f}%" y="17" dx="{shift}" text-anchor="{anchor}">'
        f"median {values.median:,}</text>"
    )
    label = f"Histogram of {unit}: median {values.median:,}, highest {values.max:,}"
    return svg("".join(drawn), _HEIGHT, label)


def _grid(highest: int) -> str:
    drawn = []
    for height, value in ((_TOP, highest), ((_TOP + _FLOOR) / 2, highest / 2)):
        drawn.append(f'<line class="grid" x1="0" x2="100%" y1="{height}" y2="{height}"/>')
        if value == int(value):
            drawn.append(
                f'<text class="tick" x="100%" y="{height - 4}" text-anchor="end">'
                f"{short(value)}</text>"
            )
    drawn.append(f'<line class="floor" x1="0" x2="100%" y1="{_FLOOR}" y2="{_FLOOR}"/>')
    return "".join(drawn)


def _axis(values: Distribution) -> str:
    bars = values.histogram
    width = 100 / len(bars)
    closed = [number for number, bar in enumerate(bars) if bar.end is not None]
    every = max(1, -(-len(closed) // _TICKS))
    drawn = []
    for number in closed[::every]:
        # The last labels would overlap that of the open bar.
        if number and number * width > 78:  # noqa: PLR2004
            continue
        anchor = "start" if number == 0 else "middle"
        drawn.append((number * width, anchor, short(bars[number].start)))
    last = bars[-1]
    drawn.append((100, "end", f"{short(last.start)}+" if last.end is None else short(last.end)))
    return "".join(
        f'<text class="tick" x="{place:.2f}%" y="{_FLOOR + 17}" text-anchor="{anchor}">'
        f"{text}</text>"
        for place, anchor, text in drawn
    )


_TOOLS = 30
_MEASURE = (
    "The score is that of an example's most unusual property, in standard deviations: the "
    "logarithms of its tokens and messages against the mean, and the rarity of its rarest tool "
    "and of its script. Unusual is not wrong: review, then decide."
)


def sections(report: ReportFigures) -> str:
    """Return the page's content with its style, which affects nothing around it."""
    shown = [_head, _outcome, _lengths, _contents, _estimates]
    parts = [show(report) for show in shown]
    if report.outliers:
        parts.append(_outliers(report.outliers))
    notes = footnotes(report.estimates, report.tokens_counted)
    return styled("".join([*parts, footer(map(escape, notes))]))


def title(report: ReportFigures) -> str:
    """Return the title of the page."""
    return f"{counted(report.kept, 'example')} from {counted(report.sessions, 'chat')}"


def _head(report: ReportFigures) -> str:
    about = "" if report.tokens_counted == 1 else "about "
    note = f"{about}{report.tokens.median:,} in the median example"
    if report.target_tokens is not None:
        note = f"{share(report.target_tokens, report.tokens.total)} of them are trained on"
    kept = share(report.kept, report.sessions)
    tiles = [
        ("Chats in", f"{report.sessions:,}", "including those that the loader skipped"),
        ("Examples kept", f"{report.kept:,}", f"{kept} of the chats"),
        ("Tokens", short(report.tokens.total), note),
        ("Answers to train on", f"{report.targets:,}", f"{report.calls_to_learn:,} call a tool"),
    ]
    if report.model:
        made = report.estimates[0]
        epochs = f"{made.n_epochs} epochs, {short(made.trained_tokens)} trained tokens"
        tiles.append(("Training cost", money(made), epochs))
        if made.seconds is not None:
            tiles.append(("Training time", duration(made), "an estimate"))
    where = f"For training {report.model} with {_engine(report.engine)}." if report.model else ""
    return header("Conversion report", escape(title(report)), escape(where), tiles)


def _engine(name: str | None) -> str:
    return {"local": "the embedded engine", None: "OpenAI", "openai": "OpenAI"}.get(name, str(name))


def _outcome(report: ReportFigures) -> str:
    lost = sum(report.skipped.values())
    parts = [(part, count, part) for part, count in report.parts.items()]
    plot = stacked([*parts, ("left out", lost, "lost")], "Outcome of the chats")
    whole = report.kept + lost
    named = [(part, part, count) for part, count, _ in parts if count or part == "train"]
    for what, count, meaning in left_out(report):
        named.append(("lost", _explained(what, meaning), count))
    rows = [
        [f'<i class="dot {kind}"></i>{name}', f"{count:,}", share(count, whole)]
        for kind, name, count in named
    ]
    noted_table = ""
    if notes := noted(report):
        rows_of_notes = [[_explained(what, why), f"{count:,}"] for what, count, why in notes]
        noted_table = "<h3>Notes</h3>" + table(["what", "count"], rows_of_notes)
    counted = table(["", "chats", "share"], rows)
    can_show = "".join(f"<p>{escape(sentence)}</p>" for sentence in remarks(report))
    return section("Outcome of the chats", f"{plot}<div>{counted}</div>{can_show}{noted_table}")


def _explained(what: str, meaning: str) -> str:
    note = f'<small class="fine">{escape(meaning)}</small>' if meaning else ""
    return f"<span>{escape(what)}{note}</span>"


def _lengths(report: ReportFigures) -> str:
    tokens = "tokens" if report.tokens_counted == 1 else "tokens (estimated)"
    shown = _length("Tokens per example", tokens, report.tokens)
    shown += _length("Messages per example", "messages", report.messages)
    return section("Length of the examples", f'<div class="pair">{shown}</div>')


def _length(title: str, unit: str, values: Distribution) -> str:
    names = ("min", "10%", "median", "90%", "99%", "max")
    fields = ("min", "p10", "median", "p90", "p99", "max")
    head = table(names, [[f"{getattr(values, name):,}" for name in fields]], kind="figures")
    bars = [[_span(bar), f"{bar.count:,}"] for bar in values.histogram]
    rest = f"<summary>All bars as a table</summary>{table([unit, 'examples'], bars)}"
    plot = histogram(values, unit)
    return f"<div><h3>{title}</h3>{plot}{head}<details>{rest}</details></div>"


def _span(bar: Bar) -> str:
    return f"{bar.start:,} and more" if bar.end is None else f"{bar.start:,} to {bar.end - 1:,}"


def _contents(report: ReportFigures) -> str:
    most = max((tool.called for tool in report.tools), default=0)
    tools = [
        [
            f"<code>{escape(tool.name)}</code>",
            f"{tool.offered:,}",
            f"{tool.called:,}" if tool.called else '<b class="warn">never</b>',
            meter(tool.called, most),
        ]
        for tool in report.tools[:_TOOLS]
    ]
    scripts = [
        [
            escape(script),
            f"{report.scripts.get(script, 0):,}",
            f"{count:,}",
            meter(report.scripts.get(script, 0), report.kept),
        ]
        for script, count in report.also_scripts.items()
    ]
    rest = len(report.tools) - _TOOLS
    more = f"<p>And {rest:,} more tools.</p>" if rest > 0 else ""
    none = "<p>No tools are offered or called.</p>"
    offered = table(["tool", "offered in", "calls", ""], tools, kind="metered") + more
    written = table(["script", "mostly", "at all", ""], scripts, kind="metered")
    shown = f"<div><h3>Tools</h3>{offered if tools else none}</div>"
    shown += f"<div><h3>Scripts</h3>{written}</div>"
    return section("Tools and scripts", f'<div class="pair">{shown}</div>')


def _estimates(report: ReportFigures) -> str:
    rows = [
        [escape(engine), f"<code>{escape(model)}</code>", *figures]
        for engine, model, *figures in map(estimate_row, report.estimates)
    ]
    headings = ["engine", "base", "cost", "time", "epochs", "trained tokens"]
    chosen = "chosen" if report.model else ""
    return section("Training estimates", table(headings, rows, kind=f"wide {chosen}"))


def _outliers(examples: Sequence[Outlier]) -> str:
    shown = []
    for each in examples:
        text = f"<blockquote>{escape(each.text)}</blockquote>" if each.text else ""
        reasons = escape("; ".join(each.reasons))
        shown.append(
            f'<li><b class="score" title="standard deviations">{each.score:.1f}</b>'
            f"<div><code>{escape(each.id)}</code><p>{reasons}</p>"
            f'<p class="fine">{each.part}, {counted(each.tokens, "token")}, '
            f"{counted(each.messages, 'message')}</p>"
            f"{text}</div></li>"
        )
    return section(
        "Outliers to review first", f'<p>{_MEASURE}</p><ol class="outliers">{"".join(shown)}</ol>'
    )
