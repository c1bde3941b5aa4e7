"""Outliers: the most unusual examples, to review first.

The score of an example is that of its most unusual property, in standard deviations: the distance
of the logarithm of its tokens or messages from the mean, or the distance at which a normally
distributed value is as rare as its rarest tool or its script.
"""

from collections import Counter
from dataclasses import dataclass
from statistics import NormalDist

from pydantic import BaseModel, ConfigDict

from langchain_finetune.convert.report.distribution import DistributionCount

SHOWN = 10
"""Most outliers in a report."""

_MIN_SCORE = 2.0
"""Standard deviations from which an example is an outlier."""

_MIN_EXAMPLES = 20
"""With fewer examples there are no outliers."""

_NORMAL = NormalDist()


class Outlier(BaseModel):
    """An example that differs from the others.

    Attributes:
        id: Id of the chat, as in skips.
        part: Train, validation or test.
        score: Standard deviations of its most unusual property.
        reasons: Its unusual properties, the most unusual first.
        tokens: Number of its tokens.
        messages: Number of its messages.
        text: The beginning of its first question and of its answer, if requested.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    part: str
    score: float
    reasons: list[str]
    tokens: int
    messages: int
    text: str | None = None


@dataclass(frozen=True)
class Candidate:
    """An example that may be an outlier."""

    number: int
    id: str
    part: str
    tokens: int
    messages: int
    tools: tuple[str, ...]
    script: str | None
    text: str | None


class OutlierFinder:
    """Finds the outliers in one pass, in flat memory.

    They are among the longest and the shortest examples, those with the most and the fewest
    messages, and the first ones with each tool and script; no others are kept.
    """

    def __init__(self) -> None:
        self._extremes: dict[tuple[str, int], list[Candidate]] = {}
        # The first examples with a property, which is rare only if they are few.
        self._tools: dict[str, list[Candidate]] = {}
        self._scripts: dict[str, list[Candidate]] = {}

    def add(self, candidate: Candidate, *, max_names: int) -> None:
        """Add one example."""
        for name in ("tokens", "messages"):
            self._keep(candidate, name, 1)
            self._keep(candidate, name, -1)
        for tool in candidate.tools:
            if tool in self._tools or len(self._tools) < max_names:
                _keep_first(self._tools.setdefault(tool, []), candidate)
        if candidate.script is not None:
            _keep_first(self._scripts.setdefault(candidate.script, []), candidate)

    def _keep(self, candidate: Candidate, name: str, sign: int) -> None:
        """Keep a candidate if it is among the highest (sign 1) or lowest (-1) values of a field."""
        kept = self._extremes.setdefault((name, sign), [])
        if len(kept) == SHOWN and sign * (getattr(candidate, name) - getattr(kept[-1], name)) <= 0:
            return
        kept.append(candidate)
        # Ties keep their order: the sort is stable.
        kept.sort(key=lambda each: -sign * getattr(each, name))
        del kept[SHOWN:]

    def outliers(
        self,
        tokens: DistributionCount,
        messages: DistributionCount,
        tools: Counter[str],
        scripts: Counter[str],
        examples: int,
    ) -> list[Outlier]:
        """Return the outliers, the most unusual first.

        Tools and scripts are counted by examples that call them, and that are mostly in them.
        """
        if examples < _MIN_EXAMPLES:
            return []
        rare = [*self._tools.values(), *self._scripts.values()]
        kept = [each for some in (*self._extremes.values(), *rare) for each in some]
        found = []
        for candidate in {each.number: each for each in kept}.values():
            reasons = [
                _length(tokens, candidate.tokens, "tokens"),
                _length(messages, candidate.messages, "messages"),
                *(_rarity(tools[tool], examples, f"calls {tool}") for tool in candidate.tools),
            ]
            if candidate.script is not None:
                count = scripts[candidate.script]
                reasons.append(_rarity(count, examples, f"mostly in {candidate.script} script"))
            unusual = sorted((each for each in reasons if each[0] >= _MIN_SCORE), reverse=True)
            if unusual:
                found.append((unusual, candidate))
        found.sort(key=lambda each: (-each[0][0][0], each[1].number))
        return [
            Outlier(
                id=candidate.id,
                part=candidate.part,
                score=round(unusual[0][0], 1),
                reasons=[reason for _, reason in unusual],
                tokens=candidate.tokens,
                messages=candidate.messages,
                text=candidate.text,
            )
            for unusual, candidate in found[:SHOWN]
        ]


def _keep_first(kept: list[Candidate], candidate: Candidate) -> None:
    if len(kept) < SHOWN:
        kept.append(candidate)


def _length(count: DistributionCount, value: int, name: str) -> tuple[float, str]:
    unit = name if value != 1 else name.removesuffix("s")
    return abs(count.deviation(value)), f"{value:,} {unit} (median {count.quantile(0.5):,})"


def _rarity(count: int, examples: int, what: str) -> tuple[float, str]:
    share = count / examples
    others = "the only one" if count == 1 else f"like {count} of {examples:,}"
    return _NORMAL.inv_cdf(1 - share / 2) if share < 1 else 0.0, f"{what}: {others}"
