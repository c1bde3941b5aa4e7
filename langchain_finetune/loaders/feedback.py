"""What feedback and references say of answers: better ones, and scores."""

import statistics
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from langsmith import Client

from langchain_finetune.loaders.langsmith_client import ask
from langchain_finetune.loaders.query import FeedbackCondition
from langchain_finetune.loaders.run_requests import Run, batches

_RUNS_PER_REQUEST = 50
"""The ids stand in the address, which proxies keep to 8 kB or less."""

_PAGE = 100
"""Most feedback in one answer."""

_EXAMPLES_PER_REQUEST = 50
"""Their ids stand in the address, too."""


@dataclass(frozen=True)
class Judgement:
    """What is said of an answer.

    Attributes:
        better: What it should have been, by a correction or a reference; or None.
        score: What it is worth, or None.
        group: Ids of the comparisons that the score was given in; only answers that were
            compared with each other have the same.
    """

    better: Any = None
    score: float | None = None
    group: str | None = None


UNJUDGED = Judgement()
"""Nothing is said."""


def fetch_judgements(
    client: Client,
    runs: Sequence[Run],
    conditions: Sequence[FeedbackCondition],
    stop: threading.Event | None = None,
) -> dict[str, Judgement]:
    """Return what the wanted feedback says of runs, by the id that it was given for.

    Args:
        client: Asks `GET /feedback`.
        runs: Whose feedback; that on the root is found by the trace's id.
        conditions: Those whose corrections or scores are wanted.
        stop: Ends the waiting.

    Raises:
        LangSmithError: The server refused.
    """
    found: dict[str, _Said] = {}
    wanted = [said for said in conditions if said.use_correction or said.use_score]
    for said in dict.fromkeys(wanted):
        name = "trace_id" if said.on == "root" else "id"
        ids = sorted({str(run[name]) for run in runs if run.get(name)})
        for batch in batches(ids, _RUNS_PER_REQUEST):
            for feedback in _feedback(client, batch, said, stop):
                found.setdefault(str(feedback.get("run_id")), _Said()).add(feedback, said)
    return {run_id: said.judgement() for run_id, said in found.items()}


def fetch_references(client: Client, roots: Iterable[Run]) -> dict[str, Judgement]:
    """Return the reference outputs of an experiment's traces, by the trace's id.

    Args:
        client: Lists examples by their ids.
        roots: Root runs; `reference_example_id` names the dataset's example that each ran on.

    Raises:
        LangSmithError: The server refused.
    """
    examples = {
        str(run["id"]): str(run["reference_example_id"])
        for run in roots
        if run.get("reference_example_id")
    }
    outputs = {}
    for batch in batches(sorted(set(examples.values())), _EXAMPLES_PER_REQUEST):
        for example in client.list_examples(example_ids=batch):
            outputs[str(example.id)] = example.outputs
    return {
        trace_id: Judgement(better=reference)
        for trace_id, example_id in examples.items()
        if (reference := outputs.get(example_id))
    }


def merged(
    references: Mapping[str, Judgement], feedback: Mapping[str, Judgement]
) -> dict[str, Judgement]:
    """Return what both say; a correction goes before a reference."""
    both = {**references, **feedback}
    for run_id in references.keys() & feedback.keys():
        if feedback[run_id].better is None:
            both[run_id] = replace(feedback[run_id], better=references[run_id].better)
    return both


@dataclass
class _Said:
    """Feedback of one run, as it comes."""

    corrections: list[tuple[str, Any]] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    groups: set[str] = field(default_factory=set)

    def add(self, feedback: Mapping[str, Any], said: FeedbackCondition) -> None:
        if said.use_correction and feedback.get("correction") is not None:
            self.corrections.append((str(feedback.get("modified_at")), feedback["correction"]))
        compared_in = said.comparative_experiment and str(said.comparative_experiment)
        score = feedback.get("score")
        if (
            said.use_score
            and isinstance(score, int | float)
            and feedback.get("comparative_experiment_id") == compared_in
        ):
            self.scores.append(float(score))
            if compared_in and feedback.get("feedback_group_id"):
                self.groups.add(str(feedback["feedback_group_id"]))

    def judgement(self) -> Judgement:
        newest = max(self.corrections, key=lambda pair: pair[0], default=None)
        return Judgement(
            better=newest and newest[1],
            score=statistics.fmean(self.scores) if self.scores else None,
            group=" ".join(sorted(self.groups)) or None,
        )


def _feedback(
    client: Client,
    run_ids: Sequence[str],
    said: FeedbackCondition,
    stop: threading.Event | None,
) -> Iterator[Mapping[str, Any]]:
    params: dict[str, Any] = {"run": run_ids, "key": [said.key], "limit": _PAGE, "offset": 0}
    if said.comparative_experiment:
        params["comparative_experiment_id"] = str(said.comparative_experiment)
    while True:
        page = ask(client, "GET", "/feedback", params=params, stop=stop)
        yield from page
        if len(page) < _PAGE:
            return
        params["offset"] += len(page)
