"""What a comparison does, decided before a model is called; and its result, from the runs."""

import math
import re
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from langsmith import Client
from langsmith.schemas import Dataset, Example

from langchain_finetune.content import mapping
from langchain_finetune.convert.examples import Examples
from langchain_finetune.display.text import counted
from langchain_finetune.errors import CompareError, LoadError
from langchain_finetune.evaluation.answers import parsed, view
from langchain_finetune.evaluation.case_datasets import engine_page, ensure_cases, read_cases
from langchain_finetune.evaluation.cases import (
    cases_of,
    groups_of,
    repeated_requests,
    training_line,
    without_schema,
)
from langchain_finetune.evaluation.chains import (
    built,
    is_agent,
    metadata_of,
    model_name,
    takes_tools,
)
from langchain_finetune.evaluation.comparison import ComparisonResult
from langchain_finetune.evaluation.contamination import (
    check_left,
    refusals,
    seen_cases,
    sent_lines,
    training_file,
)
from langchain_finetune.evaluation.evaluators import default_evaluators
from langchain_finetune.evaluation.recording import Recording, replayed
from langchain_finetune.evaluation.result import (
    ComparedCase,
    ExperimentLink,
    ModelAnswer,
    RefusedCase,
)
from langchain_finetune.evaluation.scoring import watched
from langchain_finetune.evaluation.side import HINT, AppChain, ModelSide, check_tools
from langchain_finetune.evaluation.verdict import score_differences, unfit_notes
from langchain_finetune.home import home_path
from langchain_finetune.loaders.langsmith_client import reading


@dataclass(frozen=True)
class ComparisonPlan:
    """A comparison that can begin: its cases, both sides, the evaluators."""

    id: str
    client: Client
    dataset: Dataset
    examples: dict[str, Example]
    sides: tuple[ModelSide, ModelSide]
    repetitions: int
    refused: list[RefusedCase]
    notes: list[str] = field(default_factory=list)
    agent: bool = False

    def turns(self) -> Iterator[ModelSide]:
        """Yield whose turn it is to answer all cases: the new model's first, then the old one's.

        Raises:
            CompareError: All answers failed, or no case is left.
        """
        old, new = self.sides
        yield new
        new.check_answers()
        self._refuse_sent()
        yield old
        old.check_answers()

    def _refuse_sent(self) -> None:
        """Leave out the cases for which the new model got a request that its training saw."""
        new = self.sides[1]
        file = training_file(metadata_of(new.model), home_path())
        if file is None:
            return
        lines, unread = [], 0
        for name, each in self.examples.items():
            sent = new.requests.get(name, ())
            lines += [(name, line) for line in sent_lines(each, sent, agent=self.agent)]
            unread += not sent and training_line(each) is None
        if unread:
            told = "cases are not chats, and no chat model was asked: whether training saw them is"
            self.notes.append(f"{unread} {told} unchecked.")
        if lines:
            self.refused.extend(seen_cases(lines, file, agent=self.agent))
        for name in self.examples.keys() & {refused.id for refused in self.refused}:
            del self.examples[name]
        check_left(self.examples, len(self.refused), new.model)

    def name_of(self, side: ModelSide) -> str:
        """Return the name of a side's model."""
        return model_name(side.model)

    def metadata_of(self, side: ModelSide) -> dict[str, Any]:
        """Return the metadata of a side's experiment."""
        marks = {"model": self.name_of(side), "side": side.side, "comparison_id": self.id}
        lineage = ("job_id", "base_model", "training_sha256")
        known = metadata_of(side.model)
        return {**marks, **{name: known[name] for name in lineage if known.get(name)}}

    def counter(self, side: ModelSide) -> Callable[[], dict[str, Any]]:
        """Return a function that counts an answer, and returns the data of its event."""
        told = {
            "comparison_id": self.id,
            "side": side.side,
            "model": self.name_of(side),
            "total": len(self.examples) * self.repetitions,
        }
        done = count(1)  # Cases are answered in several threads.
        return lambda: {**told, "done": next(done)}


def make_plan(
    given: Mapping[str, Any],
    client: Client,
    *,
    app: AppChain,
    old: Any,
    evaluators: Sequence[Any] | None,
    repetitions: int,
    prices: Mapping[str, tuple[float, float]],
) -> ComparisonPlan:
    """Read or make the dataset, and check that everything fits; no model is called.

    Raises:
        CompareError: Something does not fit, or training saw all cases.
        LoadError: LangSmith can't be reached, or has no such dataset.
    """
    if not isinstance(given, Mapping) or not {"model", "data"} <= given.keys():
        raise CompareError('Compare takes {"model": a chat model, "data": cases}.')
    model, data = given["model"], given["data"]
    check_tools(app)
    agent = app.agent if app.agent is not None else _is_agent(app, model)
    dataset, examples = _dataset(client, data, agent=agent)
    refused, notes = refusals(examples, model, agent=agent)
    refused += [] if app.chain else without_schema(examples)
    out = {each.id for each in refused}
    kept = {str(each.id): each for each in examples if str(each.id) not in out}
    check_left(kept, len(refused), model)
    if repeated := repeated_requests(kept.values()):
        repeat = "repeats" if repeated == 1 else "repeat"
        notes.append(
            f"{counted(repeated, 'case')} {repeat} the request of another one. Conversations that "
            "consist of the same requests count as one."
        )
    chosen = list(evaluators) if evaluators is not None else default_evaluators(examples)
    if not chosen:
        raise CompareError(
            "Give Compare evaluators=[...] (--evaluator): the cases have no reference outputs that "
            "built-in ones could compare with."
        )
    if app.chain is None and _lack_their_format(kept.values()):
        repeat = "repeats" if repeated == 1 else "repeat"
        notes.append(
            "The recorded answers are JSON, but the response format of the requests is not known: "
            "without a chain, both models were asked without it."
        )
    sides = (
        ModelSide("old", old, app, kept, watched(chosen, None), prices.get(model_name(old))),
        ModelSide("new", model, app, kept, watched(chosen, 0), prices.get(model_name(model))),
    )
    for side in sides:
        side.check()
    return ComparisonPlan(
        id=str(uuid.uuid4()),
        client=client,
        dataset=dataset,
        examples=kept,
        sides=sides,
        repetitions=repetitions,
        refused=refused,
        notes=notes,
        agent=agent,
    )


def _lack_their_format(examples: Iterable[Example]) -> bool:
    return all(
        isinstance(parsed(view(each.outputs).text or "null"), dict)
        and not mapping(each.inputs).get("response_format")
        for each in examples
    )


def _is_agent(app: AppChain, model: Any) -> bool:
    if app.chain is None:
        return False
    with_tools = takes_tools(app.chain)
    tools = [replayed(app.tools, Recording([]))] if with_tools else []
    return is_agent(built(app.chain, model, *tools), with_tools=with_tools)


def _dataset(client: Client, data: Any, *, agent: bool) -> tuple[Dataset, list[Example]]:
    if isinstance(data, str):
        return read_cases(client, data)
    if not isinstance(data, Examples):
        raise CompareError(
            "data must be examples that Convert made, such as examples.part('test'), or the name "
            f"of a LangSmith dataset, not a {type(data).__name__}."
        )
    if data.split.asks_for("test"):
        data = data.part("test")
    cases = cases_of(data.rows(), agent=agent)
    if not cases:
        raise CompareError("There are no cases: the examples are empty.")
    return ensure_cases(client, cases)


def result_of(plan: ComparisonPlan) -> ComparisonResult:
    """Link both experiments, and return the result of their rows.

    Raises:
        CompareError: All answers of a model failed.
    """
    old, new = (_link(side.experiment, plan.dataset) for side in plan.sides)
    given = [_answers(side) for side in plan.sides]
    for side in plan.sides:
        side.check_answers()
    notes = _linked(plan, old, new)
    keys = _keys(plan, given)
    answers = [_scored(each, keys, failed) for each, failed in zip(given, (None, 0.0), strict=True)]
    groups = groups_of(plan.examples.values())
    cases = [
        ComparedCase(
            id=name,
            group=groups[name],
            inputs=example.inputs,
            reference=example.outputs,
            old=answers[0].get(name, []),
            new=answers[1].get(name, []),
        )
        for name, example in plan.examples.items()
    ]
    failed = Counter(
        key
        for side in answers
        for each in _all(side)
        for key, score in each.scores.items()
        if score is None and not each.error
    )
    url = engine_page(plan.client, plan.id) or (f"{old.url},{new.id}" if old.url else None)
    return ComparisonResult(
        id=plan.id,
        old=plan.name_of(plan.sides[0]),
        new=plan.name_of(plan.sides[1]),
        dataset=plan.dataset.name,
        dataset_id=str(plan.dataset.id),
        old_experiment=old,
        new_experiment=new,
        url=url,
        repetitions=plan.repetitions,
        cases=cases,
        differences=score_differences(cases, order=keys),
        refused=plan.refused,
        failed_evaluations=dict(failed),
        notes=[*plan.notes, *_notes(plan, answers), *unfit_notes(cases, keys), *notes],
    )


Answers = dict[str, list[ModelAnswer]]
"""The answers of a model by case."""


def _link(experiment: Any, dataset: Dataset) -> ExperimentLink:
    name, found = experiment.experiment_name, str(experiment.experiment_id)
    base = re.split("/(?:datasets|projects/p)/", experiment.url or "")[0]
    # The client doesn't know the address of a page on this machine.
    known = base and not base.startswith("http://localhost")
    url = f"{base}/datasets/{dataset.id}/compare?selectedSessions={found}" if known else None
    return ExperimentLink(name=name, id=found, url=url)


def _linked(plan: ComparisonPlan, old: ExperimentLink, new: ExperimentLink) -> list[str]:
    """Link both experiments; return a note if that failed, since the answers are paid for."""
    names = " and ".join(plan.name_of(side) for side in plan.sides)
    try:
        with reading(plan.client, "comparison"):
            plan.client.create_comparative_experiment(
                f"{names} {plan.id[:8]}",
                [old.id, new.id],
                reference_dataset=plan.dataset.id,
                metadata={"comparison_id": plan.id},
                id=plan.id,
            )
    except LoadError as error:
        return [f"The two experiments are not linked: {error}"]
    return []


def _answers(side: ModelSide) -> Answers:
    """Return the answers of a side with their outputs, and the scores that they were given."""
    found: Answers = defaultdict(list)
    for row in side.rows:
        case, run = str(row["example"].id), row["run"]
        if case not in side.examples:
            continue  # Left out once it had been answered.
        results = row["evaluation_results"]["results"]
        # One that never began was stopped.
        answer = side.answers.get(str(run.id)) or ModelAnswer(run_id=str(run.id), error="Stopped")
        if run.error and answer.error is None:
            # What the chain returned can't be stored.
            answer = side.answers[str(run.id)] = answer.model_copy(update={"error": "OutputError"})
        # Evaluators say nothing about an answer that failed.
        told = () if answer.error else results
        comments = {each.key: each.comment for each in told if each.comment}
        found[case].append(
            answer.model_copy(
                update={
                    "outputs": None if answer.error else run.outputs,
                    "scores": {each.key: _number(each) for each in results},
                    "comments": {**comments, **answer.comments},
                }
            )
        )
    return found


def _number(result: Any) -> float | None:
    score = result.score if result.score is not None else result.value
    # NaN and infinity are not scores.
    is_number = isinstance(score, bool | int | float) and math.isfinite(score)
    return float(score) if is_number else None


def _keys(plan: ComparisonPlan, answers: Sequence[Answers]) -> list[str]:
    """Return the keys of all scores, the primary evaluator's first."""
    pairs = zip(*(side.evaluators for side in plan.sides), strict=True)
    told = [key for pair in pairs for each in pair for key in each.keys]
    seen = [key for side in answers for each in _all(side) if not each.error for key in each.scores]
    return list(dict.fromkeys([*told, *seen]))


def _scored(answers: Answers, keys: Sequence[str], failed: float | None) -> Answers:
    """Return answers with a score, or None, by each evaluator; `failed` is that of an error."""

    def scores(answer: ModelAnswer) -> dict[str, float | None]:
        given = dict.fromkeys(keys, failed) if answer.error else answer.scores
        return {key: given.get(key) for key in keys}

    return {
        case: [each.model_copy(update={"scores": scores(each)}) for each in several]
        for case, several in answers.items()
    }


def _all(answers: Answers) -> list[ModelAnswer]:
    return [answer for several in answers.values() for answer in several]


def _notes(plan: ComparisonPlan, answers: Sequence[Answers]) -> list[str]:
    notes: list[str] = []
    for side, each in zip(plan.sides, answers, strict=True):
        given, told = _all(each), f"{plan.name_of(side)} ({side.side})"
        if errors := Counter(answer.error for answer in given if answer.error):
            treated = "count as 0" if side.side == "new" else "have no score"
            notes.append(
                f"{told}: {errors.total()} of {len(given)} answers failed and {treated}: "
                f"{_counts(errors)}."
            )
        if unseen := sum(answer.unseen_calls for answer in given):
            notes.append(
                f"{told}: {unseen} tool calls were not in the recording, and got an error as their "
                "result."
            )
        # An evaluator may have that name too, and its comments are texts of the cases.
        notes += sorted(
            {hint for each in given if each.error and (hint := each.comments.get(HINT))}
        )
    for pair in zip(*(side.evaluators for side in plan.sides), strict=True):
        if failed := Counter(place for each in pair for place in each.failures):
            keys = dict.fromkeys(key for each in pair for key in each.keys)
            notes.append(f"{', '.join(keys)} failed: {_counts(failed)}.")
    return list(dict.fromkeys(notes))


def _counts(found: Counter[str]) -> str:
    return ", ".join(f"{number} {name}" for name, number in found.most_common())
