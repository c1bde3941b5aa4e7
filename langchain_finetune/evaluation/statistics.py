"""The statistics of paired comparisons. Pure functions, without numpy: they are exact, not drawn.

The bound of a mean difference is a *paired bootstrap by group with the worst case added*:

- What is drawn is the group (a conversation), with all its cases: turns of one chat are not
  independent, so only groups are. Both models answered each case, so a case is its difference.
- Groups are weighted as in Rubin's Bayesian bootstrap (The Annals of Statistics 9, 1981): with
  random weights that are independent and exponential.
- One group is added in which each case has the worst possible difference. Without it, any bootstrap
  of few or equal differences is far too sure: of 12 cases that do not differ it learns that no case
  ever does. The bound is Gaffke's ("Three test statistics for a nonparametric one-sided hypothesis
  on the mean of a nonnegative variable", Mathematical Methods of Statistics 14, 2005). That it
  holds for all bounded scores and numbers of cases is a conjecture, proven in special cases: see
  Learned-Miller and Thomas, "A new confidence interval for the mean of a bounded random variable"
  (arXiv:1905.06208, 2019).

So this one bound includes the exact tests that are usual. For pass or fail of independent cases it
is above 0 if and only if McNemar's exact one-sided test rejects. If the differences have two values
it is Clopper and Pearson's, and if no case differs it is the rule of three. It also holds for
margins, scores, repetitions and groups, where these tests say nothing.
`scripts/bench/gate_calibration.py` measures how often it is wrong.
"""

from cmath import exp as complex_exp
from cmath import log as complex_log
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import comb, cosh, exp, isfinite, log, pi, sinh, sqrt
from statistics import NormalDist

from langchain_finetune.errors import FineTuningError

_STEP = 0.2
"""First step of the trapezoidal rule."""

_MAX_POINTS = 20_000
"""Its most points. Usual are 50; a thousand are needed where two cases outweigh a thousand."""

_ERROR = 1e-8
"""Change of a probability that ends its refinement; its error is then far smaller."""

_GROWTH = 1.05
"""Growth of the integrand from one point to the next with which its path is given up."""

_NEGLIGIBLE = 1e-14
"""Part of the integrand's highest value, and of the highest weight, that is left out."""

_SECANTS, _MAX_STEPS = 12, 60
"""Steps by the secant for a bound, and all steps; the rest halve what is left."""

_UNSEEN = 0.05
"""Probability of the greatest loss that remains unseen, for the size of the added group; the same
for each confidence, so that a sample has one p-value."""

_PRECISION = 1e-7
"""Of a bound, as a share of the greatest difference or of its standard error."""


def mcnemar(wins: int, losses: int, *, two_sided: bool = False) -> float:
    """Return the p-value of McNemar's exact test: that wins and losses are equally frequent.

    Args:
        wins: Cases that only the new model passes.
        losses: Cases that only the old model passes.
        two_sided: Against any difference; by default against more wins than losses.

    Example:
        >>> mcnemar(5, 0), mcnemar(5, 0, two_sided=True), mcnemar(0, 0)
        (0.03125, 0.0625, 1.0)
    """
    if two_sided:
        return min(1.0, 2 * mcnemar(max(wins, losses), min(wins, losses)))
    cases = wins + losses
    # Exact integers: floats of this size would overflow.
    ways = comb(cases, wins)
    total = ways
    for count in range(wins, cases):
        ways = ways * (cases - count) // (count + 1)
        total += ways
    return total / (1 << cases)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for several tests, in their order.

    Source: Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal
    of Statistics 6, 1979.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    corrected, highest = [0.0] * len(p_values), 0.0
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * p_values[place]))
        corrected[place] = highest
    return corrected


@dataclass(frozen=True)
class PairedSample:
    """Differences of the scores of two models over the same cases, summed by group.

    Args:
        totals: Sum of the differences, new minus old, and number of cases of each group.
        width: Greatest possible difference: the best score less the worst.

    Raises:
        FineTuningError: There is no case, or a difference is greater than `width`.

    Example:
        >>> sample = PairedSample.of([("t-1", 1), ("t-1", 0), ("t-2", 0), ("t-3", 1)])
        >>> sample.mean, sample.cases, len(sample.totals)
        (0.5, 4, 3)
    """

    totals: tuple[tuple[float, int], ...]
    width: float = 1.0

    def __post_init__(self) -> None:
        if not self.totals or any(cases < 1 for _, cases in self.totals):
            raise FineTuningError("A comparison needs at least one case in each group.")
        if not 0 < self.width < float("inf"):
            raise FineTuningError(f"width must be a number above 0, not {self.width}.")
        for total, cases in self.totals:
            if not (isfinite(total) and abs(total) <= self.width * cases * (1 + 1e-9)):
                raise FineTuningError(
                    f"Each difference must be from {-self.width} to {self.width}; the sum of "
                    f"{cases} differences is {total}."
                )

    @classmethod
    def of(cls, differences: Iterable[tuple[str, float]], width: float = 1.0) -> "PairedSample":
        """Return the sample of cases: the group and the difference of each."""
        sums: dict[str, float] = {}
        counts: Counter[str] = Counter()
        for group, difference in differences:
            sums[group] = sums.get(group, 0.0) + difference
            counts[group] += 1
        return cls(tuple((sums[group], counts[group]) for group in sums), width)

    @cached_property
    def cases(self) -> int:
        """Number of cases."""
        return sum(cases for _, cases in self.totals)

    @cached_property
    def mean(self) -> float:
        """Mean difference of a case."""
        return sum(total for total, _ in self.totals) / self.cases

    @cached_property
    def group(self) -> float:
        """Number of cases in the added group; that of each group if all have the same.

        If no case differs, the bound is then the greatest loss that groups of these sizes hide: of
        all ways in which whole groups are lost with probabilities of their own, but none of them
        was, that which loses most cases. Mostly the largest groups are lost, since a model that
        fails in long conversations only is not rare.
        """
        sizes = sorted((cases for _, cases in self.totals), reverse=True)
        logs = log(_UNSEEN)
        for count, size in enumerate(sizes, 1):
            # Lost with the probability 1 - level / size each, which maximises the mean loss; all
            # of them are spared with the probability _UNSEEN.
            logs += log(size)
            level = exp(logs / count)
            if count == len(sizes) or level >= sizes[count]:
                break
        hidden = (sum(sizes[:count]) - count * level) / self.cases
        return self.cases * log(1 - hidden) / log(_UNSEEN)

    @cached_property
    def variance(self) -> float:
        """Variance of a case's difference.

        Within groups, differences add up as they do in the data. One group at the greatest
        difference is added, so that equal differences have a variance as well.
        """
        squares = sum((total - self.mean * cases) ** 2 for total, cases in self.totals)
        return (squares + (self.width * self.group) ** 2) / (self.cases + self.group)

    def reversed(self) -> "PairedSample":
        """Return the sample with old and new exchanged."""
        return PairedSample(tuple((-total, cases) for total, cases in self.totals), self.width)


def p_value(sample: PairedSample, bound: float = 0.0) -> float:
    """Return the one-sided p-value of "the mean difference is at most `bound`".

    It is the probability that the weighted mean, the added group included, is at most `bound`.

    Example:
        >>> pairs = [(f"t-{n}", 1.0 if n < 5 else 0.0) for n in range(20)]
        >>> round(p_value(PairedSample.of(pairs)), 10)  # 5 wins of 20: as McNemar's exact test
        0.03125
    """
    above = Counter(total - bound * cases for total, cases in sample.totals)
    above[-(sample.width + bound) * sample.group] += 1
    return _probability_at_most_zero(above)


def lower_bound(sample: PairedSample, confidence: float = 0.95) -> float:
    """Return the one-sided lower bound of the mean difference.

    Example:
        >>> same = PairedSample.of([(f"t-{n}", 0.0) for n in range(60)])
        >>> round(lower_bound(same), 3)  # None of 60 differs: the rule of three
        -0.049
    """
    # As a normal quantile, the p-value is nearly a line, so a secant finds the bound in few steps.
    wanted = _quantile(1 - confidence)
    low, high = -sample.width, sample.mean
    guess = high + wanted * sqrt(sample.variance / sample.cases)
    point = before = slope = 0.0
    for count in range(_MAX_STEPS):
        last, point = point, guess
        if not low < point < high or count > _SECANTS:
            point = (low + high) / 2
        found = _quantile(p_value(sample, point))
        low, high = (low, point) if found > wanted else (point, high)
        if abs(found - wanted) < _PRECISION or high - low < _PRECISION * sample.width:
            break
        slope = (found - before) / (point - last) if count and point != last else 0.0
        guess, before = (point + (wanted - found) / slope if slope > 0 else low), found
    return point


def _quantile(p: float) -> float:
    return NormalDist().inv_cdf(min(max(p, _NEGLIGIBLE), 1 - _NEGLIGIBLE))


def interval(sample: PairedSample, confidence: float = 0.95) -> tuple[float, float]:
    """Return the two-sided interval of the mean difference, from two one-sided bounds.

    Example:
        >>> low, high = interval(PairedSample.of([(f"t-{n}", 0.0) for n in range(60)]))
        >>> round(low, 3), round(high, 3)
        (-0.06, 0.06)
    """
    each = (1 + confidence) / 2
    return lower_bound(sample, each), -lower_bound(sample.reversed(), each)


def _probability_at_most_zero(weights: Mapping[float, int]) -> float:
    """Return P(Q <= 0) for a sum Q of independent exponential variables times weights.

    Args:
        weights: Weights, and how many variables have each.
    """
    scale = max(map(abs, weights)) or 1.0
    shares = ((weight / scale, count) for weight, count in weights.items())
    terms = [(share, count) for share, count in shares if abs(share) > _NEGLIGIBLE]
    if all(weight < 0 for weight, _ in terms):
        return 1.0
    if all(weight > 0 for weight, _ in terms):
        return 0.0
    if sum(weight * count for weight, count in terms) > 0:
        return _upper_tail([(-weight, count) for weight, count in terms])
    return 1 - _upper_tail(terms)


def _upper_tail(terms: Sequence[tuple[float, int]]) -> float:
    """Return P(Q > 0), where the mean of Q is at most 0.

    With the moment generating function M(u), the product of (1 - u * weight) ** -count, it is the
    integral of M(u) / u by 2 pi i, upwards in the complex plane between 0 and the first pole
    (Lugannani and Rice, Advances in Applied Probability 12, 1980). The path is a hyperbola through
    the saddle point, bent as the path of steepest descent is there, so that the integrand falls off
    with little oscillation. The trapezoidal rule then needs a few dozen points.
    """
    low, high = 0.0, 1 / max(weight for weight, _ in terms)
    for _ in range(50):
        saddle = (low + high) / 2
        slope = sum(c * k / (1 - saddle * c) for c, k in terms) - 1 / saddle
        low, high = (saddle, high) if slope < 0 else (low, saddle)
    second = sum(k * (c / (1 - saddle * c)) ** 2 for c, k in terms) + 1 / saddle**2
    third = 2 * sum(k * (c / (1 - saddle * c)) ** 3 for c, k in terms) - 2 / saddle**3
    width = 1 / sqrt(second)
    bend = max(-1.0, min(1.0, third * width / (3 * second)))
    top = -sum(k * log(1 - saddle * c) for c, k in terms) - log(saddle)

    def integrand(x: float) -> complex:
        place = saddle + width * (1j * sinh(x) + bend * (cosh(x) - 1))
        exponent = -sum(k * complex_log(1 - place * c) for c, k in terms) - complex_log(place)
        return complex_exp(exponent - top) * (1j * cosh(x) + bend * sinh(x))

    step, total, points, size = _STEP, 0.5, 0, 1.0
    while size > _NEGLIGIBLE:
        points += 1
        value = integrand(points * step)
        if bend and abs(value) > size * _GROWTH:
            # The path runs into poles of many equal weights. Straight up it can't.
            bend, total, points, size = 0.0, 0.5, 0, 1.0
            continue
        total, size = total + value.imag, abs(value)
    factor = exp(top) * width / pi
    found = step * total * factor
    while True:
        # Between the points, until that changes nothing.
        total += sum(integrand((point + 0.5) * step).imag for point in range(points))
        step, points, before = step / 2, points * 2, found
        found = step * total * factor
        if abs(found - before) < _ERROR or points > _MAX_POINTS:
            return min(1.0, max(0.0, found))
