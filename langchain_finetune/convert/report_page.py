"""The report as a page of HTML: one file, no network, no script."""

from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING

from langchain_finetune.convert.report_plots import histogram, meter, stacked
from langchain_finetune.convert.report_words import (
    duration,
    footnotes,
    money,
    noted,
    share,
    short,
    words,
)
from langchain_finetune.convert.spread import Spread
from langchain_finetune.convert.strange import StrangeExample

if TYPE_CHECKING:
    from langchain_finetune.convert.report import ConversionReport

_TOOLS = 30
_MEASURE = (
    "An example is as strange as the strangest thing about it, in standard deviations: the "
    "logarithm of its tokens and of its messages against the mean, and how rare its rarest tool "
    "and its script are. Strange is not wrong: look, then decide."
)


def page(report: "ConversionReport") -> str:
    """Return the whole page."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(_title(report))}</title></head>"
        f'<body style="margin:0">{sections(report)}</body></html>\n'
    )


def sections(report: "ConversionReport") -> str:
    """Return the page's content with its style, which touches nothing around it."""
    css = files("langchain_finetune.convert").joinpath("report_page.css").read_text("utf-8")
    parts = [_head(report), _fate(report), _lengths(report), _taught(report), _takes(report)]
    if report.strange:
        parts.append(_strange(report.strange))
    notes = "".join(
        f"<li>{escape(note)}</li>" for note in footnotes(report.estimates, report.tokens_counted)
    )
    foot = f"<footer><ul>{notes}</ul></footer>"
    return f'<style>{css}</style><main class="lcft">{"".join(parts)}{foot}</main>'


def _title(report: "ConversionReport") -> str:
    return f"{report.kept:,} examples from {report.sessions:,} chats"


def _head(report: "ConversionReport") -> str:
    about = "" if report.tokens_counted == 1 else "about "
    learnt = f"{about}{report.tokens.median:,} in the middle one"
    if report.learnt_tokens is not None:
        learnt = f"{share(report.learnt_tokens, report.tokens.total)} of them are learnt"
    tiles = [
        ("Chats in", f"{report.sessions:,}", "with those that the loader left out"),
        (
            "Examples kept",
            f"{report.kept:,}",
            f"{share(report.kept, report.sessions)} of the chats",
        ),
        ("Tokens", short(report.tokens.total), learnt),
        ("Answers to learn", f"{report.targets:,}", f"{report.calls_to_learn:,} call a tool"),
    ]
    if report.model:
        made = report.estimates[0]
        epochs = f"{made.n_epochs} epochs, {short(made.trained_tokens)} trained tokens"
        tiles.append(("Training cost", money(made), epochs))
        if made.seconds is not None:
            tiles.append(("Training time", duration(made), "an estimate"))
    shown = "".join(
        f"<div><dt>{name}</dt><dd>{value}<small>{note}</small></dd></div>"
        for name, value, note in tiles
    )
    where = f"To train {report.model} at {_engine(report.engine)}." if report.model else ""
    return (
        f'<header><p class="over">Conversion report</p><h1>{escape(_title(report))}</h1>'
        f'<p class="lead">{escape(where)}</p><dl class="tiles">{shown}</dl></header>'
    )


def _engine(name: str | None) -> str:
    return {"local": "the embedded engine", None: "OpenAI", "openai": "OpenAI"}.get(name, str(name))


def _fate(report: "ConversionReport") -> str:
    lost = sum(report.skipped.values())
    parts = [(part, count, part) for part, count in report.parts.items()]
    plot = stacked([*parts, ("left out", lost, "lost")], "What became of the chats")
    whole = report.kept + lost
    rows = [
        [f'<i class="dot {part}"></i>{part}', f"{count:,}", share(count, whole)]
        for part, count, _ in parts
        if count or part == "train"
    ]
    rows += [
        [
            f'<i class="dot lost"></i>left out: {escape(words(code))}',
            f"{count:,}",
            share(count, whole),
        ]
        for code, count in report.skipped.items()
    ]
    noticed = ""
    if named := noted(report):
        rows_of_notes = [[escape(what), f"{count:,}"] for what, count in named]
        noticed = "<h3>Also noticed</h3>" + _table(["what", "count"], rows_of_notes)
    table = _table(["", "chats", "share"], rows)
    return _section("What became of the chats", f"{plot}<div>{table}</div>{noticed}")


def _lengths(report: "ConversionReport") -> str:
    tokens = "tokens" if report.tokens_counted == 1 else "tokens (estimated)"
    shown = [_length("Tokens of an example", tokens, report.tokens)]
    shown.append(_length("Messages of an example", "messages", report.messages))
    return _section("How long the examples are", f'<div class="pair">{"".join(shown)}</div>')


def _length(title: str, unit: str, spread: Spread) -> str:
    names = ("least", "10%", "median", "90%", "99%", "most")
    figures = (
        spread.least,
        spread.p10,
        spread.median,
        spread.p90,
        spread.p99,
        spread.most,
    )
    head = _table(names, [[f"{figure:,}" for figure in figures]], kind="figures")
    bars = [
        [
            f"{bar.start:,}{' and more' if bar.end is None else f' to {bar.end - 1:,}'}",
            f"{bar.count:,}",
        ]
        for bar in spread.histogram
    ]
    rest = f"<summary>All bars as a table</summary>{_table([unit, 'examples'], bars)}"
    plot = histogram(spread, unit)
    return f"<div><h3>{title}</h3>{plot}{head}<details>{rest}</details></div>"


def _taught(report: "ConversionReport") -> str:
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
    shown = [
        "<div><h3>Tools</h3>",
        _table(["tool", "offered in", "calls", ""], tools, kind="metered") + more
        if tools
        else none,
        "</div><div><h3>Scripts</h3>",
        _table(["script", "mostly", "some of it", ""], scripts, kind="metered"),
        "</div>",
    ]
    return _section("What they are about", f'<div class="pair">{"".join(shown)}</div>')


def _takes(report: "ConversionReport") -> str:
    rows = [
        [
            escape(each.engine),
            f"<code>{escape(each.model)}</code>",
            money(each),
            duration(each),
            f"{each.n_epochs}",
            short(each.trained_tokens),
        ]
        for each in report.estimates
    ]
    headings = ["engine", "base", "cost", "time", "epochs", "trained tokens"]
    chosen = "chosen" if report.model else ""
    return _section("What training would take", _table(headings, rows, kind=f"wide {chosen}"))


def _strange(examples: Sequence[StrangeExample]) -> str:
    shown = []
    for each in examples:
        text = f"<blockquote>{escape(each.text)}</blockquote>" if each.text else ""
        reasons = escape("; ".join(each.reasons))
        shown.append(
            f'<li><b class="score" title="standard deviations">{each.score:.1f}</b>'
            f"<div><code>{escape(each.id)}</code><p>{reasons}</p>"
            f'<p class="fine">{each.part}, {each.tokens:,} tokens, {each.messages:,} messages</p>'
            f"{text}</div></li>"
        )
    return _section(
        "Look at these first", f'<p>{_MEASURE}</p><ol class="strange">{"".join(shown)}</ol>'
    )


def _section(title: str, inside: str) -> str:
    return f"<section><h2>{title}</h2>{inside}</section>"


def _table(headings: Iterable[str], rows: Iterable[Sequence[str]], kind: str = "") -> str:
    head = "".join(f'<th scope="col">{heading}</th>' for heading in headings)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return (
        f'<div class="scroll"><table class="{kind.strip()}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )
