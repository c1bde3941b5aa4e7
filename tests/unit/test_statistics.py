"""The statistics of comparisons, against scipy, statsmodels and plain sums."""

import itertools
import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, optimize, stats
from statsmodels.stats.contingency_tables import mcnemar as reference_mcnemar
from statsmodels.stats.multitest import multipletests

from langchain_finetune import FineTuningError
from langchain_finetune.convert.power import cases_needed, no_loss_cases, power_of
from langchain_finetune.evaluation.statistics import (
    PairedSample,
    holm,
    interval,
    lower_bound,
    mcnemar,
    p_value,
)

COUNTS = st.integers(0, 40)


def passes(wins, losses, ties):
    """Pass or fail of independent cases."""
    return PairedSample(((1.0, 1),) * wins + ((-1.0, 1),) * losses + ((0.0, 1),) * ties)


def drawn_p_value(sample, bound, draws=200_000):
    """The definition, by drawing the weights."""
    rng = np.random.default_rng(1)
    sums = [total - bound * cases for total, cases in sample.totals]
    sums.append(-(sample.width + bound) * sample.group)
    below = sum(
        (rng.exponential(size=(10_000, len(sums))) @ np.array(sums) <= 0).sum()
        for _ in range(draws // 10_000)
    )
    return below / draws


@pytest.mark.parametrize(("wins", "losses"), list(product([0, 1, 3, 10, 37], [0, 1, 4, 25])))
def test_mcnemar_is_that_of_statsmodels_and_scipy(wins, losses):
    table = [[5, losses], [wins, 7]]
    two = mcnemar(wins, losses, two_sided=True)
    assert two == pytest.approx(reference_mcnemar(table, exact=True).pvalue)
    if wins + losses:
        one = stats.binomtest(wins, wins + losses, alternative="greater").pvalue
        assert mcnemar(wins, losses) == pytest.approx(one)


def test_mcnemar_of_many_cases():
    assert mcnemar(5300, 4700) == pytest.approx(stats.binom.sf(5299, 10_000, 0.5), rel=1e-9)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_that_of_statsmodels(p_values):
    expected = multipletests(p_values, method="holm")[1]
    assert holm(p_values) == pytest.approx(list(expected))


def test_holm_of_nothing():
    assert holm([]) == []


@given(COUNTS, COUNTS, COUNTS)
def test_the_bound_0_of_pass_and_fail_is_mcnemars_exact_test(wins, losses, ties):
    if wins + losses + ties:
        assert p_value(passes(wins, losses, ties)) == pytest.approx(
            mcnemar(wins, losses), abs=1e-10
        )


@given(COUNTS, COUNTS, st.sampled_from([0.9, 0.95, 0.99]))
def test_the_bound_of_two_values_is_clopper_and_pearsons(good, bad, confidence):
    if not good + bad:
        return
    tested = stats.binomtest(good, good + bad, alternative="greater")
    share = tested.proportion_ci(confidence, method="exact").low
    # Ties and losses, then wins and losses.
    assert lower_bound(passes(0, bad, good), confidence) == pytest.approx(share - 1, abs=1e-6)
    assert lower_bound(passes(good, bad, 0), confidence) == pytest.approx(2 * share - 1, abs=1e-6)


@given(COUNTS, COUNTS)
def test_the_interval_of_two_values_is_clopper_and_pearsons(good, bad):
    if not good + bad:
        return
    expected = stats.binomtest(bad, good + bad).proportion_ci(0.95, method="exact")
    low, high = interval(passes(0, bad, good))
    assert low == pytest.approx(-expected.high, abs=1e-6)
    # A gain is possible, though none was seen; Clopper and Pearson know that there is none.
    assert high >= -expected.low - 1e-6


@pytest.mark.parametrize("cases", [1, 2, 12, 60, 300, 1000])
def test_equal_cases_show_what_the_rule_of_three_says(cases):
    assert lower_bound(passes(0, 0, cases)) == pytest.approx(0.05 ** (1 / cases) - 1, abs=1e-6)
    assert p_value(passes(0, 0, cases)) == 1
    assert no_loss_cases(1 - 0.05 ** (1 / cases) + 1e-9) == cases


@pytest.mark.parametrize("good", [1, 3, 60, 300, 1000, 5000])
@pytest.mark.parametrize("bad", [0, 1, 4, 999])
@pytest.mark.parametrize("share", [0.5, 0.9, 1.0, 1.1, 2.0])
def test_tails_of_two_values_are_those_of_the_beta_distribution(good, bad, share):
    # All scores are 0 or -1 here, and the bound is near the mean.
    bound = -min(0.999, (bad + 1) / (good + bad + 1) * share)
    expected = stats.beta.sf(-bound, bad + 1, good)
    assert p_value(passes(0, bad, good), bound) == pytest.approx(expected, abs=1e-8)


def inverted_p_value(sample, bound):
    """The same by Gil-Pelaez' inversion of the characteristic function (Biometrika 38, 1951)."""
    weights = [total - bound * cases for total, cases in sample.totals]
    weights = np.array([*weights, -(sample.width + bound) * sample.group]) / sample.width

    def integrand(log_place):
        place = math.exp(log_place)
        return np.exp(-np.log(1 - 1j * place * weights).sum()).imag

    ends = np.linspace(-30, 12, 200)
    parts = [
        integrate.quad(integrand, *span, limit=500, epsabs=1e-12)[0]
        for span in itertools.pairwise(ends)
    ]
    return 0.5 - sum(parts) / math.pi


@pytest.mark.parametrize(
    ("totals", "bound"),
    [
        # The integrand oscillates, so that it needs many points: see `_MAX_POINTS`.
        (((0.0, 1),) * 1000 + ((0.71, 1),), -0.00046),
        # The bent path runs into the poles of a thousand equal weights: see `_GROWTH`.
        (((0.0, 1),) * 1000 + ((0.012, 1), (-0.04, 1), (-0.04, 1), (-0.4, 1)), -4e-6),
        (((0.0, 1),) * 60 + ((1.0, 1), (-0.5, 1)), -0.03),
        (((1.0, 3), (-2.0, 2), (0.5, 1)), 0.1),
    ],
)
def test_p_values_are_those_of_another_inversion(totals, bound):
    sample = PairedSample(totals)
    expected = inverted_p_value(sample, bound)
    assert 0 < expected < 1
    assert p_value(sample, bound) == pytest.approx(expected, abs=1e-8)


def test_groups_without_a_difference_count_as_groups():
    same = PairedSample(((0.0, 5),) * 12)
    assert lower_bound(same) == pytest.approx(0.05 ** (1 / 12) - 1, abs=1e-6)


@st.composite
def samples(draw):
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=8))
    width = draw(st.sampled_from([1.0, 5.0, 0.01]))
    shares = st.floats(-1, 1).map(lambda share: round(share, 3))
    return PairedSample(tuple((draw(shares) * size * width, size) for size in sizes), width)


@settings(max_examples=30, deadline=None)
@given(samples(), st.floats(-0.9, 0.9))
def test_p_values_are_those_of_drawn_weights(sample, share):
    bound = share * sample.width
    expected = drawn_p_value(sample, bound)
    assert p_value(sample, bound) == pytest.approx(expected, abs=0.008)


@pytest.mark.parametrize("cases", [3, 30, 400])
def test_p_values_of_scores_are_those_of_drawn_weights(cases):
    rng = np.random.default_rng(cases)
    differences = np.clip(rng.normal(0.05, 0.3, cases), -1, 1)
    sample = PairedSample(tuple((float(each), 1) for each in differences))
    for bound in (-0.1, 0.0, 0.03, 0.1):
        assert p_value(sample, bound) == pytest.approx(drawn_p_value(sample, bound), abs=0.005)


@settings(max_examples=50, deadline=None)
@given(samples(), st.floats(0.5, 0.99))
def test_a_bound_is_where_the_p_value_says(sample, confidence):
    low = lower_bound(sample, confidence)
    step = 1e-5 * sample.width
    assert -sample.width <= low <= sample.mean
    assert p_value(sample, low + step) > 1 - confidence - 1e-6 or low + step > sample.mean
    if low > -sample.width + step:
        assert p_value(sample, low - step) <= 1 - confidence + 1e-6


@settings(max_examples=50, deadline=None)
@given(samples())
def test_an_interval_holds_the_mean_and_turns_with_the_models(sample):
    low, high = interval(sample)
    assert low <= sample.mean <= high
    assert interval(sample.reversed()) == pytest.approx((-high, -low), abs=1e-6 * sample.width)
    assert lower_bound(sample, 0.99) <= lower_bound(sample, 0.9)
    larger = PairedSample(tuple((10 * total, n) for total, n in sample.totals), 10 * sample.width)
    assert interval(larger) == pytest.approx((10 * low, 10 * high), abs=1e-5 * sample.width)


@settings(max_examples=50, deadline=None)
@given(samples(), st.integers(0, 7))
def test_a_better_case_never_lowers_the_bound(sample, place):
    totals = list(sample.totals)
    total, cases = totals[place % len(totals)]
    totals[place % len(totals)] = (min(total + 0.3 * sample.width, cases * sample.width), cases)
    better = PairedSample(tuple(totals), sample.width)
    assert lower_bound(better) >= lower_bound(sample) - 1e-6 * sample.width


@pytest.mark.parametrize("method", ["percentile", "BCa"])
def test_many_scores_have_the_interval_of_scipys_bootstrap(method):
    rng = np.random.default_rng(5)
    differences = rng.choice([-1, -0.5, 0, 0.5, 1], 2000, p=[0.05, 0.1, 0.6, 0.15, 0.1])
    expected = stats.bootstrap((differences,), np.mean, method=method, rng=2).confidence_interval
    found = interval(PairedSample(tuple((float(each), 1) for each in differences)))
    assert found == pytest.approx((expected.low, expected.high), abs=0.0015)


def test_many_groups_have_the_interval_of_scipys_bootstrap():
    rng = np.random.default_rng(6)
    sizes = rng.integers(1, 8, 1000)
    quality = rng.normal(0.05, 0.3, 1000)
    sums = np.array(
        [np.clip(rng.normal(q, 0.2, n), -1, 1).sum() for q, n in zip(quality, sizes, strict=True)]
    )
    expected = stats.bootstrap(
        (sums, sizes),
        lambda total, cases, axis: total.sum(axis) / cases.sum(axis),
        method="percentile",
        paired=True,
        vectorized=True,
        rng=3,
    ).confidence_interval
    found = interval(PairedSample(tuple(zip(map(float, sums), map(int, sizes), strict=True))))
    assert found == pytest.approx((expected.low, expected.high), abs=0.003)
    alone = interval(PairedSample(tuple((float(q), 1) for q in np.clip(quality, -1, 1)) * 4))
    # As if the turns of a chat were independent: half as wide.
    assert alone[1] - alone[0] < 0.7 * (found[1] - found[0])


@pytest.mark.parametrize("sizes", [[1, 1, 1, 5, 5], [2, 3, 4], [20, 1, 1], [7], [1, 2, 2, 9, 9, 9]])
def test_without_a_difference_the_bound_is_what_such_groups_hide(sizes):
    """The greatest mean loss of whole groups of which none is seen, by a general optimiser."""
    counts = np.array(sizes)
    best = max(
        (
            optimize.minimize(
                lambda spared: -((1 - spared) * counts).sum() / counts.sum(),
                start,
                bounds=[(1e-6, 1)] * len(sizes),
                constraints={"type": "ineq", "fun": lambda spared: np.log(spared).sum() - LOG},
            )
            for start in (np.full(len(sizes), 0.05 ** (1 / len(sizes))), np.full(len(sizes), 0.9))
        ),
        key=lambda found: -found.fun,
    )
    sample = PairedSample(tuple((0.0, size) for size in sizes))
    # The groups are weighted, too, so it is not quite the same if their sizes differ.
    assert lower_bound(sample) == pytest.approx(best.fun, abs=0.03)
    alike = PairedSample(((0.0, 1),) * 1000)
    assert 1 - 0.05 ** (sample.group / sample.cases) == pytest.approx(-best.fun, abs=1e-4)
    assert alike.group == pytest.approx(1)


LOG = math.log(0.05)


def test_groups_are_summed():
    sample = PairedSample.of([("a", 1), ("b", -1), ("a", 0.5)])
    assert sample.totals == ((1.5, 2), (-1.0, 1))
    assert sample.cases == 3
    assert sample.mean == pytest.approx(1 / 6)


@pytest.mark.parametrize(
    ("totals", "width"),
    [((), 1.0), (((0.0, 0),), 1.0), (((1.1, 1),), 1.0), (((math.nan, 1),), 1.0), (((0.0, 1),), 0)],
)
def test_impossible_samples_are_refused(totals, width):
    with pytest.raises(FineTuningError):
        PairedSample(totals, width)


def exact_power(cases, win, loss):
    """Of McNemar's exact one-sided test at 5%."""
    found = 0.0
    for differing in range(cases + 1):
        wins = np.arange(differing + 1)
        shown = stats.binom.sf(wins - 1, differing, 0.5) <= 0.05
        chance = stats.binom.pmf(wins, differing, win / (win + loss))
        found += stats.binom.pmf(differing, cases, win + loss) * chance[shown].sum()
    return found


@pytest.mark.parametrize(
    ("win", "loss"),
    [(0.35, 0.05), (0.25, 0.05), (0.12, 0.02), (0.15, 0.05), (0.2, 0.1), (0.07, 0.02)],
)
def test_cases_needed_have_the_power_of_mcnemars_test(win, loss):
    gain = win - loss
    cases = cases_needed(0, gain, win + loss - gain**2)
    assert 0.77 <= exact_power(cases, win, loss) <= 0.86


@pytest.mark.parametrize(
    ("differing", "margin"), [(0.05, 0.1), (0.1, 0.1), (0.1, 0.05), (0.2, 0.05)]
)
def test_cases_needed_for_a_margin_have_the_power(differing, margin):
    cases = cases_needed(-margin, 0, differing)
    rng = np.random.default_rng(7)
    found = rng.multinomial(cases, [differing / 2, differing / 2, 1 - differing], 1500)
    shown = {row: p_value(passes(*row), -margin) <= 0.05 for row in set(map(tuple, found.tolist()))}
    share = sum(shown[tuple(row)] for row in found.tolist()) / len(found)
    assert 0.72 <= share <= 0.9


def test_cases_needed_grow_with_what_makes_it_harder():
    usual = cases_needed(-0.05, 0, 0.1)
    assert cases_needed(-0.03, 0, 0.1) > usual
    assert cases_needed(-0.05, 0, 0.2) > usual
    assert cases_needed(-0.05, 0, 0.1, group=4) > usual
    assert cases_needed(-0.05, 0, 0.1, confidence=0.99) > usual
    assert cases_needed(-5, 0, 1000, width=100) == cases_needed(-0.05, 0, 0.1, width=1)
    assert cases_needed(-0.05, 0, 0) == no_loss_cases(0.05)
    assert cases_needed(0, 0, 0.1) is None


@pytest.mark.parametrize("cases", [0, 1, 5, 12, 50, 100, 300, 1000])
def test_what_cases_show_is_what_they_are_enough_for(cases):
    power = power_of(cases)
    for shown, bound in ((power.gain, 0), (power.loss, None)):
        if shown is None:
            continue
        true = shown if bound == 0 else 0
        differing = min(1, shown + 0.1) if bound == 0 else 0.1
        assert cases_needed(-shown if bound is None else 0, true, differing - true**2) <= cases
    assert (power.gain is None) is (cases < 5)


def test_what_cases_show_in_words():
    assert str(power_of(50)) == (
        "50 cases, enough to show a gain of 20 points; "
        "to show that a swap loses at most 5 points takes 59 cases if no answer is worse, and "
        "about 290 if 10 of 100 differ"
    )
    assert str(power_of(400, 12)).startswith("400 cases in 12 conversations, ")
    assert str(power_of(1000)).endswith("and that a swap loses at most 5 points")
    assert "too few to show any gain" in str(power_of(2))
    assert power_of(400, 12).gain == power_of(12).gain
