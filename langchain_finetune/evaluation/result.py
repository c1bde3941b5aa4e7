"""The result of a comparison, as data: cases with both answers, and what the scores show."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Verdict = Literal["pass", "fail", "too_few"]
"""`too_few`: the cases can't show it either way; the comparison says how many would."""


REASON = "reason"
"""Key of the comment that is the message of an answer's error."""


class _Data(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelAnswer(_Data):
    """One answer of one model to a case.

    Attributes:
        outputs: What the chain returned, as JSON data; None after an error.
        error: Class name of the error, if the chain failed.
        run_id: Id of the run in the experiment.
        latency_s: Seconds from the request to the whole answer.
        input_tokens: Tokens of all prompts of the run, if reported.
        output_tokens: Tokens of all answers of the run, if reported.
        cost_usd: Cost of the run, if the prices are known.
        scores: Scores by evaluator; a pass is 1.0, a failure 0.0. None if the evaluator failed.
        comments: Comments of the evaluators; of an answer that failed, `reason` is the error's
            message, and `error` what to do.
        unseen_calls: Tool calls for which the recording had no result.
    """

    outputs: Any = None
    error: str | None = None
    run_id: str | None = None
    latency_s: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None
    scores: dict[str, float | None] = Field(default_factory=dict)
    comments: dict[str, str] = Field(default_factory=dict)
    unseen_calls: int = 0


class ComparedCase(_Data):
    """A case, and the answers of both models; one answer for each repetition.

    Attributes:
        id: Id of the dataset's example.
        group: Conversation that the case belongs to; cases of one group are not independent.
        inputs: Inputs of the chain, as JSON data.
        reference: Reference outputs, as JSON data, if there are any.
        old: Answers of the old model.
        new: Answers of the new model.
    """

    id: str
    group: str
    inputs: Any = None
    reference: Any = None
    old: list[ModelAnswer] = Field(default_factory=list)
    new: list[ModelAnswer] = Field(default_factory=list)


class RefusedCase(_Data):
    """A case that was left out, such as one that the training saw.

    Attributes:
        id: Id of the dataset's example.
        reason: Why, in a sentence without text of the case.
    """

    id: str
    reason: str


class ExperimentLink(_Data):
    """A LangSmith experiment: the runs of one model over the dataset.

    Attributes:
        name: Its name, which is also that of its project.
        id: Its id.
        url: Where to look at it, if the server has such a page.
    """

    name: str
    id: str
    url: str | None = None


class ScoreDifference(_Data):
    """What the cases show about one evaluator: new minus old, averaged per case first.

    Attributes:
        evaluator: Key of the evaluator.
        cases: Number of cases that both models have a score for.
        groups: Number of independent groups among them.
        old: Mean score of the old model.
        new: Mean score of the new model.
        difference: `new - old`.
        low: Lower end of the two-sided interval of the difference.
        high: Upper end of the interval.
        confidence: Confidence of the interval, such as 0.95.
        wins: Cases in which the new model scores higher.
        losses: Cases in which it scores lower.
        ties: Other cases.
        left_out: Cases without a score of both models: the evaluator failed, or gave none, or the
            old model failed.
        old_errors: Answers of the old model that failed; they have no score.
        new_errors: Those of the new model; each has the lowest score.
        p_value: Two-sided p-value of "no difference".
        method: Name of the test, such as `exact McNemar` or `paired bootstrap by group`.
    """

    evaluator: str
    cases: int
    groups: int
    old: float
    new: float
    difference: float
    low: float
    high: float
    confidence: float = 0.95
    wins: int = 0
    losses: int = 0
    ties: int = 0
    left_out: int = 0
    old_errors: int = 0
    new_errors: int = 0
    p_value: float
    method: str


class RuleOutcome(_Data):
    """The outcome of one rule of a gate.

    Attributes:
        evaluator: Key of the evaluator.
        kind: `at_least`: not worse by more than a margin; `better`: better by more than it.
        bound: The difference that must be exceeded, such as -0.02.
        verdict: Whether it is shown.
        cases_needed: Cases that would probably show it, if they are too few.
        reason: A sentence with the numbers.
    """

    evaluator: str
    kind: Literal["at_least", "better"]
    bound: float
    verdict: Verdict
    cases_needed: int | None = None
    reason: str


class Decision(_Data):
    """The decision of a gate: that of its worst rule.

    Attributes:
        verdict: `pass` only if all rules passed; `fail` if one failed.
        rules: The outcome of each rule.
        confidence: Confidence of each decision after correcting for several rules.
    """

    verdict: Verdict
    rules: list[RuleOutcome]
    confidence: float = 0.95


class ComparisonData(_Data):
    """What a comparison of two models found; see `ComparisonResult` for its methods.

    Attributes:
        id: Id of the comparison, which is in the metadata of both experiments; on the server, that
            of the comparative experiment that links them.
        old: Name of the old model.
        new: Name of the new model.
        dataset: Name of the LangSmith dataset.
        dataset_id: Its id.
        old_experiment: The runs of the old model.
        new_experiment: The runs of the new model.
        url: Where to look at both experiments side by side, if the server has such a page.
        repetitions: Answers of each model to each case.
        cases: The cases with all answers, in the order of the dataset.
        differences: What each evaluator shows; the first one is the primary evaluator.
        refused: Cases that were left out.
        failed_evaluations: Number of answers for which an evaluator failed, by evaluator.
        notes: What else the reader should know, such as what could not be checked.
        decision: The decision of the gate that asked for the comparison, if one did.
    """

    id: str
    old: str
    new: str
    dataset: str
    dataset_id: str
    old_experiment: ExperimentLink
    new_experiment: ExperimentLink
    url: str | None = None
    repetitions: int = 1
    cases: list[ComparedCase] = Field(default_factory=list)
    differences: list[ScoreDifference] = Field(default_factory=list)
    refused: list[RefusedCase] = Field(default_factory=list)
    failed_evaluations: dict[str, int] = Field(default_factory=dict)
    notes: list[str] = Field(default_factory=list)
    decision: Decision | None = None
