"""What the cases show about each evaluator, and whether a new model passes. Pure.

Higher scores are better. What counts as a score:

- Repetitions are averaged per case first, so that they do not pass for more cases.
- If the chain failed, the answer has the lowest score of each evaluator: 0, or the lowest one that
  is below. An app that fails is worse, and such a case is not left out.
- If an evaluator failed or gave no score, that answer has none. A case without a score of both models is
  left out and counted (`ScoreDifference.left_out`). If more than 5% of the cases have a score of
  one model only, no rule of this evaluator passes: what is left might be the easier cases.
- Scores lie between 0 and 1, unless one of them is outside: then between the lowest and the highest
  one, 0 and 1 included.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Literal

from langchain_finetune.convert.power import MARGIN, cases_needed
from langchain_finetune.errors import FineTuningError
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

MAX_ONE_SIDED = 0.05
"""Most cases with a score of one model only, as a share, with which a rule can pass."""

_Kind = Literal["at_least", "better"]


@dataclass(frozen=True)
class _Scores:
    """The scores of an evaluator, by case: group, old and new."""

    evaluator: str
    pairs: list[tuple[str, float, float]]
    cases: int
    one_sided: int
    width: float
    pass_fail: bool
    errors: tuple[int, int]

    def sample(self) -> PairedSample:
        return PairedSample.of(((group, new - old) for group, old, new in self.pairs), self.width)


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
        >>> both = {"old": [ModelAnswer(scores={"right": 0})], "new": [ModelAnswer(scores={"right": 1})]}
        >>> cases = [ComparedCase(id=f"{n}", group=f"{n}", **both) for n in range(5)]
        >>> [found] = score_differences(cases)
        >>> found.evaluator, found.difference, found.wins, found.p_value, found.method
        ('right', 1.0, 5, 0.0625, 'exact McNemar')
    """
    found = (_scores(cases, name) for name in evaluators_of(cases, order))
    return [_difference(scores, confidence) for scores in found if scores.pairs]


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
        >>> both = {"old": [ModelAnswer(scores={"right": 1})], "new": [ModelAnswer(scores={"right": 1})]}
        >>> cases = [ComparedCase(id=f"{n}", group=f"{n}", **both) for n in range(12)]
        >>> decision = decide(cases, at_least={"right": -0.05})
        >>> decision.verdict, decision.rules[0].cases_needed
        ('too_few', 200)
    """
    if not 0.5 <= confidence < 1:
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
            raise FineTuningError(
                f"{kind} names the evaluator {name!r}, but there is only {', '.join(known)}."
            )
        if not (isfinite(bound) and abs(bound) < scores[name].width):
            raise FineTuningError(
                f"{kind}[{name!r}] must be between {-scores[name].width:g} and "
                f"{scores[name].width:g}, the range of its scores, not {bound}."
            )
    judged = [_Judged(kind, scores[name], bound) for kind, name, bound in rules]
    gains = [rule for rule in judged if rule.kind == "better"]
    corrected = dict(zip(map(id, gains), holm([rule.p_value for rule in gains]), strict=True))
    outcomes = [rule.outcome(corrected.get(id(rule)), len(gains), confidence) for rule in judged]
    verdicts = {outcome.verdict for outcome in outcomes}
    verdict: Verdict = next(each for each in _WORST_FIRST if each in verdicts)
    return Decision(verdict=verdict, rules=outcomes, confidence=confidence)
