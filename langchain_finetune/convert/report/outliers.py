"""The most unusual examples: those to look at first.

An example is as unusual as the most unusual thing about it. Each thing is measured in standard
deviations: how far the logarithm of its tokens or messages is from the mean; and how far out a
value of the normal distribution is that is as rare as its rarest tool or its script.
"""

from collections import Counter
from dataclasses import dataclass, field
from statistics import NormalDist

from pydantic import BaseModel, ConfigDict

from langchain_finetune.convert.report.distribution import DistributionCount

SHOWN = 10
"""How many are told."""

_USUAL = 2.0
"""Standard deviations up to which nothing is strange."""

_FEWEST = 20
"""With fewer examples nothing is usual yet."""

_NORMAL = NormalDist()


class Outlier(BaseModel):
    """An example that is unlike the others.

    Attributes:
        id: The chat, as in skips.
        part: Train, validation or test.
        score: Standard deviations of what is most unusual about it.
        reasons: What is unusual, the most unusual first.
        tokens: Its tokens.
        messages: Its messages.
        text: The beginning of its first question and of its answer, where they were asked for.
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
    """What is known of an example that may be strange."""

    number: int
    id: str
    part: str
    tokens: int
    messages: int
    tools: tuple[str, ...]
    script: str | None
    text: str | None


@dataclass
class _Rare:
    """The first examples with something; only while they are few it can be rare."""

    examples: list[Candidate] = field(default_factory=list)

    def add(self, candidate: Candidate) -> None:
        if len(self.examples) < SHOWN:
            self.examples.append(candidate)


class OutlierFinder:
    """Keeps the examples that may be among the most unusual, in flat memory.

    The most unusual in any one thing is among the longest, the shortest, those with most and with
    fewest messages, or the first ones with each tool and script: no others are kept.
    """

    def __init__(self) -> None:
        self._extremes: dict[tuple[str, int], list[Candidate]] = {}
        self._tools: dict[str, _Rare] = {}
        self._scripts: dict[str, _Rare] = {}

    def add(self, candidate: Candidate, *, most_names: int) -> None:
        """Look at one example."""
        for name in ("tokens", "messages"):
            self._keep(candidate, name, 1)
            self._keep(candidate, name, -1)
        for tool in candidate.tools:
            if tool in self._tools or len(self._tools) < most_names:
                self._tools.setdefault(tool, _Rare()).add(candidate)
        if candidate.script is not None:
            self._scripts.setdefault(candidate.script, _Rare()).add(candidate)

    def _keep(self, candidate: Candidate, name: str, sign: int) -> None:
        """Keep a candidate if it is among the highest (sign 1) or lowest (-1) in something."""
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
        """Return the most unusual, the most unusual first; none that is like the others.

        Args:
            tokens: How tokens are spread.
            messages: How messages are spread.
            tools: In how many examples each tool is called.
            scripts: How many examples are mostly in each script.
            examples: How many there are.
        """
        if examples < _FEWEST:
            return []
        rare = [*self._tools.values(), *self._scripts.values()]
        kept = [each for some in self._extremes.values() for each in some]
        kept += [each for some in rare for each in some.examples]
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
            said = sorted((each for each in reasons if each[0] >= _USUAL), reverse=True)
            if said:
                found.append((said, candidate))
        found.sort(key=lambda each: (-each[0][0][0], each[1].number))
        return [_told(said, candidate) for said, candidate in found[:SHOWN]]


def _length(count: DistributionCount, value: int, name: str) -> tuple[float, str]:
    unit = name if value != 1 else name.removesuffix("s")
    return abs(count.deviation(value)), f"{value:,} {unit} (median {count.quantile(0.5):,})"


def _rarity(count: int, examples: int, what: str) -> tuple[float, str]:
    share = count / examples
    others = "the only one" if count == 1 else f"like {count} of {examples:,}"
    return _NORMAL.inv_cdf(1 - share / 2) if share < 1 else 0.0, f"{what}: {others}"


def _told(said: list[tuple[float, str]], candidate: Candidate) -> Outlier:
    return Outlier(
        id=candidate.id,
        part=candidate.part,
        score=round(said[0][0], 1),
        reasons=[reason for _, reason in said],
        tokens=candidate.tokens,
        messages=candidate.messages,
        text=candidate.text,
    )
