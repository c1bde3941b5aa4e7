"""From cases with scores to differences, and from these to a decision."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_finetune import FineTuningError
from langchain_finetune.evaluation.result import ComparedCase, Decision, ModelAnswer
from langchain_finetune.evaluation.statistics import PairedSample, interval, mcnemar, p_value
from langchain_finetune.evaluation.verdict import (
    decide,
    evaluators_of,
    score_differences,
    unfit_notes,
)


def answer(score, key="right"):
    """An answer with a score, or an error where the score is an exception's name."""
    if isinstance(score, str):
        return ModelAnswer(error=score)
    return ModelAnswer(scores={} if score is ... else {key: score})


def case(number, old, new, *, group=None, key="right"):
    """A case; several scores are repetitions."""
    sides = [
        [answer(score, key) for score in (s if isinstance(s, list) else [s])] for s in (old, new)
    ]
    return ComparedCase(id=f"e-{number}", group=group or f"t-{number}", old=sides[0], new=sides[1])


def cases(wins=0, losses=0, passed=0, failed=0, **given):
    pairs = [(0, 1)] * wins + [(1, 0)] * losses + [(1, 1)] * passed + [(0, 0)] * failed
    return [case(number, *pair, **given) for number, pair in enumerate(pairs)]


def with_second(first, second, key="second"):
    """Cases with the scores of two evaluators."""
    return [
        one.model_copy(
            update={
                side: [
                    mine.model_copy(update={"scores": mine.scores | {key: other.scores["right"]}})
                    for mine, other in zip(getattr(one, side), getattr(two, side), strict=True)
                ]
                for side in ("old", "new")
            }
        )
        for one, two in zip(first, second, strict=True)
    ]


def only(found):
    [one] = found
    return one


def test_pass_and_fail_of_independent_cases():
    found = only(score_differences(cases(wins=12, losses=3, passed=40, failed=5)))
    assert (found.evaluator, found.method) == ("right", "exact McNemar")
    assert (found.cases, found.groups, found.wins, found.losses, found.ties) == (60, 60, 12, 3, 45)
    assert (found.old, found.new) == pytest.approx((43 / 60, 52 / 60))
    assert found.difference == pytest.approx(9 / 60)
    assert found.p_value == pytest.approx(mcnemar(12, 3, two_sided=True))
    sample = PairedSample(((1.0, 1),) * 12 + ((-1.0, 1),) * 3 + ((0.0, 1),) * 45)
    assert (found.low, found.high) == interval(sample)
    assert (found.left_out, found.old_errors, found.new_errors) == (0, 0, 0)


def test_turns_of_one_chat_are_one_group():
    turns = [
        case(number, 0, 1 if number < 20 else 0, group=f"t-{number // 5}") for number in range(100)
    ]
    alone = [each.model_copy(update={"group": each.id}) for each in turns]
    found, independent = only(score_differences(turns)), only(score_differences(alone))
    assert (found.cases, found.groups, found.method) == (100, 20, "paired bootstrap by group")
    assert found.difference == independent.difference
    # All wins lie in 4 of 20 chats.
    assert found.p_value == pytest.approx(mcnemar(4, 0, two_sided=True))
    assert found.low < 0 < independent.low


def test_repetitions_are_averaged_first():
    found = only(score_differences([case(n, [0, 1, 1], [1, 1, 1]) for n in range(9)]))
    assert found.cases == found.wins == 9
    assert found.old == pytest.approx(2 / 3)
    assert found.method == "paired bootstrap by group"
    assert found.p_value == pytest.approx(2 * p_value(PairedSample(((1 / 3, 1),) * 9)), abs=1e-9)


def test_means_that_differ_in_their_last_digit_are_equal():
    found = only(score_differences([case(1, [0.1, 0.2], [0.15, 0.15])]))
    assert (found.wins, found.losses, found.ties) == (0, 0, 1)


def test_a_chain_that_fails_has_the_lowest_score():
    found = only(score_differences([*cases(passed=8), case(8, 1, "TimeoutError"), case(9, "E", 1)]))
    # An error of the old model shows no gain.
    assert (found.cases, found.wins, found.losses, found.left_out) == (9, 0, 1, 1)
    assert (found.old_errors, found.new_errors) == (1, 1)
    assert found.method == "exact McNemar"
    scores = [case(n, 4, 3.5) for n in range(9)] + [case(9, 4, "E")]
    assert only(score_differences(scores)).new == pytest.approx(3.5 * 9 / 10)
    below = [case(n, -2, -1) for n in range(9)] + [case(9, -2, "E")]
    assert only(score_differences(below)).new == pytest.approx((-9 - 4) / 10)


def test_errors_of_the_old_model_never_let_a_new_one_pass():
    for rules in ({}, {"better": {"right": 0}}, {"at_least": {"right": -0.1}}):
        broken = [case(n, "NotFoundError", 1) for n in range(100)]
        assert decide(broken, **rules).verdict == "too_few"
        some = [*cases(passed=94), *(case(100 + n, "E", 1) for n in range(6))]
        decision = decide(some, **rules)
        assert decision.verdict == "too_few"
        assert "the old model failed at 6 of 100 cases" in decision.rules[0].reason
    few = [*cases(passed=96), *(case(100 + n, "E", 1) for n in range(4))]
    assert decide(few).verdict == "pass"
    assert decide(few, better={"right": 0}).verdict != "pass"
    # What neither answers says nothing about their difference.
    both = [*cases(passed=96), *(case(100 + n, "E", "E") for n in range(20))]
    assert decide(both).verdict == "pass"
    assert only(score_differences([case(1, ["E", 1], [1, 0])])).old == 1


def test_an_evaluator_that_does_not_fit_lets_no_model_pass():
    for unfit in (cases(failed=400), [case(n, 0, "E") for n in range(400)]):
        decision = decide(unfit, at_least={"right": -0.05})
        assert decision.verdict == "fail"
        assert "check that the evaluator fits" in decision.rules[0].reason
        [note] = unfit_notes(unfit)
        assert note.startswith("right: both models have the lowest score in every case")
    assert unfit_notes(cases(failed=400, passed=1)) == unfit_notes([]) == []
    assert decide(cases(failed=400, passed=1)).verdict == "pass"


def test_an_error_counts_even_if_an_evaluator_liked_it():
    failed = ModelAnswer(error="E", scores={"right": 1})
    liked = ComparedCase(id="e", group="t", old=[answer(1)], new=[failed])
    assert only(score_differences([liked])).new == 0


@pytest.mark.parametrize("missing", [None, ..., math.nan])
def test_a_case_without_a_score_is_left_out_and_counted(missing):
    found = only(score_differences([*cases(wins=3), case(3, missing, 1), case(4, 0, [missing, 1])]))
    assert (found.cases, found.wins, found.left_out) == (4, 4, 1)
    json.loads(found.model_dump_json(), parse_constant=pytest.fail)


def test_an_evaluator_without_pairs_shows_nothing():
    one_side = [case(n, None, 1) for n in range(30)]
    assert score_differences(one_side) == []
    decision = decide(one_side, at_least={"right": -0.1})
    assert decision.verdict == "too_few"
    assert "no case has a score of both models" in decision.rules[0].reason


def test_evaluators_keep_their_order_and_the_primary_one_leads():
    both = with_second(cases(wins=3), cases(losses=3))
    assert evaluators_of(both) == ["right", "second"]
    assert [each.evaluator for each in score_differences(both, order=["second"])] == [
        "second",
        "right",
    ]
    assert decide(both, order=["second", "unknown"]).rules[0].evaluator == "second"


def test_scores_outside_0_and_1_have_their_own_range():
    found = only(score_differences([case(n, 3, 4) for n in range(12)] + [case(12, 1, 5)]))
    assert found.difference == pytest.approx(16 / 13)
    unit = only(score_differences([case(n, 0.6, 0.8) for n in range(12)] + [case(12, 0.2, 1.0)]))
    assert (found.low, found.high) == pytest.approx((5 * unit.low, 5 * unit.high), abs=1e-5)


def test_no_case_that_differs_is_no_pass_with_12_cases():
    decision = decide(cases(passed=12), at_least={"right": -0.05})
    assert decision.verdict == "too_few"
    rule = decision.rules[0]
    assert rule.cases_needed >= 59
    assert rule.reason == (
        "right: +0.000 in 12 cases, at least -0.221 with a confidence of 0.95; more than -0.050 is "
        f"required. About {rule.cases_needed} cases would show it if the models are "
        "equal, and differ as often as here."
    )
    assert decide(cases(passed=58), at_least={"right": -0.05}).verdict == "too_few"
    assert decide(cases(passed=59), at_least={"right": -0.05}).verdict == "pass"


def test_a_better_model_passes():
    better = cases(wins=15, losses=3, passed=40, failed=2)
    for rules in ({}, {"at_least": {"right": 0}}, {"better": {"right": 0}}):
        decision = decide(better, **rules)
        assert decision.verdict == "pass"
        assert decision.rules[0].cases_needed is None
    assert decide(better).rules[0].bound == -0.05
    assert decide(better).rules[0].kind == "at_least"


def test_the_bound_0_is_mcnemars_test():
    assert mcnemar(7, 1) < 0.05 < mcnemar(6, 1)
    assert decide(cases(wins=7, losses=1), better={"right": 0}).verdict == "pass"
    assert decide(cases(wins=6, losses=1), better={"right": 0}).verdict == "too_few"


def test_a_worse_model_fails():
    worse = decide(cases(wins=2, losses=20, passed=78), at_least={"right": -0.05})
    assert worse.verdict == "fail"
    assert worse.rules[0].reason.endswith("It is significantly less.")


def test_enough_cases_that_do_not_show_it_fail():
    decision = decide(cases(wins=15, losses=30, passed=955), at_least={"right": -0.02})
    assert decision.verdict == "fail"
    rule = decision.rules[0]
    assert rule.cases_needed <= 1000
    assert rule.reason.endswith(
        f"About {rule.cases_needed:,} cases show it if the models are equal, and differ as often "
        "as here."
    )
    equal = decide(cases(wins=30, losses=30, passed=440), better={"right": 0})
    assert equal.verdict == "fail"
    few = decide(cases(wins=3, losses=3, passed=44), better={"right": 0})
    assert few.verdict == "too_few"
    assert few.rules[0].cases_needed > 50


def test_what_is_needed_follows_the_gain_that_was_seen():
    decision = decide(cases(wins=6, losses=2, passed=12), better={"right": 0})
    assert decision.verdict == "too_few"
    assert "if the gain is +0.200." in decision.rules[0].reason
    assert 30 < decision.rules[0].cases_needed < 120


def test_conversations_are_needed_not_turns():
    turns = [case(n, 1, 1, group=f"t-{n // 10}") for n in range(200)]
    decision = decide(turns, at_least={"right": -0.1})
    assert decision.verdict == "too_few"
    assert "200 cases of 20 conversations" in decision.rules[0].reason
    assert decision.rules[0].cases_needed >= 290  # 29 conversations of 10 turns
    assert decide([each.model_copy(update={"group": each.id}) for each in turns]).verdict == "pass"


def test_the_worst_rule_decides():
    good, few, bad = cases(passed=100), cases(wins=1, passed=99), cases(losses=30, passed=70)
    both = with_second(with_second(good, bad), few, "third")
    at_least = {"right": -0.05, "second": -0.05, "third": -0.01}
    decision = decide(both, at_least=at_least)
    assert [rule.verdict for rule in decision.rules] == ["pass", "fail", "too_few"]
    assert decision.verdict == "fail"
    del at_least["second"]
    assert decide(both, at_least=at_least).verdict == "too_few"
    del at_least["third"]
    assert decide(both, at_least=at_least).verdict == "pass"
    assert Decision.model_validate_json(decision.model_dump_json()) == decision


def test_several_gains_are_corrected_and_guard_rails_are_not():
    seven = cases(wins=7, losses=1, passed=20)
    six = cases(wins=6, losses=0, passed=22)
    both = with_second(seven, six)
    single = decide(both, better={"right": 0})
    assert single.verdict == "pass"
    assert "at least +0.0" in single.rules[0].reason
    corrected = decide(both, better={"right": 0, "second": 0})
    # 0.035 and 0.016: the smaller one is doubled, the greater one stays.
    assert [rule.verdict for rule in corrected.rules] == ["pass", "pass"]
    assert "p = 0.031 after Holm's correction" in corrected.rules[1].reason
    twice = with_second(seven, seven)
    assert decide(twice, better={"right": 0, "second": 0}).verdict != "pass"
    assert decide(twice, at_least={"right": 0, "second": 0}).verdict == "pass"
    assert decide(twice, at_least={"second": 0}, better={"right": 0}).verdict == "pass"


def test_a_rule_does_not_pass_where_scores_of_one_side_are_missing():
    missing = [case(100 + n, 1, None) for n in range(6)]
    decision = decide([*cases(passed=94), *missing], at_least={"right": -0.05})
    assert decision.verdict == "too_few"
    assert "(missing scores of 6 cases taken as the worst)" in decision.rules[0].reason
    assert "Score the missing answers again." in decision.rules[0].reason
    # However few they are, they are taken as the worst.
    for bound in (-0.01, -0.002):
        some = [*cases(passed=1960), *(case(5000 + n, 1, math.nan) for n in range(40))]
        assert decide(some, at_least={"right": bound}).verdict != "pass"
    fewer = decide([*cases(passed=394), *missing[:4]], at_least={"right": -0.05})
    assert fewer.verdict == "pass"
    assert "in 394 cases (missing scores of 4 cases taken as the worst)" in fewer.rules[0].reason
    # Where neither has a score, the evaluator does not apply.
    neither = [case(200 + n, None, None) for n in range(60)]
    assert decide([*cases(passed=94), *neither], at_least={"right": -0.05}).verdict == "pass"


def test_repetitions_without_a_score_are_taken_as_the_worst():
    for new in ([1, 1, None], [1, 1, math.nan], [1, 1]):  # The last repetition is missing.
        hidden = [case(n, [1, 1, 1], new) for n in range(400)]
        assert decide(hidden, at_least={"right": -0.1}).verdict != "pass"
    # An error of the old model takes nothing from the new one.
    fair = [case(n, [1, "E", 1], [1, 1, 1]) for n in range(400)]
    assert decide(fair, at_least={"right": -0.1}).verdict == "pass"


def test_an_error_is_worse_than_the_best_of_scores_that_are_not_above_zero():
    distances = [*(case(n, 0, 0) for n in range(300)), *(case(300 + n, 0, "E") for n in range(100))]
    distances += [case(400, -0.01, -0.01)]
    assert decide(distances, at_least={"right": -0.02}).verdict == "fail"


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        (
            {"at_least": {"wrong": 0}},
            "at_least names the evaluator 'wrong', but there is only right.",
        ),
        ({"better": {"wrong": 0}}, "better names the evaluator 'wrong', but there is only right."),
        ({"at_least": {"right": -1}}, "must be between -1 and 1"),
        ({"better": {"right": math.nan}}, "must be between -1 and 1"),
        ({"confidence": 1}, "confidence must be"),
        ({"confidence": 0.4}, "confidence must be"),
    ],
)
def test_impossible_rules_are_refused(rules, said):
    with pytest.raises(FineTuningError, match=said.replace(".", r"\.")):
        decide(cases(wins=3, passed=3), **rules)


@pytest.mark.parametrize("empty", [[], [case(1, ..., ...)]])
def test_without_scores_nothing_is_decided(empty):
    assert score_differences(empty) == []
    with pytest.raises(FineTuningError, match="No evaluator gave a score"):
        decide(empty)


SCORES = st.one_of(st.none(), st.just("E"), st.sampled_from([0, 1]), st.floats(0, 1))
CASES = st.lists(st.tuples(SCORES, SCORES, st.sampled_from("abcdefghij")), min_size=1, max_size=25)


@settings(max_examples=60, deadline=None)
@given(CASES, st.floats(-0.5, 0.5))
def test_decisions_follow_from_what_was_found(drawn, bound):
    made = [case(n, old, new, group=group) for n, (old, new, group) in enumerate(drawn)]
    if not evaluators_of(made):
        return
    decision = decide(made, at_least={"right": bound})
    [rule] = decision.rules
    found = score_differences(made, confidence=0.9)  # Its lower end is that of the rule.
    assert decision.verdict == rule.verdict
    if not found:
        assert rule.verdict == "too_few"
        return
    assert found[0].cases + found[0].left_out == len(made)
    assert found[0].wins + found[0].losses + found[0].ties == found[0].cases
    if rule.verdict == "pass":
        assert found[0].low >= bound - 1e-6
    else:
        hints = ("the old model failed at", "taken as the worst", "every case")
        other = any(hint in rule.reason for hint in hints)
        assert found[0].low <= bound + 1e-6 or other
    if "every case" in rule.reason:
        return
    if found[0].high < bound - 1e-6:
        assert rule.verdict == "fail"
    if rule.verdict == "too_few" and rule.cases_needed is not None:
        assert rule.cases_needed > found[0].cases
