"""The plots of the report's page, as SVG that keeps its text readable at any width.

Widths are percentages and heights are pixels, so a plot stretches while its letters do not.
"""

from collections.abc import Iterable
from html import escape

from langchain_finetune.convert.report_words import share, short
from langchain_finetune.convert.spread import Spread

_TOP, _FLOOR, _HEIGHT = 26, 168, 192
_TICKS = 5


def histogram(spread: Spread, unit: str) -> str:
    """Return a histogram with its median marked.

    Args:
        spread: What to show.
        unit: What is counted, such as `tokens`.
    """
    bars = spread.histogram
    if not bars:
        return ""
    highest = max(bar.count for bar in bars)
    width = 100 / len(bars)
    drawn = [_grid(highest)]
    for number, bar in enumerate(bars):
        height = (_FLOOR - _TOP) * bar.count / highest
        # A bar with one example must still be seen.
        height = max(height, 2) if bar.count else 0
        span = f"{bar.start:,} and more" if bar.end is None else f"{bar.start:,} to {bar.end - 1:,}"
        kind = "bar rest" if bar.end is None else "bar"
        drawn.append(
            f'<rect class="{kind}" x="{number * width + width * 0.06:.3f}%" '
            f'y="{_FLOOR - height:.1f}" width="{width * 0.88:.3f}%" height="{height:.1f}" rx="2">'
            f"<title>{span} {unit}: {bar.count:,}</title></rect>"
        )
    drawn.append(_axis(spread))
    start, step = bars[0].start, (bars[0].end or bars[0].start + 1) - bars[0].start
    place = min(100.0, (spread.median + 0.5 - start) / step * width)
    anchor = "start" if place < 50 else "end"  # noqa: PLR2004 - the middle
    shift = 5 if anchor == "start" else -5
    drawn.append(
        f'<line class="mark" x1="{place:.2f}%" x2="{place:.2f}%" y1="10" y2="{_FLOOR}"/>'
        f'<text class="mark" x="{place:.2f}%" y="17" dx="{shift}" text-anchor="{anchor}">'
        f"median {spread.median:,}</text>"
    )
    label = f"Histogram of {unit}: median {spread.median:,}, highest {spread.most:,}"
    return _svg("".join(drawn), _HEIGHT, label)


def stacked(parts: Iterable[tuple[str, int, str]], label: str) -> str:
    """Return one bar that is divided into parts.

    Args:
        parts: Name, count and CSS class of each.
        label: What it shows, for those who can't see it.
    """
    parts = [part for part in parts if part[1]]
    whole = sum(count for _, count, _ in parts)
    drawn, place = [], 0.0
    for name, count, kind in parts:
        width = 100 * count / whole
        drawn.append(
            f'<rect class="{kind}" x="{place:.3f}%" y="0" width="{max(width - 0.25, 0.15):.3f}%" '
            f'height="28" rx="3"><title>{escape(name)}: {count:,}</title></rect>'
        )
        if width > 6:  # noqa: PLR2004 - room for its letters; narrow screens have less
            text = "inside" if width > 14 else "inside small"  # noqa: PLR2004
            drawn.append(
                f'<text class="{text}" x="{place + width / 2:.3f}%" y="19" text-anchor="middle">'
                f"{share(count, whole)}</text>"
            )
        place += width
    return _svg("".join(drawn), 28, label)


def meter(value: int, highest: int) -> str:
    """Return a small bar for a table's cell; the number beside it says the same."""
    width = 100 * value / highest if highest else 0
    return (
        '<svg class="meter" width="100%" height="8" aria-hidden="true">'
        '<rect class="track" width="100%" height="8" rx="4"/>'
        f'<rect class="bar" width="{width:.2f}%" height="8" rx="4"/></svg>'
    )


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


def _axis(spread: Spread) -> str:
    bars = spread.histogram
    width = 100 / len(bars)
    closed = [number for number, bar in enumerate(bars) if bar.end is not None]
    every = max(1, -(-len(closed) // _TICKS))
    drawn = []
    for number in closed[::every]:
        # The last numbers would run into those of the open bar.
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


def _svg(inside: str, height: int, label: str) -> str:
    return (
        f'<svg class="plot" role="img" aria-label="{escape(label)}" width="100%" '
        f'height="{height}">{inside}</svg>'
    )
