"""The geometry of a job's loss curve; the template `_curve.html` draws it as SVG. Pure functions.

Places across are percentages and places down are pixels, so the plot stretches with the window
while its letters and lines do not.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_finetune.methods import METHODS, Method

HEIGHT = 240
"""Pixels between the highest tick and the floor."""

WIDTH = 1000
"""Units of a line across, stretched over the plot's width."""

MAX_POINTS = 400
"""Most points of a line; more of them than pixels would only blur it."""

MAX_ROWS = 40
"""Most rows of the table; the result file has them all."""

_MAX_DOTS = 60
_LOGARITHMIC_FROM = 50
"""Highest value by the lowest, from which a linear axis would show a floor and no more."""

_MOST_DECADES = 6
_LEAST = 1e-12
"""Less is as good as nothing."""

_CURVES = {"train_loss": "training", "valid_loss": "validation"}


@dataclass(frozen=True)
class Tick:
    """A mark of an axis.

    Attributes:
        place: Percent from the left, or pixels from the top.
        label: Its number.
    """

    place: float
    label: str


@dataclass(frozen=True)
class Line:
    """One of the curves.

    Attributes:
        name: `training` or `validation`.
        points: What an SVG polyline takes, in a box of `WIDTH` x `HEIGHT`.
        dots: The points as percent from the left, pixels from the top, and words; none where they
            are many.
        last: The newest value.
        lowest: The lowest value, and the step it was measured at.
    """

    name: str
    points: str
    dots: list[tuple[float, float, str]]
    last: str
    lowest: str
    lowest_step: int


@dataclass(frozen=True)
class LossPlot:
    """A loss curve, ready to be drawn.

    Attributes:
        lines: What was measured; training first.
        across: Ticks of the steps.
        down: Ticks of the loss, from the floor up.
        unit: Unit of the loss, and the kind of the axis.
        summary: The same in a sentence, for those who can't see it.
        rows: Step, training loss and validation loss; an empty text where nothing was measured.
        thinned: The rows are not all.
    """

    lines: list[Line]
    across: list[Tick]
    down: list[Tick]
    unit: str
    summary: str
    rows: list[tuple[int, str, str]]
    thinned: bool


def loss_plot(metrics: Sequence[Mapping[str, Any]], method: Method) -> LossPlot | None:
    """Return the curve of a job, or None while there is nothing to draw.

    Args:
        metrics: Figures of the steps, as `Journal.metrics` returns them.
        method: The training method.

    Example:
        >>> loss_plot([{"step": 1, "train_loss": 2.0, "total_steps": 4}], "supervised").summary
        'Loss over 1 of 4 steps. Training: 2 at last, lowest 2 at step 1.'
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
        down=[Tick(axis.place(value), figure(value)) for value in axis.ticks],
        unit=METHODS[method].loss_unit + (", logarithmic" if axis.logarithmic else ""),
        summary=_summary(lines, done, steps),
        rows=rows,
        thinned=thinned,
    )


def figure(value: float) -> str:
    """Return a loss as it is shown.

    Example:
        >>> figure(0.12344), figure(12.0), figure(0.00001234)
        ('0.1234', '12', '1.23e-05')
    """
    return f"{value:.4g}" if not value or abs(value) >= 1e-4 else f"{value:.3g}"  # noqa: PLR2004


@dataclass(frozen=True)
class _Axis:
    """The axis of the loss, with its ticks from the lowest to the highest."""

    ticks: list[float]
    logarithmic: bool

    def place(self, value: float) -> float:
        """Return how many pixels below the highest tick a value is."""
        low, high = self.ticks[0], self.ticks[-1]
        if self.logarithmic:
            value, low, high = math.log10(value), math.log10(low), math.log10(high)
        return round(HEIGHT * (high - value) / (high - low), 2)


def _axis(values: Sequence[float]) -> _Axis:
    lowest, highest = min(values), max(values)
    if lowest < _LEAST or highest / lowest < _LOGARITHMIC_FROM:
        return _Axis(_ticks(highest), logarithmic=False)
    first, last = math.floor(math.log10(lowest)), math.ceil(math.log10(highest))
    every = math.ceil((last - first) / _MOST_DECADES)
    # Counted from the top, so that the highest tick is always there; the floor may lie deeper.
    decades = list(range(last, first - every, -every))[::-1]
    return _Axis([float(f"1e{decade}") for decade in decades], logarithmic=True)


def _ticks(highest: float) -> list[float]:
    """Return round numbers from 0 to the highest value or above it: three to five."""
    highest = highest if highest > _LEAST else 1
    rough = highest / 4
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor >= rough)
    number = math.ceil(highest / step)
    # Products of floats are not round; the sums would be less so.
    return [float(f"{step * index:.6g}") for index in range(number + 1)]


def _step_ticks(steps: int) -> list[int]:
    if steps <= 5:  # noqa: PLR2004 - as many as fit a narrow screen
        return list(range(steps + 1))
    step = max(1, round(_ticks(steps)[1]))
    return list(range(0, steps + 1, step))


def _line(name: str, points: list[tuple[int, float]], steps: int, axis: _Axis) -> Line:
    lowest_step, lowest = min(points, key=lambda point: point[1])
    drawn = [
        (step / steps, axis.place(value), f"{name}, step {step:,}: {figure(value)}")
        for step, value in _thinned(points)
    ]
    return Line(
        name=name,
        points=" ".join(f"{WIDTH * across:.1f},{down:.1f}" for across, down, _ in drawn),
        dots=[(round(100 * across, 3), round(down, 1), words) for across, down, words in drawn]
        if len(drawn) <= _MAX_DOTS
        else [],
        last=figure(points[-1][1]),
        lowest=figure(lowest),
        lowest_step=lowest_step,
    )


def _thinned(points: list[tuple[int, float]]) -> Iterable[tuple[int, float]]:
    """Return the lowest and the highest point of each part, so that no peak is lost."""
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
    # Counted from the end, so that the newest is always there.
    kept = list(metrics[::-1][::every])[::-1]
    shown = [
        (int(row["step"]), _cell(row.get("train_loss")), _cell(row.get("valid_loss")))
        for row in kept
    ]
    return shown, every > 1


def _cell(value: Any) -> str:
    return "" if value is None else figure(value)


def _summary(lines: list[Line], done: int, steps: int) -> str:
    of = f" of {steps:,}" if steps > done else ""
    told = [
        f"{line.name.capitalize()}: {line.last} at last, lowest {line.lowest} at step "
        f"{line.lowest_step:,}."
        for line in lines
    ]
    return " ".join([f"Loss over {done:,}{of} steps.", *told])
