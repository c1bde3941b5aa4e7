"""Queries of runs, which can be stored as JSON. No I/O here."""

import datetime as dt
import hashlib
from collections.abc import Sequence
from operator import ge, gt, le, lt
from typing import Annotated, Any, Literal, Self, TypeVar
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from langchain_finetune.arguments import CheckedArguments
from langchain_finetune.loaders.filter_language import all_of, compare, metadata, one_of, same_row

_T = TypeVar("_T")


def in_utc(time: dt.datetime) -> dt.datetime:
    """Return a time with an offset; without one it is UTC."""
    return time.replace(tzinfo=dt.UTC) if time.tzinfo is None else time


def _several(value: object) -> object:
    return (value,) if isinstance(value, str | UUID | dict | BaseModel) else value


Time = Annotated[dt.datetime, AfterValidator(in_utc)]
"""A time; without an offset it is UTC, as in LangSmith."""

Several = Annotated[tuple[_T, ...], BeforeValidator(_several)]
"""One value or several."""


class FeedbackCondition(CheckedArguments):
    """A condition on feedback of users or evaluators, met by a single feedback.

    Attributes:
        key: The feedback's key, such as `user_score`.
        above: The score is greater than this.
        at_least: The score is this or greater.
        below: The score is less than this.
        at_most: The score is this or less.
        value: The value, of categorical feedback.
        on: Where the feedback is: on the root of the run's trace, where apps store user feedback,
            or on the run itself.
        use_correction: The feedback's `correction` replaces the run's answer; runs without one
            keep theirs. A correction on the root replaces the answer of the last of the trace's
            selected runs. Of several corrections the newest is used. The answer that it replaces
            becomes the session's `rejected`.
        use_score: The feedback's score, the mean of several, becomes the session's `score`. A
            score on the root applies to every selected run of its trace: if two traces differ
            after the same input, it shows which one was better. Only one condition can have it.
        comparative_experiment: Id of the comparison of experiments (pairwise annotation) of the
            scores; needs `use_score`. Only runs with such a score are loaded, and only runs that
            were compared with each other make pairs. Otherwise scores of comparisons are ignored.

    Example:
        >>> FeedbackCondition(key="user_score", above=0).condition()
        'and(eq(feedback_key, "user_score"), gt(feedback_score, 0.0))'
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: str = Field(min_length=1)
    above: float | None = Field(default=None, allow_inf_nan=False)
    at_least: float | None = Field(default=None, allow_inf_nan=False)
    below: float | None = Field(default=None, allow_inf_nan=False)
    at_most: float | None = Field(default=None, allow_inf_nan=False)
    value: str | None = None
    on: Literal["root", "run"] = "root"
    use_correction: bool = False
    use_score: bool = False
    comparative_experiment: UUID | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        bounds = (self.above, self.at_least, self.below, self.at_most, self.value)
        if self.comparative_experiment and (
            not self.use_score or any(b is not None for b in bounds)
        ):
            raise ValueError("comparative_experiment needs use_score, and allows no bounds")
        return self

    def is_met_by(self, score: Any, value: Any) -> bool:
        """Return whether a feedback of this key, with such a score or value, meets it.

        Example:
            >>> FeedbackCondition(key="user_score", at_least=1).is_met_by(1, None)
            True
        """
        if self.value is not None and self.value != value:
            return False
        bounds = ((gt, self.above), (ge, self.at_least), (lt, self.below), (le, self.at_most))
        return all(
            isinstance(score, int | float) and holds(score, bound)
            for holds, bound in bounds
            if bound is not None
        )

    def condition(self) -> str:
        """Return the condition in LangSmith's filter language."""
        bounds = {"gt": self.above, "gte": self.at_least, "lt": self.below, "lte": self.at_most}
        parts = [
            compare(operator, "feedback_score", bound)
            for operator, bound in bounds.items()
            if bound is not None
        ]
        if self.value is not None:
            parts.append(compare("eq", "feedback_value", self.value))
        return same_row(compare("eq", "feedback_key", self.key), parts)


class RunQuery(CheckedArguments):
    """Which `llm` runs of LangSmith to read; every condition must be met.

    Attributes:
        project_name: Name of the project, or several.
        project_id: Id of the project, or several.
        run_ids: Only these runs.
        trace_id: Only runs of this trace.
        run_name: Name of the run, such as `ChatOpenAI`, or several alternatives.
        model: The model, or several alternatives, as recorded by LangChain's tracer
            (`ls_model_name` in the metadata).
        tags: Tags of the run; all must be present.
        metadata: Metadata of the run; all must be present. LangSmith compares it as text.
        feedback: Conditions on the feedback of the run or its trace; all must be met.
        use_reference: In an experiment, the reference output of the dataset's example replaces
            the last answer of its trace, as a correction does; its newest version is used. The
            answer that it replaces becomes the session's `rejected`. Runs without a reference
            keep their answer.
        start_time: Runs that began at this time or later; UTC without an offset.
        end_time: Runs that began before this time.
        min_latency: Runs that took at least so many seconds.
        max_latency: Runs that took at most so many seconds.
        min_tokens: Runs with at least so many tokens, prompt and answer together.
        max_tokens: Runs with at most so many tokens.
        error: True: only failed runs; False: only others. Failed runs become skips.
        trace_error: True: only runs of failed traces; False: only those of successful ones.
        is_root: True: only runs without a parent.
        filter: More conditions on the run, in LangSmith's filter language.
        trace_filter: More conditions on the root run of its trace.
        tree_filter: Condition on any run of its trace.
        annotation_queue: Name or id of an annotation queue: the runs in it, and for a queued
            chain the `llm` runs below it.
        annotation_status: Only runs with this status in the queue.
        sample: Share of the traces to load, above 0 and at most 1. Whole traces are drawn by
            their id and the seed, so they are the same each time.
        seed: Seed of the sample.
        limit: Most runs, applied after all other conditions.

    Example:
        >>> query = RunQuery(project_name="app", feedback={"key": "user_score", "above": 0})
        >>> query.trace_condition()
        'and(eq(feedback_key, "user_score"), gt(feedback_score, 0.0))'
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    project_name: str | tuple[str, ...] | None = None
    project_id: UUID | tuple[UUID, ...] | None = None
    # An empty selection must not mean all runs.
    run_ids: tuple[UUID, ...] | None = Field(default=None, min_length=1)
    trace_id: UUID | None = None
    run_name: Several[str] = ()
    model: Several[str] = ()
    tags: Several[str] = ()
    metadata: dict[str, str | bool | int | float] = Field(default_factory=dict)
    feedback: Several[FeedbackCondition] = ()
    use_reference: bool = False
    start_time: Time | None = None
    end_time: Time | None = None
    min_latency: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    max_latency: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    min_tokens: int | None = Field(default=None, ge=0)
    max_tokens: int | None = Field(default=None, ge=0)
    error: bool | None = None
    trace_error: bool | None = None
    is_root: bool | None = None
    filter: str | None = None
    trace_filter: str | None = None
    tree_filter: str | None = None
    annotation_queue: str | UUID | None = None
    annotation_status: Literal["needs_my_review", "needs_others_review", "completed"] | None = None
    sample: float | None = Field(default=None, gt=0, le=1)
    seed: int = 0
    limit: int | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.annotation_status and not self.annotation_queue:
            raise ValueError("annotation_status needs an annotation_queue")
        if sum(each.use_score for each in self.feedback) > 1:
            raise ValueError("only one feedback condition can have use_score")
        if self.start_time and self.end_time and self.start_time >= self.end_time:
            raise ValueError("start_time must be before end_time")
        return self

    @property
    def project_names(self) -> tuple[str, ...]:
        """Names of the projects that are set by name."""
        names = self.project_name or ()
        return (names,) if isinstance(names, str) else names

    @property
    def project_ids(self) -> tuple[UUID, ...]:
        """Ids of the projects that are set by id."""
        ids = self.project_id or ()
        return (ids,) if isinstance(ids, UUID) else ids

    def names_a_source(self) -> bool:
        """Return whether it names projects, runs or a queue; LangSmith can't search everything."""
        places = (self.project_names, self.project_ids, self.run_ids, self.trace_id)
        return any((*places, self.annotation_queue))

    def run_condition(self) -> str | None:
        """Return the conditions on the run itself, in LangSmith's filter language."""
        parts = [self.filter]
        if self.run_name:
            parts.append(one_of("name", self.run_name))
        if self.model:
            parts.append(metadata("ls_model_name", self.model))
        parts += [compare("has", "tags", tag) for tag in self.tags]
        for key, value in self.metadata.items():
            # As in JSON: true, not True.
            text = str(value).lower() if isinstance(value, bool) else str(value)
            parts.append(metadata(key, [text]))
        bounds = (
            ("gte", "latency", self.min_latency),
            ("lte", "latency", self.max_latency),
            ("gte", "total_tokens", self.min_tokens),
            ("lte", "total_tokens", self.max_tokens),
            # Exact: for the APIs' own upper bounds it is undocumented whether they are included.
            ("lt", "start_time", self.end_time),
        )
        parts += [compare(*bound) for bound in bounds if bound[2] is not None]
        return all_of([*parts, *self._feedback_on("run")])

    def trace_condition(self) -> str | None:
        """Return the conditions on the root run of the trace, in LangSmith's filter language."""
        parts = [self.trace_filter]
        if self.trace_error is not None:
            parts.append(compare("eq", "status", "error" if self.trace_error else "success"))
        return all_of([*parts, *self._feedback_on("root")])

    def draws(self, trace_id: str) -> bool:
        """Return whether a trace belongs to the sample.

        Example:
            >>> half = RunQuery(sample=0.5)
            >>> sum(half.draws(str(number)) for number in range(1000))
            508
        """
        if self.sample is None:
            return True
        digest = hashlib.blake2b(f"{self.seed}:{trace_id}".encode(), digest_size=8).digest()
        return int.from_bytes(digest) < self.sample * 2**64

    def _feedback_on(self, place: str) -> Sequence[str]:
        # Whether LangSmith's filters see the scores of comparisons is not documented.
        conditions = [each for each in self.feedback if each.comparative_experiment is None]
        return [each.condition() for each in conditions if each.on == place]
