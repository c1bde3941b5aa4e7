"""Comparisons of two experiments as the pages show them: scores by case, and what they sum up to.

The first experiment of a comparison is the old one, the last one the new one. Intervals and
verdicts are in the report of the comparison.
"""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import orjson
from pydantic import BaseModel

from langchain_finetune.content import mapping
from langchain_finetune.display.messages import ShownMessage
from langchain_finetune.display.values import read_values
from langchain_finetune.local.page.run_views import RunRow, field_of, seconds_of
from langchain_finetune.local.store import RunStore

OUTCOMES = {
    "": "All cases",
    "lost": "Lost: new scores lower",
    "won": "Won: new scores higher",
    "tied": "Tied",
    "unscored": "Without a score of both",
}
"""Outcomes of a case for the new experiment, as the filter has them."""

_MAX_FEEDBACK = 1000
"""Maximum number of feedback of the answers to one case."""

Scores = Mapping[tuple[str, str], float]
"""Mean scores of a case by experiment (`old`, `new`) and feedback key."""


class CaseFilter(BaseModel):
    """Fields of the filter of cases: a feedback key, and the outcome by it."""

    evaluator: str = ""
    outcome: str = ""

    def query(self, **changes: Any) -> str:
        """Return the query of an address with these fields and others; empty ones are left out."""
        fields = {**self.model_dump(), **changes}
        return "?" + urlencode({name: value for name, value in fields.items() if value})


@dataclass(frozen=True)
class CaseLine:
    """A case with its scores by the chosen key, and the outcome for the new experiment."""

    example_id: str
    old: float | None
    new: float | None

    @property
    def difference(self) -> float | None:
        """New minus old, if both have a score."""
        return None if self.old is None or self.new is None else self.new - self.old

    @property
    def outcome(self) -> str:
        """One of `OUTCOMES`."""
        if self.difference is None:
            return "unscored"
        return "lost" if self.difference < 0 else "won" if self.difference > 0 else "tied"


@dataclass(frozen=True)
class EvaluatorSummary:
    """What one feedback key shows over the cases that both experiments have a score for."""

    key: str
    old: float
    new: float
    won: int
    lost: int
    tied: int

    @property
    def difference(self) -> float:
        """New minus old."""
        return self.new - self.old


@dataclass(frozen=True)
class ExperimentSummary:
    """One experiment: its name, its answers, those that failed, and their median duration."""

    id: str
    name: str
    answers: int
    failed: int
    seconds: float | None


class ComparedCases:
    """The cases of a comparison.

    Args:
        store: The run store.
        comparison: The comparison, as the store returns it.
    """

    def __init__(self, store: RunStore, comparison: Mapping[str, Any]) -> None:
        self._store = store
        self._comparison_id = comparison["id"]
        experiments = [mapping(each) for each in comparison["experiments_info"]]
        self.names = {side: str(each["name"]) for side, each in _sides(experiments)}
        self._projects = {side: str(each["id"]) for side, each in _sides(experiments)}
        self._side_of = {project: side for side, project in self._projects.items()}
        self._rows = store.comparisons.answers(list(self._side_of))
        # In the order in which they were answered first.
        self._scores: dict[str, dict[tuple[str, str], float]] = {
            row["reference_example_id"]: {} for row in self._rows
        }
        for each in store.comparisons.scores(self._comparison_id, list(self._side_of)):
            self._scores[each.example_id][self._side_of[each.project_id], each.key] = each.score

    @property
    def keys(self) -> list[str]:
        """The feedback keys that both experiments have scores of, by name."""
        found = {side: {key for _, key in self._keys_of(side)} for side in ("old", "new")}
        return sorted(found["old"] & found["new"])

    def evaluators(self) -> list[EvaluatorSummary]:
        """Return what each feedback key shows."""
        return [found for key in self.keys if (found := _summary(key, self.lines(key)))]

    def experiments(self) -> list[ExperimentSummary]:
        """Return the old and the new experiment."""
        found = []
        for side, project_id in self._projects.items():
            rows = [row for row in self._rows if row["project_id"] == project_id]
            durations = [seconds for row in rows if (seconds := seconds_of(row)) is not None]
            failed = sum(row["status"] == "error" for row in rows)
            median = statistics.median(durations) if durations else None
            name = self.names[side]
            found.append(ExperimentSummary(project_id, name, len(rows), failed, median))
        return found

    def lines(self, key: str, outcome: str = "") -> list[CaseLine]:
        """Return the cases of an outcome by a key, worst for the new experiment first."""
        lines = [
            CaseLine(example_id, scores.get(("old", key)), scores.get(("new", key)))
            for example_id, scores in self._scores.items()
        ]
        lines.sort(key=lambda line: (line.difference is None, line.difference or 0.0))
        return [line for line in lines if outcome in ("", line.outcome)]

    def answers(self, example_ids: Sequence[str]) -> dict[str, dict[str, list[RunRow]]]:
        """Return the rows of the answers to some cases, by case and experiment."""
        found: dict[str, dict[str, list[RunRow]]] = {
            each: {"old": [], "new": []} for each in example_ids
        }
        for row in self._store.comparisons.answers(list(self._side_of), example_ids):
            side = self._side_of[row["project_id"]]
            found[row["reference_example_id"]][side].append(row)
        return found

    def feedback(self, rows: Iterable[RunRow]) -> dict[str, list[dict[str, Any]]]:
        """Return the feedback of answers by run, without that of other comparisons."""
        found: dict[str, list[dict[str, Any]]] = defaultdict(list)
        run_ids = [row["id"] for row in rows]
        for each in self._store.feedback.all(run_ids=run_ids, limit=_MAX_FEEDBACK):
            if each["comparative_experiment_id"] in (None, self._comparison_id):
                found[each["run_id"]].append(each)
        for listed in found.values():
            listed.sort(key=lambda each: str(each["key"]))
        return found

    def _keys_of(self, side: str) -> Iterable[tuple[str, str]]:
        return (found for scores in self._scores.values() for found in scores if found[0] == side)


@dataclass(frozen=True)
class CaseTexts:
    """The request of a case and its reference answer, which is None if there is none."""

    request: list[ShownMessage]
    reference: list[ShownMessage] | None = None


def case_texts(
    store: RunStore, answers: Mapping[str, Mapping[str, Sequence[RunRow]]]
) -> dict[str, CaseTexts]:
    """Return the texts of cases: those of their examples, or of an answer's run if one is gone."""
    found = {}
    for example in store.examples.all(ids=list(answers), limit=len(answers)):
        inputs, outputs = orjson.loads(orjson.dumps([example["inputs"], example["outputs"]]))
        found[example["id"]] = CaseTexts(read_values(inputs), outputs and read_values(outputs))
    for example_id in answers.keys() - found:
        rows = [row for side in answers[example_id].values() for row in side]
        found[example_id] = CaseTexts(read_values(field_of(rows[0], "inputs") if rows else None))
    return found


def answer_of(row: RunRow) -> list[ShownMessage]:
    """Return the outputs of an answer."""
    return read_values(field_of(row, "outputs"))


def metadata_of(comparison: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what the comparison's creator noted about it."""
    noted = mapping(mapping(comparison["extra"]).get("metadata"))
    return [(name, str(value)) for name, value in noted.items()]


def _sides(experiments: Sequence[Mapping[str, Any]]) -> list[tuple[str, Mapping[str, Any]]]:
    return [("old", experiments[0]), ("new", experiments[-1])]


def _summary(key: str, lines: Iterable[CaseLine]) -> EvaluatorSummary | None:
    scored = [line for line in lines if line.difference is not None]
    if not scored:
        return None
    outcomes = [line.outcome for line in scored]
    return EvaluatorSummary(
        key,
        statistics.fmean(line.old or 0.0 for line in scored),
        statistics.fmean(line.new or 0.0 for line in scored),
        outcomes.count("won"),
        outcomes.count("lost"),
        outcomes.count("tied"),
    )
