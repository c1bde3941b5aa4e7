"""Ratings of answers by feedback and references: corrections and scores."""

import statistics
import threading
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from langsmith import Client
from langsmith.utils import LangSmithError
from requests.exceptions import RequestException

from langchain_finetune.errors import LoadError
from langchain_finetune.loaders.langsmith_client import request_json
from langchain_finetune.loaders.query import FeedbackCondition
from langchain_finetune.loaders.run_requests import Run, batches

_IDS_PER_URL = 50
"""Proxies limit a URL to 8 kB or less."""

_PAGE = 100
"""Most feedback in one response."""


@dataclass(frozen=True)
class Rating:
    """The rating of an answer: a better one, from a correction or a reference, or a score."""

    better: Any = None
    score: float | None = None
    group: str | None = None
    """Ids of the score's comparisons; equal only for answers that were compared with each other."""


UNRATED = Rating()
"""No rating."""


def fetch_ratings(
    client: Client,
    runs: Sequence[Run],
    conditions: Sequence[FeedbackCondition],
    stop: threading.Event | None = None,
) -> dict[str, Rating]:
    """Return the ratings of runs from their feedback, by the run or trace that it is for.

    Feedback on the root is found by the trace's id. `stop` ends waiting.

    Raises:
        LangSmithError: The server returned an error.
    """
    found: dict[str, _Collected] = {}
    wanted = [each for each in conditions if each.use_correction or each.use_score]
    for condition in dict.fromkeys(wanted):
        name = "trace_id" if condition.on == "root" else "id"
        ids = sorted({str(run[name]) for run in runs if run.get(name)})
        for batch in batches(ids, _IDS_PER_URL):
            for feedback in _feedback(client, batch, condition, stop):
                found.setdefault(str(feedback.get("run_id")), _Collected()).add(feedback, condition)
    return {run_id: each.rating() for run_id, each in found.items()}


def ratings_of(
    feedback: Iterable[Mapping[str, Any]],
    conditions: Sequence[FeedbackCondition],
    traces: Container[str],
) -> dict[str, Rating]:
    """Return the ratings of runs from feedback that is here already, by the id that it is for.

    Feedback is on the root of a trace if its `run_id` is one of the traces' ids.
    """
    found: dict[str, _Collected] = {}
    for each in feedback:
        run_id = str(each.get("run_id"))
        for condition in conditions:
            is_on = (condition.on == "root") == (run_id in traces)
            if is_on and each.get("key") == condition.key:
                found.setdefault(run_id, _Collected()).add(each, condition)
    return {run_id: each.rating() for run_id, each in found.items()}


def fetch_references(client: Client, roots: Iterable[Run]) -> dict[str, Rating]:
    """Return the reference outputs of an experiment's traces, by the id of their root run.

    Raises:
        LangSmithError: The server returned an error.
    """
    given = {str(run["id"]): run.get("reference_example_id") for run in roots}
    examples = {trace_id: str(example_id) for trace_id, example_id in given.items() if example_id}
    outputs = {
        str(example.id): example.outputs
        for batch in batches(sorted(set(examples.values())), _IDS_PER_URL)
        for example in client.list_examples(example_ids=batch)
    }
    return {
        trace_id: Rating(better=reference)
        for trace_id, example_id in examples.items()
        if (reference := outputs.get(example_id))
    }


def require_known_keys(
    client: Client, project_ids: Iterable[UUID], conditions: Sequence[FeedbackCondition]
) -> None:
    """Explain that no run was found, where a key is one that no run of the projects has.

    It is not an error if the server does not list its keys: nothing is known then.

    Raises:
        LoadError: It is; the message names the keys that exist.
    """
    body = {"session": [str(each) for each in project_ids]}
    if not (body["session"] and conditions):
        return
    try:
        stats = request_json(client, "POST", "/runs/stats", body=body).get("feedback_stats")
    except (LangSmithError, RequestException):
        return
    known = sorted(stats or {})
    for key in (each.key for each in conditions):
        if key not in known:
            there = f"it has feedback of {', '.join(map(repr, known))}" if known else "it has none"
            raise LoadError(f"No run of the project has feedback of {key!r}; {there}.")


def merged(references: Mapping[str, Rating], feedback: Mapping[str, Rating]) -> dict[str, Rating]:
    """Return both merged; a correction takes precedence over a reference."""
    both = {**references, **feedback}
    for run_id in references.keys() & feedback.keys():
        if feedback[run_id].better is None:
            both[run_id] = replace(feedback[run_id], better=references[run_id].better)
    return both


@dataclass
class _Collected:
    """Feedback of one run."""

    corrections: list[tuple[str, Any]] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    groups: set[str] = field(default_factory=set)

    def add(self, feedback: Mapping[str, Any], condition: FeedbackCondition) -> None:
        if condition.use_correction and feedback.get("correction") is not None:
            self.corrections.append((str(feedback.get("modified_at")), feedback["correction"]))
        compared_in = condition.comparative_experiment and str(condition.comparative_experiment)
        score = feedback.get("score")
        if (
            condition.use_score
            and isinstance(score, int | float)
            and feedback.get("comparative_experiment_id") == compared_in
        ):
            self.scores.append(float(score))
            if compared_in and feedback.get("feedback_group_id"):
                self.groups.add(str(feedback["feedback_group_id"]))

    def rating(self) -> Rating:
        newest = max(self.corrections, key=lambda pair: pair[0], default=None)
        return Rating(
            better=newest and newest[1],
            score=statistics.fmean(self.scores) if self.scores else None,
            group=" ".join(sorted(self.groups)) or None,
        )


def _feedback(
    client: Client,
    run_ids: Sequence[str],
    condition: FeedbackCondition,
    stop: threading.Event | None,
) -> Iterator[Mapping[str, Any]]:
    params: dict[str, Any] = {"run": run_ids, "key": [condition.key], "limit": _PAGE, "offset": 0}
    if condition.comparative_experiment:
        params["comparative_experiment_id"] = str(condition.comparative_experiment)
    while True:
        page = request_json(client, "GET", "/feedback", params=params, stop=stop)
        yield from page
        if len(page) < _PAGE:
            return
        params["offset"] += len(page)
