"""How often the gate is wrong: models that are too bad and pass, better ones that do not.

Draws comparisons whose truth is known, and decides them by the p-value that `decide` uses. A model
at the bound, or below, must pass in at most 5%; a clearly better one in at least 80%. Of 1,000
comparisons at exactly 5%, chance alone lets more than 7.3% pass once in a thousand times, so that
much is allowed. The first table is computed exactly and allows nothing.

    .venv/bin/python scripts/bench/gate_calibration.py
"""

import sys
import time
from collections.abc import Callable
from functools import cache

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy import stats

from langchain_finetune.evaluation.statistics import PairedSample, p_value

COMPARISONS = 1000
ALPHA = 0.05
ALLOWED = stats.binom.ppf(0.999, COMPARISONS, ALPHA) / COMPARISONS
POWER = 0.8
WORSE = 0.02
"""How much worse than the bound a model is in the second column."""

Rng = np.random.Generator
Draw = Callable[[Rng, int, float], tuple[np.ndarray, np.ndarray]]
"""Draws the sums and sizes of a number of groups whose mean difference is the given one."""

console = Console(width=110)


@cache
def shown(totals: tuple[tuple[float, int], ...], bound: float) -> bool:
    """Return whether a difference above the bound is shown, as in `decide`."""
    return p_value(PairedSample(totals), bound) <= ALPHA


def share_shown(draw: Draw, groups: int, mean: float, bound: float) -> float:
    """Return the share of comparisons that show it."""
    rng = np.random.default_rng(groups)
    found = 0
    for _ in range(COMPARISONS):
        sums, sizes = draw(rng, groups, mean)
        pairs = zip(sums.astype(float).tolist(), sizes.tolist(), strict=True)
        found += shown(tuple(sorted(pairs)), bound)
    return found / COMPARISONS


# Pass or fail: in a share of the cases the models differ.


def rates(mean: float, differing: float) -> list[float]:
    """Return the probabilities of a win, a loss and a tie."""
    differing = max(differing, abs(mean))
    return [(differing + mean) / 2, (differing - mean) / 2, 1 - differing]


def passes(differing: float) -> Draw:
    """Independent cases."""

    def draw(rng: Rng, groups: int, mean: float) -> tuple[np.ndarray, np.ndarray]:
        values = rng.choice([1.0, -1.0, 0.0], p=rates(mean, differing), size=groups)
        return values, np.ones(groups, int)

    return draw


def conversations(sizes: Callable[[Rng, int], np.ndarray], kind: str, differing: float) -> Draw:
    """Turns of conversations that differ together, or each for itself, or in long ones only."""

    def draw(rng: Rng, groups: int, mean: float) -> tuple[np.ndarray, np.ndarray]:
        size = sizes(rng, groups)
        if kind == "long":
            # The model fails in whole conversations, and only in those with more than one turn.
            many = sizes(np.random.default_rng(0), 200_000)
            lost = -mean * many.sum() / many[many > 1].sum()
            return -size * ((size > 1) & (rng.random(groups) < lost)), size
        if kind == "together":
            value = rng.choice([1, -1, 0], p=rates(mean, differing), size=groups)
            return value * size, size
        counts = rng.multinomial(size, rates(mean, differing))
        return counts[:, 0] - counts[:, 1], size

    return draw


SIZES: dict[str, Callable[[Rng, int], np.ndarray]] = {
    "5 turns each": lambda _, groups: np.full(groups, 5),
    "3 turns each": lambda _, groups: np.full(groups, 3),
    "3 on average": lambda rng, groups: rng.geometric(1 / 3, groups),
    "1 or 5": lambda rng, groups: np.where(rng.random(groups) < 0.2, 5, 1),
    "1 or 20": lambda rng, groups: np.where(rng.random(groups) < 0.1, 20, 1),
}


# Scores between 0 and 1: the differences lie between -1 and 1.


def noisy(rng: Rng, groups: int, mean: float) -> tuple[np.ndarray, np.ndarray]:
    """Differences with a symmetric spread of 0.3."""
    return mean + rng.uniform(-0.52, 0.52, groups), np.ones(groups, int)


def collapsing(rng: Rng, groups: int, mean: float) -> tuple[np.ndarray, np.ndarray]:
    """Mostly a little better, and rarely a complete failure."""
    failed = rng.random(groups) < (0.02 - mean) / 1.02
    return np.where(failed, -1.0, 0.02), np.ones(groups, int)


def grades(rng: Rng, groups: int, mean: float) -> tuple[np.ndarray, np.ndarray]:
    """A judge's grades in fifths, mostly equal."""
    step = rng.choice(
        [-3, -2, -1, 0, 1, 2, 3], p=[0.02, 0.05, 0.13, 0.6, 0.13, 0.05, 0.02], size=groups
    )
    shift = rng.random(groups) < abs(mean) * 5
    return (step + np.sign(mean) * shift) / 5, np.ones(groups, int)


def repeated(rng: Rng, groups: int, mean: float) -> tuple[np.ndarray, np.ndarray]:
    """Pass or fail, three repetitions on each side; cases are of different difficulty."""
    hard = rng.beta(2, 1, groups) * 0.8 + 0.1
    new = rng.binomial(3, np.clip(hard + mean, 0, 1))
    # Where a probability would leave 0 to 1 the mean would not be the given one.
    assert ((hard + mean >= 0) & (hard + mean <= 1)).all()
    return (new - rng.binomial(3, hard)) / 3, np.ones(groups, int)


SCORES: dict[str, Draw] = {
    "noisy": noisy,
    "collapsing": collapsing,
    "grades": grades,
    "3 repetitions": repeated,
}


# Tables.


def tango(wins: int, losses: int, cases: int, bound: float) -> bool:
    """Tango's score test (Statistics in Medicine 17, 1998), which is usual for a margin."""
    b = -wins - losses + (2 * cases - wins + losses) * bound
    c = -losses * bound * (1 - bound)
    lost = (np.sqrt(b * b - 8 * cases * c) - b) / (4 * cases)
    variance = cases * (2 * lost + bound * (1 - bound))
    return bool(wins - losses - cases * bound > 1.6449 * np.sqrt(max(variance, 1e-12)))


def ours(wins: int, losses: int, cases: int, bound: float) -> bool:
    """Return whether independent cases show a difference above the bound."""
    ties = cases - wins - losses
    return shown(((-1.0, 1),) * losses + ((0.0, 1),) * ties + ((1.0, 1),) * wins, bound)


def exact_share(test: Callable[..., bool], cases: int, bound: float) -> float:
    """Return the greatest probability with which a model at the bound passes."""
    # With more losses, at least as many wins are needed.
    needed, wins = [], 0
    for losses in range(cases + 1):
        while wins + losses <= cases and not test(wins, losses, cases, bound):
            wins += 1
        needed.append(wins)
    lost = np.arange(cases + 1)
    wrong = []
    for differing in np.linspace(max(-bound, 0.002), 1, 150):
        win, loss, _ = rates(bound, differing)
        enough = stats.binom.sf(np.array(needed) - 1, cases - lost, win / (1 - loss))
        wrong.append(float((stats.binom.pmf(lost, cases, loss) * enough).sum()))
    return max(wrong)


def exact_table() -> bool:
    """Print the greatest probabilities of a wrong pass."""
    table = Table(title="Pass or fail, exact: greatest probability of a wrong pass")
    margins = (0.0, 0.02, 0.05, 0.1)
    for heading in (
        "cases",
        *(f"margin {100 * margin:.0f}" for margin in margins),
        "Tango, margin 5",
    ):
        table.add_column(heading, justify="right")
    highest = 0.0
    for cases in (12, 20, 30, 60, 100):
        found = [exact_share(ours, cases, -margin) for margin in margins]
        highest = max(highest, *found)
        table.add_row(str(cases), *map(percent, [*found, exact_share(tango, cases, -0.05)]))
    console.print(table)
    return highest <= ALPHA


def wrong_passes(title: str, rows: list[tuple[str, int, list[tuple[Draw, float]]]]) -> bool:
    """Print, for each row, the greatest share of wrong passes among its draws and margins."""
    table = Table(title=title)
    for heading in ("", "groups", "comparisons", "at the bound", f"{100 * WORSE:.0f} points worse"):
        table.add_column(heading, justify="left" if not heading else "right")
    highest = 0.0
    for name, groups, draws in rows:
        at = [share_shown(draw, groups, -margin, -margin) for draw, margin in draws]
        worse = [share_shown(draw, groups, -margin - WORSE, -margin) for draw, margin in draws]
        highest = max(highest, *at, *worse)
        count = f"{len(draws)} x {COMPARISONS:,}"
        table.add_row(name, f"{groups:,}", count, percent(max(at)), percent(max(worse)))
    console.print(table)
    return bool(highest <= ALLOWED)


def right_passes() -> bool:
    """Print the shares in which a model passes that is better by 20 points."""
    bounds = {"better: 0": 0.0, "at_least: 0": 0.0, "default": -0.05}
    table = Table(title="Better by 20 points (25% wins, 5% losses): share that passes")
    for heading in ("", "groups", *bounds):
        table.add_column(heading, justify="right" if heading else "left")
    three, mixed = SIZES["3 turns each"], SIZES["3 on average"]
    lowest = 1.0
    for name, draw, groups, counts in (
        ("pass or fail, 60 cases", passes(0.3), 60, True),
        ("60 conversations of 3, together", conversations(three, "together", 0.3), 60, True),
        ("60 conversations of 3, each turn", conversations(three, "each", 0.3), 60, True),
        ("60 conversations, 3 on average", conversations(mixed, "each", 0.3), 60, True),
        ("20 conversations of 3, together", conversations(three, "together", 0.3), 20, False),
        ("20 conversations of 3, each turn", conversations(three, "each", 0.3), 20, False),
        ("scores, noisy", noisy, 60, True),
        ("scores, grades", grades, 60, True),
    ):
        found = [share_shown(draw, groups, 0.2, bound) for bound in bounds.values()]
        lowest = min(lowest, *found) if counts else lowest
        table.add_row(name, str(groups), *map(percent, found))
    console.print(table)
    return lowest >= POWER


def percent(share: float) -> str:
    """Return a share in percent."""
    return f"{100 * share:.1f}%"


def main() -> None:
    """Print the tables; exit with 1 if the gate is wrong too often."""
    began = time.monotonic()
    independent = [
        (
            "pass or fail",
            cases,
            [(passes(d), m) for d in (0.0, 0.1, 0.3) for m in (0.0, 0.02, 0.05, 0.1)],
        )
        for cases in (12, 30, 60, 100, 300, 1000)
    ]
    grouped = [
        (
            f"{name}: {kind}",
            groups,
            [(conversations(sizes, kind, d), m) for d in (0.0, 0.2) for m in (0.05, 0.1)],
        )
        for name, sizes in SIZES.items()
        if name != "3 turns each"
        for kind in ("together", "each", "long")
        for groups in (12, 60, 300)
        if kind != "long" or (name.startswith("1 or") and groups > 12)
    ]
    scored: list[tuple[str, int, list[tuple[Draw, float]]]] = [
        (name, cases, [(draw, m) for m in (0.0, 0.05)])
        for name, draw in SCORES.items()
        for cases in (12, 60, 300)
    ]
    good = [
        exact_table(),
        wrong_passes("Pass or fail: greatest share of wrong passes", independent),
        wrong_passes("Conversations, pass or fail: greatest share of wrong passes", grouped),
        wrong_passes("Scores: greatest share of wrong passes", scored),
        right_passes(),
    ]
    console.print(f"{time.monotonic() - began:.0f} s. Allowed in a row: {percent(ALLOWED)}.")
    sys.exit(0 if all(good) else 1)


if __name__ == "__main__":
    main()
