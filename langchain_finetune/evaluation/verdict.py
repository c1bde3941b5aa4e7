"""What the cases show about each evaluator, and whether a new model passes. Pure.

Higher scores are better. What counts as a score:

- Repetitions are averaged per case first, so that they do not pass for more cases.
- If the new model's chain failed, the answer has the lowest score: 0, or the lowest that was given,
  or the highest less the range. An app that fails is worse, and such a case is not left out.
- If the old model's chain failed, the answer has no score: a server that was down, or a wrong name,
  says nothing for the new model.
- If an evaluator failed, or gave no number, that answer has no score; nor has a repetition that is
  missing. The means of the others are shown. A rule is decided as if each of them were the worst
  that is possible for the new model: nothing passes because answers could not be scored.
- A case for which neither model has a score, or for which the old model's chain failed, is left out
  and counted (`ScoreDifference.left_out`). If the old model alone failed at more than 5% of the
  cases, no rule passes: those left might be the easier ones.
- If both models have the lowest score in every case, the evaluator does not fit the answers, and
  its rules fail.
- Scores lie between 0 and 1, unless one of them is outside: then between the lowest and the highest
  one, 0 and 1 included.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from typing import Literal

from langchain_finetune.convert.power import MARGIN, cases_needed
from langchain_finetune.display.text import counted
from langchain_finetune.errors import FineTuningError, InvalidArgumentError
from langchain_finetune.evaluation.result import (
    ComparedCase,
    Decision,
    ModelAnswer,
    RuleOutcome,
    ScoreDifference,
    Verdict,
)
from langchain_finetune.evaluation.statistics import (
    PairedSample,
    holm,
    interval,
    lower_bound,
    mcnemar,
    p_value,
)

CLEAR_GAIN = 0.1
"""Gain above a bound of 0 or more, as a share of the range of scores, that enough cases show."""

SMALLEST_MARGIN = 0.001
"""Share of the range below which a margin is as good as none: a million cases would not show it."""

MAX_OLD_FAILED = 0.05
"""Most cases at which the old model alone failed, as a share, with which a rule can pass."""

_EQUAL = 1e-9
"""Difference of mean scores, as a share of the range, up to which they are equal."""

_UNFIT = (
    "both models have the lowest score in every case; check that the evaluator fits the answers."
)

_WORST_FIRST: tuple[Verdict, ...] = ("fail", "too_few", "pass")

_Kind = Literal["at_least", "better"]


@dataclass(frozen=True)
class _Pair:
    """The mean scores of a case, if both models have one, and which share of them is known."""

    group: str
    old: float | None
    new: float | None
    known: float

    def worst(self, width: float) -> float:
        """Return the difference if what is not known is the worst that is possible."""
        if self.old is None or self.new is None:
            return -width
        return self.known * (self.new - self.old) - (1 - self.known) * width


@dataclass(frozen=True)
class _Scores:
    """The scores of an evaluator by case; `pairs` has also those with a score of one model."""

    evaluator: str
    pairs: list[_Pair]
    cases: int
    old_failed: int
    width: float
    lowest: float
    errors: tuple[int, int]

    @cached_property
    def both(self) -> list[tuple[str, float, float]]:
        """Group, old and new of the cases with a score of both models."""
        return [
            (pair.group, pair.old, pair.new)
            for pair in self.pairs
            if pair.old is not None and pair.new is not None
        ]

    @cached_property
    def pass_fail(self) -> bool:
        return all(score in {0.0, 1.0} for _, *both in self.both for score in both)

    @cached_property
    def lowest_only(self) -> bool:
        return all(score <= self.lowest for _, *both in self.both for score in both)

    def sample(self) -> PairedSample:
        """Return the differences that were observed."""
        return PairedSample.of(((group, new - old) for group, old, new in self.both), self.width)

    def worst_sample(self) -> PairedSample:
        """Return the differences, at worst."""
        return PairedSample.of(
            ((pair.group, pair.worst(self.width)) for pair in self.pairs), self.width
        )


def score_differences(
    cases: Sequence[ComparedCase], *, order: Sequence[str] = (), confidence: float = 0.95
) -> list[ScoreDifference]:
    """Return what the cases show about each evaluator that scored both models.

    Args:
        cases: The cases, with the answers of both models and their scores.
        order: Evaluators that come first, the primary one at the head; others follow in the order
            in which they appear.
        confidence: Confidence of the two-sided intervals.

    Example:
        >>> old, new = ([ModelAnswer(scores={"right": score})] for score in (0, 1))
        >>> cases = [ComparedCase(id=n, group=n, old=old, new=new) for n in "12345"]
        >>> [found] = score_differences(cases)
        >>> found.evaluator, found.difference, found.wins, found.p_value, found.method
        ('right', 1.0, 5, 0.0625, 'exact McNemar')
    """
    found = (_scores(cases, name) for name in evaluators_of(cases, order))
    return [_difference(scores, confidence) for scores in found if scores.both]


def unfit_notes(cases: Sequence[ComparedCase], order: Sequence[str] = ()) -> list[str]:
    """Return a note on each evaluator by which both models have the lowest score in every case."""
    found = (_scores(cases, name) for name in evaluators_of(cases, order))
    return [
        f"{scores.evaluator}: {_UNFIT}" for scores in found if scores.both and scores.lowest_only
    ]


def evaluators_of(cases: Iterable[ComparedCase], order: Sequence[str] = ()) -> list[str]:
    """Return the keys of all evaluators that gave a score or failed, those of `order` first."""
    seen = dict.fromkeys(
        key for case in cases for answer in (*case.old, *case.new) for key in answer.scores
    )
    return [key for key in dict.fromkeys([*order, *seen]) if key in seen]


def decide(
    cases: Sequence[ComparedCase],
    *,
    at_least: Mapping[str, float] | None = None,
    better: Mapping[str, float] | None = None,
    confidence: float = 0.95,
    order: Sequence[str] = (),
) -> Decision:
    """Decide whether the new model passes: only if each rule is shown.

    A rule is shown if the one-sided lower bound of the difference is above the rule's bound. It
    fails if the difference is significantly below the bound, or if there were enough cases to show
    it and they did not. Otherwise the cases are too few; the outcome says how many are needed.

    Several `at_least` need no correction: a model passes only if all are shown, so it passes
    wrongly at most as often as one of them is wrong (Berger, "Multiparameter hypothesis testing and
    acceptance sampling", Technometrics 24, 1982: the intersection-union test). Several `better` are
    claims that are reported one by one, so they are corrected by Holm's method.

    Args:
        cases: The cases, with the answers of both models and their scores.
        at_least: By evaluator, the difference that must be exceeded, mostly below 0: -0.02 is "not
            worse by more than 0.02". Without any rule, the primary evaluator must not be worse by
            more than 5% of its range.
        better: By evaluator, the gain that must be exceeded, mostly 0.
        confidence: One-sided confidence of each rule that is shown.
        order: As in `score_differences`.

    Raises:
        FineTuningError: There is no such evaluator, or a bound or the confidence is impossible.

    Example:
        >>> old = new = [ModelAnswer(scores={"right": 1})]
        >>> cases = [ComparedCase(id=n, group=n, old=old, new=new) for n in "123456789abc"]
        >>> decision = decide(cases, at_least={"right": -0.05})
        >>> decision.verdict, decision.rules[0].cases_needed
        ('too_few', 230)
    """
    if not 0.5 <= confidence < 1:  # noqa: PLR2004 - less would not be confidence
        raise FineTuningError(f"confidence must be from 0.5 to less than 1, not {confidence}.")
    known = evaluators_of(cases, order)
    if not known:
        raise FineTuningError("No evaluator gave a score, so there is nothing to decide by.")
    scores = {name: _scores(cases, name) for name in known}
    if not at_least and not better:
        at_least = {known[0]: -MARGIN * scores[known[0]].width}
    rules: list[tuple[_Kind, str, float]] = [
        *(("at_least", name, bound) for name, bound in (at_least or {}).items()),
        *(("better", name, bound) for name, bound in (better or {}).items()),
    ]
    for kind, name, bound in rules:
        if name not in scores:
            raise InvalidArgumentError(
                f"{kind} names the evaluator {name!r}, but there is only {', '.join(known)}."
            )
        if not (isfinite(bound) and abs(bound) < scores[name].width):
            raise InvalidArgumentError(
                f"{kind}[{name!r}] must be between {-scores[name].width:g} and "
                f"{scores[name].width:g}, the range of its scores, not {bound}."
            )
    p_values = {rule: _p_value(scores[rule[1]], rule[2]) for rule in rules}
    gains = [rule for rule in rules if rule[0] == "better"]
    p_values |= zip(gains, holm([p_values[rule] for rule in gains]), strict=True)
    outcomes = [
        _outcome(
            *(kind, scores[name], bound, p_values[kind, name, bound], confidence),
            tests=len(gains) if kind == "better" else 1,
        )
        for kind, name, bound in rules
    ]
    verdicts = {outcome.verdict for outcome in outcomes}
    verdict: Verdict = next(each for each in _WORST_FIRST if each in verdicts)
    return Decision(verdict=verdict, rules=outcomes, confidence=confidence)


def _outcome(
    kind: _Kind,
    scores: _Scores,
    bound: float,
    p: float,
    confidence: float,
    *,
    tests: int,
) -> RuleOutcome:
    def told(verdict: Verdict, reason: str, needed: int | None = None) -> RuleOutcome:
        return RuleOutcome(
            evaluator=scores.evaluator,
            kind=kind,
            bound=bound,
            verdict=verdict,
            cases_needed=needed,
            reason=f"{scores.evaluator}: {reason}",
        )

    if not scores.both:
        return told("too_few", "no case has a score of both models.")
    sample, worst, alpha = scores.sample(), scores.worst_sample(), 1 - confidence
    left_out = scores.cases - worst.cases
    where = counted(sample.cases, "case")
    if len(sample.totals) < sample.cases:
        where += f" of {counted(len(sample.totals), 'conversation')}"
    if left_out:
        where += f" ({left_out:,} left out)"
    if unknown := sum(pair.known < 1 for pair in scores.pairs):
        where += f" (missing scores of {counted(unknown, 'case')} taken as the worst)"
    shown = (
        f"p = {p:.2g} after Holm's correction"
        if tests > 1
        else f"at least {lower_bound(worst, confidence):+.3f} with a confidence of {confidence:g}"
    )
    seen = f"{sample.mean:+.3f} in {where}, {shown}; more than {bound:+.3f} is required."
    if scores.lowest_only:
        return told("fail", _UNFIT)
    if p_value(sample.reversed(), -bound) <= alpha:
        return told("fail", f"{seen} It is significantly less.")
    if scores.old_failed > MAX_OLD_FAILED * scores.cases:
        return told(
            "too_few",
            f"the old model failed at {scores.old_failed:,} of {scores.cases:,} cases, more than "
            f"{MAX_OLD_FAILED:.0%}; compare again.",
        )
    if p <= alpha:
        return told("pass", seen)
    if unknown and p_value(sample, bound) <= alpha:
        return told("too_few", f"{seen} Score the missing answers again.")
    assumed, true, variance = _assumption(sample, bound, pass_fail=scores.pass_fail)
    needed = cases_needed(
        *(bound, true, variance),
        width=sample.width,
        group=sample.group,
        confidence=1 - alpha / tests,
    )
    assert needed is not None  # What is assumed is above the bound.
    if sample.cases >= needed:
        return told("fail", f"{seen} About {needed:,} cases show it if {assumed}.", needed)
    return told("too_few", f"{seen} About {needed:,} cases would show it if {assumed}.", needed)


def _assumption(sample: PairedSample, bound: float, *, pass_fail: bool) -> tuple[str, float, float]:
    """Return what is assumed to be true, in words, the difference, and a case's variance."""
    variance = sample.variance
    if bound <= -SMALLEST_MARGIN * sample.width:
        return "the models are equal, and differ as often as here", 0.0, variance
    clear = bound + CLEAR_GAIN * sample.width
    true = min(max(clear, sample.mean), sample.width)
    if pass_fail:
        # So many cases differ at least.
        variance = max(variance, true * (1 - true))
    return f"the gain is {true:+.3f}", true, variance


def _p_value(scores: _Scores, bound: float) -> float:
    return p_value(scores.worst_sample(), bound) if scores.both else 1.0


def _difference(scores: _Scores, confidence: float) -> ScoreDifference:
    sample = scores.sample()
    # Means of repetitions may differ in their last digit only.
    gap = _EQUAL * scores.width
    wins = sum(new > old + gap for _, old, new in scores.both)
    losses = sum(new < old - gap for _, old, new in scores.both)
    low, high = interval(sample, confidence)
    exact = scores.pass_fail and len(sample.totals) == sample.cases
    if exact:
        two_sided = mcnemar(wins, losses, two_sided=True)
    else:
        two_sided = min(1.0, 2 * min(p_value(sample), p_value(sample.reversed())))
    return ScoreDifference(
        evaluator=scores.evaluator,
        cases=sample.cases,
        groups=len(sample.totals),
        old=sum(old for _, old, _ in scores.both) / sample.cases,
        new=sum(new for _, _, new in scores.both) / sample.cases,
        difference=sample.mean,
        low=low,
        high=high,
        confidence=confidence,
        wins=wins,
        losses=losses,
        ties=sample.cases - wins - losses,
        left_out=scores.cases - sample.cases,
        old_errors=scores.errors[0],
        new_errors=scores.errors[1],
        p_value=two_sided,
        method="exact McNemar" if exact else "paired bootstrap by group",
    )


def _scores(cases: Sequence[ComparedCase], evaluator: str) -> _Scores:
    answers = [answer for case in cases for answer in (*case.old, *case.new)]
    given = [score for answer in answers if (score := _score(answer, evaluator)) is not None]
    lowest, highest = min([0.0, *given]), max([1.0, *given])
    width = highest - lowest
    # Where no score is above 0, such as a negative distance, 0 is the best one.
    failed = min(lowest, max(given, default=0.0) - width)
    pairs = [_pair(case, evaluator, failed) for case in cases]
    return _Scores(
        evaluator=evaluator,
        pairs=[pair for pair in pairs if pair is not None],
        cases=len(cases),
        old_failed=sum(_failed(case.old) and not _failed(case.new) for case in cases),
        width=width,
        lowest=lowest,
        errors=(_errors(case.old for case in cases), _errors(case.new for case in cases)),
    )


def _pair(case: ComparedCase, evaluator: str, failed: float) -> _Pair | None:
    """Return the means of a case; None if it says nothing about the new model."""
    answered = [answer for answer in case.old if answer.error is None]
    old = [score for each in answered if (score := _score(each, evaluator)) is not None]
    new = [
        score
        for each in case.new
        if (score := failed if each.error is not None else _score(each, evaluator)) is not None
    ]
    if not answered or not (old or new):
        return None
    wanted = max(len(case.old), len(case.new))
    known = min(len(old) / (wanted - len(case.old) + len(answered)), len(new) / wanted)
    return _Pair(case.group, _mean(old), _mean(new), known)


def _failed(answers: Sequence[ModelAnswer]) -> bool:
    return all(answer.error is not None for answer in answers)


def _mean(scores: Sequence[float]) -> float | None:
    return sum(scores) / len(scores) if scores else None


def _score(answer: ModelAnswer, evaluator: str) -> float | None:
    score = answer.scores.get(evaluator)
    return score if score is not None and isfinite(score) else None


def _errors(answers: Iterable[Sequence[ModelAnswer]]) -> int:
    return sum(answer.error is not None for each in answers for answer in each)
