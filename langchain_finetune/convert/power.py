"""How many cases a comparison of two models needs, and what a number of cases can show.

The comparison is that of `evaluation/statistics.py`: both models answer the same cases, and the
lower bound of the mean difference, with one case more at the worst possible difference, must be
above a bound. For pass or fail and the bound 0 that is McNemar's exact test.

It lies here since the report of a conversion says what its test part can show.
"""

from math import ceil, log, sqrt
from statistics import NormalDist

from pydantic import BaseModel, ConfigDict

from langchain_finetune.display.text import counted

POWER = 0.8
"""Probability with which the number of cases shows what is true: the usual convention."""

CONFIDENCE = 0.95
"""One-sided confidence of a bound."""

MARGIN = 0.05
"""Loss that a swap may have, as a share of the range of scores, if no other is given."""

LOSSES = 0.05
"""Share of cases in which a better model still does worse, where nothing is measured."""

DIFFERING = 0.1
"""Share of cases in which equal models differ, where nothing is measured."""


def cases_needed(
    bound: float,
    difference: float,
    variance: float,
    *,
    width: float = 1.0,
    group: float = 1.0,
    confidence: float = CONFIDENCE,
) -> int | None:
    """Return the cases that show, with a power of 80%, that a difference is above a bound.

    It is the normal approximation of the test in `evaluation/statistics.py`; against the exact
    power of McNemar's test it is right to about 10%.

    Args:
        bound: What the difference of the mean scores must exceed, such as -0.05 or 0.
        difference: The true difference.
        variance: Variance of one case's difference; for pass or fail that is the share of cases
            that differ, less the square of `difference`. For cases in groups it is that of a
            group's sum by the mean number of cases in a group.
        width: Greatest possible difference: that between the best and the worst score.
        group: Cases in a group; see `PairedSample.group`.
        confidence: One-sided confidence of the bound.

    Returns:
        The number, rounded up to two digits; None if the difference is not above the bound.

    Example:
        >>> cases_needed(0, 0.2, 0.3 - 0.2**2)  # 25% wins, 5% losses
        50
        >>> cases_needed(-0.05, 0, 0.1)  # 10% differ, at most 5 points of loss
        290
    """
    gain = difference - bound
    if gain <= 0:
        return None
    z = NormalDist().inv_cdf(confidence) + NormalDist().inv_cdf(POWER)
    spread = z * sqrt(variance)
    # The sum over n cases, gain * n, must exceed its error, spread * sqrt(n), and the case at the
    # worst difference: a quadratic equation in sqrt(n).
    worst = (width + bound) * group
    cases = ((spread + sqrt(spread**2 + 4 * gain * worst)) / (2 * gain)) ** 2
    # So many are needed even if all cases have the same difference.
    cases = max(cases, group * no_loss_cases(gain / (difference + width), confidence))
    return _rounded(cases)


def no_loss_cases(loss: float, confidence: float = CONFIDENCE) -> int:
    """Return the cases that exclude a loss if none of them differs: the rule of three.

    Source: Hanley and Lippman-Hand, "If nothing goes wrong, is everything all right?", JAMA 1983.

    Args:
        loss: Share of cases, above 0 to 1.
        confidence: One-sided confidence.

    Example:
        >>> no_loss_cases(0.05), no_loss_cases(0.01)
        (59, 299)
    """
    return 1 if loss >= 1 else ceil(log(1 - confidence) / log(1 - loss))


class EvaluationPower(BaseModel):
    """What the test part of a split can show about a tuned model, in pass or fail.

    The numbers assume what is usual: a better model still loses 5% of the cases, equal models
    differ in 10% of them, and bounds have a one-sided confidence of 95%, with a power of 80%.

    Attributes:
        cases: Examples in the test part.
        groups: Independent groups among them, such as threads; None if they are not known.
        gain: Smallest gain that they show, as a share of cases; None if they show none.
        loss: Smallest loss that they exclude, if the models are equal; None if they exclude none.
        cases_for_swap: Cases that exclude a loss of more than 5 points.
    """

    model_config = ConfigDict(frozen=True)

    cases: int
    groups: int | None = None
    gain: float | None
    loss: float | None
    cases_for_swap: int

    def __str__(self) -> str:
        where = counted(self.cases, "case")
        if self.groups is not None and self.groups != self.cases:
            where += f" in {counted(self.groups, 'conversation')}"
        gain = (
            "too few to show any gain"
            if self.gain is None
            else f"enough to show a gain of {100 * self.gain:.0f} points"
        )
        swap = f"that a swap loses at most {100 * MARGIN:.0f} points"
        if self.loss is not None and self.loss <= MARGIN:
            return f"{where}, {gain}, and {swap}"
        needed = f"{no_loss_cases(MARGIN)} cases if no answer is worse, and about "
        needed += f"{self.cases_for_swap:,} if {100 * DIFFERING:.0f} of 100 differ"
        return f"{where}, {gain}; to show {swap} takes {needed}"


def power_of(cases: int, groups: int | None = None) -> EvaluationPower:
    """Return what a number of cases can show.

    Args:
        cases: Number of cases.
        groups: Number of independent groups among them. Cases of one conversation are taken as
            alike: only the number of groups counts.

    Example:
        >>> power = power_of(50)
        >>> power.gain, power.loss, power.cases_for_swap
        (0.2, 0.13, 290)
    """
    independent = cases if groups is None else min(cases, groups)
    points = [step / 100 for step in range(1, 101)]
    swap = cases_needed(-MARGIN, 0, DIFFERING)
    assert swap is not None
    return EvaluationPower(
        cases=cases,
        groups=groups,
        gain=next((p for p in points if _enough(independent, 0, p)), None),
        loss=next((p for p in points if _enough(independent, -p, 0)), None),
        cases_for_swap=swap,
    )


def _enough(cases: int, bound: float, difference: float) -> bool:
    differing = min(1.0, difference + 2 * LOSSES) if difference else DIFFERING
    needed = cases_needed(bound, difference, differing - difference**2)
    return needed is not None and needed <= cases


def _rounded(cases: float) -> int:
    size: int = 10 ** max(0, len(str(ceil(cases))) - 2)
    return ceil(ceil(cases) / size) * size
