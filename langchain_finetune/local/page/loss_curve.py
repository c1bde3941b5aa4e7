"""Geometry of a job's loss curve, which `_curve.html` draws as SVG. Pure functions.

Horizontal positions are percentages and vertical ones pixels, so that the plot stretches with the
window, but text and strokes do not.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_finetune.methods import METHODS, Method

HEIGHT = 240
"""Pixels between the highest and the lowest tick."""

WIDTH = 1000
"""Horizontal units of a curve, which stretch to the width of the plot."""

MAX_POINTS = 400
"""Maximum number of points of a curve; more would exceed its pixels."""

MAX_ROWS = 40
"""Maximum number of table rows; the result file contains all steps."""

_MAX_DOTS = 60
_MIN_LOGARITHMIC_RATIO = 50
"""Ratio of the highest to the lowest value from which the axis is logarithmic."""

_MAX_DECADES = 6
_EPSILON = 1e-12
"""Smaller values are treated as zero."""

_CURVES = {"train_loss": "training", "valid_loss": "validation"}


@dataclass(frozen=True)
class Tick:
    """A tick of an axis, at a percentage from the left or at pixels from the top."""

    position: float
    label: str


@dataclass(frozen=True)
class Line:
    """A curve: an SVG polyline in a box of `WIDTH` x `HEIGHT`, its latest and its lowest value.

    `dots` are percent from the left, pixels from the top and a label; none if too many.
    """

    name: str
    points: str
    dots: list[tuple[float, float, str]]
    last: str
    lowest: str
    lowest_step: int


@dataclass(frozen=True)
class LossPlot:
    """Geometry of a plot; ticks `across` are steps, those `down` are losses, from the bottom up.

    `summary` is for screen readers. `rows` are step, training and validation loss, "" if not
    measured; `thinned` says whether steps are left out.
    """

    lines: list[Line]
    across: list[Tick]
    down: list[Tick]
    unit: str
    summary: str
    rows: list[tuple[int, str, str]]
    thinned: bool


def loss_plot(metrics: Sequence[Mapping[str, Any]], method: Method) -> LossPlot | None:
    """Return the plot of a job from `Journal.metrics`, or None if there are no values yet.

    Example:
        >>> loss_plot([{"step": 1, "train_loss": 2.0, "total_steps": 4}], "supervised").summary
        'Loss over 1 of 4 steps. Training: last 2, lowest 2 at step 1.'
    """
    series = {
        name: [(int(row["step"]), float(row[key])) for row in metrics if row.get(key) is not None]
        for key, name in _CURVES.items()
    }
    series = {name: points for name, points in series.items() if points}
    if not series:
        return None
    done = max(step for points in series.values() for step, _ in points)
    steps = max(done, *(int(row.get("total_steps") or 0) for row in metrics))
    axis = _axis([value for points in series.values() for _, value in points])
    lines = [_line(name, points, steps, axis) for name, points in series.items()]
    rows, thinned = _rows(metrics)
    return LossPlot(
        lines=lines,
        across=[Tick(100 * step / steps, f"{step:,}") for step in _step_ticks(steps)],
        down=[Tick(axis.position(value), format_loss(value)) for value in axis.ticks],
        unit=METHODS[method].loss_unit + (", logarithmic" if axis.logarithmic else ""),
        summary=_summary(lines, done, steps),
        rows=rows,
        thinned=thinned,
    )


def format_loss(value: float) -> str:
    """Return a loss with a suitable number of digits.

    Example:
        >>> format_loss(0.12344), format_loss(12.0), format_loss(0.00001234)
        ('0.1234', '12', '1.23e-05')
    """
    return f"{value:.4g}" if not value or abs(value) >= 1e-4 else f"{value:.3g}"  # noqa: PLR2004


@dataclass(frozen=True)
class _Axis:
    """The axis of the loss, with its ticks from the lowest to the highest."""

    ticks: list[float]
    logarithmic: bool

    def position(self, value: float) -> float:
        """Return the pixels between the highest tick and a value."""
        low, high = self.ticks[0], self.ticks[-1]
        if self.logarithmic:
            value, low, high = math.log10(value), math.log10(low), math.log10(high)
        return round(HEIGHT * (high - value) / (high - low), 2)


def _axis(values: Sequence[float]) -> _Axis:
    lowest, highest = min(values), max(values)
    if lowest < _EPSILON or highest / lowest < _MIN_LOGARITHMIC_RATIO:
        return _Axis(_ticks(highest), logarithmic=False)
    first, last = math.floor(math.log10(lowest)), math.ceil(math.log10(highest))
    every = math.ceil((last - first) / _MAX_DECADES)
    # From the top down, so that the highest tick is always included.
    decades = list(range(last, first - every, -every))[::-1]
    return _Axis([float(f"1e{decade}") for decade in decades], logarithmic=True)


def _ticks(highest: float) -> list[float]:
    """Return round numbers from 0 to at least the highest value: three to five."""
    highest = highest if highest > _EPSILON else 1
    rough = highest / 4
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor >= rough)
    number = math.ceil(highest / step)
    # Products of floats are not round.
    return [float(f"{step * index:.6g}") for index in range(number + 1)]


def _step_ticks(steps: int) -> list[int]:
    if steps <= 5:  # noqa: PLR2004 - as many as fit on a narrow screen
        return list(range(steps + 1))
    step = max(1, round(_ticks(steps)[1]))
    return list(range(0, steps + 1, step))


def _line(name: str, points: list[tuple[int, float]], steps: int, axis: _Axis) -> Line:
    lowest_step, lowest = min(points, key=lambda point: point[1])
    drawn = [
        (step / steps, axis.position(value), f"{name}, step {step:,}: {format_loss(value)}")
        for step, value in _thinned(points)
    ]
    return Line(
        name=name,
        points=" ".join(f"{WIDTH * across:.1f},{down:.1f}" for across, down, _ in drawn),
        dots=[(round(100 * across, 3), round(down, 1), label) for across, down, label in drawn]
        if len(drawn) <= _MAX_DOTS
        else [],
        last=format_loss(points[-1][1]),
        lowest=format_loss(lowest),
        lowest_step=lowest_step,
    )


def _thinned(points: list[tuple[int, float]]) -> Iterable[tuple[int, float]]:
    """Return the lowest and the highest point of each section, which keeps all peaks."""
    if len(points) <= MAX_POINTS:
        return points
    size = math.ceil(2 * len(points) / MAX_POINTS)
    kept: set[tuple[int, float]] = {points[0], points[-1]}
    for start in range(0, len(points), size):
        part = points[start : start + size]
        kept |= {min(part, key=lambda point: point[1]), max(part, key=lambda point: point[1])}
    return sorted(kept)


def _rows(metrics: Sequence[Mapping[str, Any]]) -> tuple[list[tuple[int, str, str]], bool]:
    every = max(1, math.ceil(len(metrics) / MAX_ROWS))
    # From the end, so that the latest step is always included.
    kept = list(metrics[::-1][::every])[::-1]
    rows = [
        (int(row["step"]), _cell(row.get("train_loss")), _cell(row.get("valid_loss")))
        for row in kept
    ]
    return rows, every > 1


def _cell(value: Any) -> str:
    return "" if value is None else format_loss(value)


def _summary(lines: list[Line], done: int, steps: int) -> str:
    of = f" of {steps:,}" if steps > done else ""
    parts = [
        f"{line.name.capitalize()}: last {line.last}, lowest {line.lowest} at step "
        f"{line.lowest_step:,}."
        for line in lines
    ]
    return " ".join([f"Loss over {done:,}{of} steps.", *parts])
