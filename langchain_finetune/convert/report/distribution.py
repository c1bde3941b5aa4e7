"""The distribution of a number over many examples, in flat memory."""

from collections import Counter
from math import log, sqrt

from pydantic import BaseModel, ConfigDict

_BITS = 8
"""Leading bits of a number that are kept: values are exact to 0.4%, below 256 completely."""

_MIN_DEVIATION = 0.1
"""Of logarithms: a tenth of the value."""

_BARS = 24
"""Approximate number of bars of a histogram."""


class Bar(BaseModel):
    """One bar of a histogram: `start <= value < end`; an open last bar has no end."""

    model_config = ConfigDict(frozen=True)

    start: int
    end: int | None
    count: int


class Distribution(BaseModel):
    """The distribution of a number.

    Attributes:
        total: Sum over all examples.
        mean: Mean.
        min: Minimum.
        p10: 10th percentile; quantiles are exact to 0.4%.
        median: Median.
        p90: 90th percentile.
        p99: 99th percentile.
        max: Maximum.
        histogram: Bars of equal width; the last one contains all higher values.
    """

    model_config = ConfigDict(frozen=True)

    total: int
    mean: float
    min: int
    p10: int
    median: int
    p90: int
    p99: int
    max: int
    histogram: list[Bar]


class DistributionCount:
    """Counts a number, example by example.

    Example:
        >>> count = DistributionCount()
        >>> for value in (10, 20, 30):
        ...     count.add(value)
        >>> count.distribution().median, count.distribution().mean
        (20, 20.0)
    """

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self._examples = 0
        self._total = 0
        self._min = 0
        self._max = 0
        self._logs = 0.0
        self._squares = 0.0

    def add(self, value: int) -> None:
        """Count one example's value, at least 0."""
        self._min = min(self._min, value) if self._examples else value
        self._max = max(self._max, value)
        self._examples += 1
        self._total += value
        logarithm = log(value + 1)
        self._logs += logarithm
        self._squares += logarithm * logarithm
        shift = max(0, value.bit_length() - _BITS)
        self._counts[value >> shift << shift] += 1

    def deviation(self, value: int) -> float:
        """Return how far a value's logarithm is from the mean, in standard deviations.

        The standard deviation is at least a tenth, so nearly equal values have no outliers.
        """
        if not self._examples:
            return 0.0
        mean = self._logs / self._examples
        variance = max(0.0, self._squares / self._examples - mean * mean)
        return (log(value + 1) - mean) / max(sqrt(variance), _MIN_DEVIATION)

    def distribution(self) -> Distribution:
        """Return the distribution of the values so far."""
        p10, median, p90, p99 = (self.quantile(share) for share in (0.1, 0.5, 0.9, 0.99))
        return Distribution(
            total=self._total,
            mean=round(self._total / max(1, self._examples), 1),
            min=self._min,
            p10=p10,
            median=median,
            p90=p90,
            p99=p99,
            max=self._max,
            histogram=self._histogram(p99),
        )

    def quantile(self, share: float) -> int:
        """Return the value that a share of the examples does not exceed."""
        wanted, seen = share * self._examples, 0
        for value in sorted(self._counts):
            seen += self._counts[value]
            if seen >= wanted:
                return max(value, self._min)
        return self._max

    def _histogram(self, p99: int) -> list[Bar]:
        if not self._examples:
            return []
        width = _nice_width(max(1, p99 - self._min + 1) / _BARS)
        start = self._min // width * width
        # Otherwise a few very high values would leave all others in the first bar.
        bars = max(1, -(-(p99 + 1 - start) // width))
        counts = [0] * (bars + 1)
        for value, count in self._counts.items():
            counts[min(bars, max(0, value - start) // width)] += count
        edges = [start + width * number for number in range(bars + 1)]
        shown = [
            Bar(start=edge, end=edge + width, count=count)
            for edge, count in zip(edges, counts[:-1], strict=False)
        ]
        if counts[-1]:
            shown.append(Bar(start=edges[-1], end=None, count=counts[-1]))
        return shown


def _nice_width(width: float) -> int:
    """Return the smallest of 1, 2, 5, 10, 20, 50, ... that is not less."""
    size = 1
    while True:
        for step in (1, 2, 5):
            if step * size >= width:
                return step * size
        size *= 10
