"""Figures of a comparison that its report shows: the worst cases, and what answers took. Pure."""

import math
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from langchain_finetune.display.text import dollars, format_duration, share, short
from langchain_finetune.evaluation.result import (
    REASON,
    ComparedCase,
    ComparisonData,
    ModelAnswer,
)

Side = Literal["old", "new"]

WORST = 10
"""Number of regressions, and of reasons of failures, in a report."""


@dataclass(frozen=True)
class Usage:
    """What the answers of one model took; None where it is unknown.

    Attributes:
        answers: Number of answers, those included that failed.
        errors: Number of answers that failed.
        unseen_calls: Number of tool calls for which the recording had no result.
        latency_median_s: Median of the seconds until the whole answer.
        latency_p95_s: 95th percentile of them.
        input_tokens: Mean number of tokens of an answer's prompts.
        output_tokens: Mean number of tokens that were generated for an answer.
        usd_per_1000: Mean cost of 1,000 answers.
    """

    answers: int
    errors: int
    unseen_calls: int
    latency_median_s: float | None
    latency_p95_s: float | None
    input_tokens: float | None
    output_tokens: float | None
    usd_per_1000: float | None


def usage_of(data: ComparisonData, side: Side) -> Usage:
    """Return what the answers of one model took."""
    answers = [answer for case in data.cases for answer in answers_of(case, side)]
    latencies = _known(each.latency_s for each in answers)
    costs = _known(each.cost_usd for each in answers)
    return Usage(
        answers=len(answers),
        errors=sum(each.error is not None for each in answers),
        unseen_calls=sum(each.unseen_calls for each in answers),
        latency_median_s=percentile(latencies, 0.5),
        latency_p95_s=percentile(latencies, 0.95),
        input_tokens=_mean(_known(each.input_tokens for each in answers)),
        output_tokens=_mean(_known(each.output_tokens for each in answers)),
        usd_per_1000=1000 * statistics.fmean(costs) if costs else None,
    )


def usage_rows(data: ComparisonData) -> list[tuple[str, str, str]]:
    """Return what the answers took as rows: the figure, and its values of both models."""
    old, new = usage_of(data, "old"), usage_of(data, "new")
    shown: dict[str, Callable[[Usage], str]] = {
        "latency, median": lambda each: format_duration(each.latency_median_s),
        "latency, 95th percentile": lambda each: format_duration(each.latency_p95_s),
        "cost of 1,000 answers": lambda each: dollars(each.usd_per_1000),
        "input tokens per answer": lambda each: _count(each.input_tokens),
        "output tokens per answer": lambda each: _count(each.output_tokens),
        "answers that failed": lambda each: _part(each.errors, each.answers),
    }
    if old.unseen_calls or new.unseen_calls:
        shown["tool calls without a recorded result"] = lambda each: f"{each.unseen_calls:,}"
    return [(name, show(old), show(new)) for name, show in shown.items()]


def percentile(values: Sequence[float], part: float) -> float | None:
    """Return a percentile with linear interpolation, as numpy's default; None of no values.

    Example:
        >>> percentile([4, 1, 2, 3], 0.5), percentile([1, 2], 0.95), percentile([], 0.5)
        (2.5, 1.95, None)
    """
    if not values:
        return None
    ordered = sorted(values)
    place = part * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def answers_of(case: ComparedCase, side: Side) -> list[ModelAnswer]:
    """Return the answers of one model to a case."""
    return case.old if side == "old" else case.new


def case_score(case: ComparedCase, side: Side, evaluator: str) -> float | None:
    """Return the mean score of one model's answers to a case; None if there is none."""
    return _mean(_known(each.scores.get(evaluator) for each in answers_of(case, side)))


def case_difference(case: ComparedCase, evaluator: str) -> float | None:
    """Return by how much the new model scores higher; None if one has no score."""
    old, new = case_score(case, "old", evaluator), case_score(case, "new", evaluator)
    return None if old is None or new is None else new - old


def regressions(data: ComparisonData, most: int = WORST) -> list[ComparedCase]:
    """Return the cases that became worse, the worst first.

    First those in which only the new model failed, then by the primary evaluator's difference, then
    by the sum of the others'.
    """
    evaluators = [each.evaluator for each in data.differences]
    ranked = []
    for place, case in enumerate(data.cases):
        differences = [case_difference(case, evaluator) or 0.0 for evaluator in evaluators]
        fails = _failures(case.new) > _failures(case.old)
        if fails or min(differences, default=0.0) < 0:
            primary, rest = differences[:1] or [0.0], sum(differences[1:])
            ranked.append((not fails, primary[0], rest, place))
    return [data.cases[place] for *_, place in sorted(ranked)[:most]]


def score_rows(data: ComparisonData, case: ComparedCase) -> list[tuple[str, str, str]]:
    """Return a case's scores as rows: the evaluator, and the scores of both models."""
    rows = []
    for evaluator in [each.evaluator for each in data.differences]:
        old, new = (case_score(case, side, evaluator) for side in ("old", "new"))
        rows.append((evaluator, figure(old), figure(new)))
    return rows


def failure_rows(data: ComparisonData) -> list[tuple[str, str, str]]:
    """Return why answers failed: side and class of the error, its message, and how many."""
    sides: tuple[Side, ...] = ("old", "new")
    found = Counter(
        (f"{side}: {answer.error}", answer.comments.get(REASON, "unknown"))
        for side in sides
        for case in data.cases
        for answer in answers_of(case, side)
        if answer.error is not None
    )
    return [(what, why, f"{count:,}") for (what, why), count in found.most_common(WORST)]


def figure(number: float | None, *, sign: bool = False) -> str:
    """Return a score.

    Example:
        >>> figure(0.5), figure(-0.25, sign=True), figure(312.25), figure(None)
        ('0.500', '-0.250', '312.2', '-')
    """
    if number is None:
        return "-"
    digits = 3 if abs(number) < 10 else 1  # noqa: PLR2004
    # No "-0.000".
    return f"{round(number, digits) + 0.0:{'+' if sign else ''}.{digits}f}"


def _failures(answers: Iterable[ModelAnswer]) -> int:
    return sum(each.error is not None for each in answers)


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None


def _count(mean: float | None) -> str:
    return "unknown" if mean is None else short(mean)


def _part(count: int, whole: int) -> str:
    return f"{count:,} of {whole:,} ({share(count, whole)})" if count else f"0 of {whole:,}"
