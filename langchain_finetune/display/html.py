"""Parts of an HTML page that is one file, without scripts or external resources.

Functions take and return HTML: callers escape texts.
"""

from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files

from langchain_finetune.display.text import share


def document(title: str, content: str) -> str:
    """Return a whole page; `content` is that of `styled`."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)}</title></head>"
        f'<body style="margin:0">{content}</body></html>\n'
    )


def styled(content: str) -> str:
    """Return the content of a page with its style, which affects nothing around it."""
    css = files("langchain_finetune.display").joinpath("page.css").read_text("utf-8")
    return f'<style>{css}</style><main class="lcft">{content}</main>'


def header(kind: str, title: str, lead: str, tiles: Iterable[tuple[str, str, str]]) -> str:
    """Return the head of a report: what it is, its title, and figures (name, value, note)."""
    shown = "".join(
        f"<div><dt>{name}</dt><dd>{value}<small>{note}</small></dd></div>"
        for name, value, note in tiles
    )
    return (
        f'<header><p class="over">{kind}</p><h1>{title}</h1>'
        f'<p class="lead">{lead}</p><dl class="tiles">{shown}</dl></header>'
    )


def footer(notes: Iterable[str]) -> str:
    """Return the notes below a report."""
    return f"<footer><ul>{''.join(f'<li>{note}</li>' for note in notes)}</ul></footer>"


def section(title: str, inside: str) -> str:
    """Return a section with its heading."""
    return f"<section><h2>{title}</h2>{inside}</section>"


def table(headings: Iterable[str], rows: Iterable[Sequence[str]], kind: str = "") -> str:
    """Return a table that scrolls where it is wider than the page.

    On narrow screens, each row of the kind `wide` becomes a small block, with its headings beside.
    """
    headings = list(headings)
    head = "".join(f'<th scope="col">{heading}</th>' for heading in headings)
    marks = [f' data-label="{each}"' if "wide" in kind else "" for each in headings]

    def cells(row: Sequence[str]) -> str:
        return "".join(f"<td{mark}>{cell}</td>" for mark, cell in zip(marks, row, strict=True))

    body = "".join(f"<tr>{cells(row)}</tr>" for row in rows)
    return (
        f'<div class="scroll" tabindex="0"><table class="{kind.strip()}">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def stacked(parts: Iterable[tuple[str, int, str]], label: str) -> str:
    """Return one bar divided into parts (name, count, CSS class), labelled for screen readers."""
    parts = [part for part in parts if part[1]]
    whole = sum(count for _, count, _ in parts)
    drawn, place = [], 0.0
    for name, count, kind in parts:
        width = 100 * count / whole
        drawn.append(
            f'<rect class="{kind}" x="{place:.3f}%" y="0" width="{max(width - 0.25, 0.15):.3f}%" '
            f'height="28" rx="3"><title>{escape(name)}: {count:,}</title></rect>'
        )
        if width > 6:  # noqa: PLR2004 - wide enough for text, except on narrow screens
            text = "inside" if width > 14 else "inside small"  # noqa: PLR2004
            drawn.append(
                f'<text class="{text}" x="{place + width / 2:.3f}%" y="19" text-anchor="middle">'
                f"{share(count, whole)}</text>"
            )
        place += width
    return svg("".join(drawn), 28, label)


def meter(value: int, highest: int) -> str:
    """Return a small bar for a table cell, next to its number."""
    width = 100 * value / highest if highest else 0
    return (
        '<svg class="meter" width="100%" height="8" aria-hidden="true">'
        '<rect class="track" width="100%" height="8" rx="4"/>'
        f'<rect class="bar" width="{width:.2f}%" height="8" rx="4"/></svg>'
    )


def svg(inside: str, height: int, label: str) -> str:
    """Return a plot of the page's width, labelled for screen readers."""
    return (
        f'<svg class="plot" role="img" aria-label="{escape(label)}" width="100%" '
        f'height="{height}">{inside}</svg>'
    )
