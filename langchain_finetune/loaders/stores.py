"""Base of the loaders of other trace stores, which select and rate as LangSmith's do."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from langchain_finetune.dialects.messages import ReasoningPolicy
from langchain_finetune.dialects.stored_trace import StoredTrace
from langchain_finetune.dialects.untrusted import readable
from langchain_finetune.errors import LoadError
from langchain_finetune.loaders.base import SessionLoader, is_wanted
from langchain_finetune.loaders.conversations import Folder
from langchain_finetune.loaders.feedback import Rating, ratings_of
from langchain_finetune.loaders.query import FeedbackCondition, Several, Time
from langchain_finetune.loaders.reviews import Reviews
from langchain_finetune.loaders.run_reader import RunPage
from langchain_finetune.loaders.run_requests import Run, trace_of
from langchain_finetune.loaders.runs import read_chats, skips_internal
from langchain_finetune.sessions import FineTuningSession, Skip


class StoreChatLoader(SessionLoader):
    """Base of the loaders of other trace stores: one session for each answer of a model.

    Attributes:
        client: The store's client; by default one from the environment.
        tags: Tags of the call or its trace; all must be present.
        feedback: Conditions on the scores of the call or its trace, as of `RunQuery`; all must be
            met.
        start_time: Calls that began at this time or later; UTC without an offset.
        end_time: Calls that began before this time.
        limit: Most calls, applied after all other conditions.
        where: Called with each call in the shape of LangSmith's run; only calls for which it
            returns true are loaded.
        calls: `all` loads every call. `last` skips calls that a later call of the same trace
            contains in its history, as `folded`.
        internal_calls: Also load calls that LangChain's agent middleware made for itself.
        reasoning: How to handle the models' reasoning: `drop` it, counted in
            `Sessions.notes["dropped_reasoning"]`, or `keep` it as `reasoning_content`.
    """

    client: Any = Field(default=None, repr=False)
    tags: Several[str] = ()
    feedback: Several[FeedbackCondition] = ()
    start_time: Time | None = None
    end_time: Time | None = None
    limit: int | None = Field(default=None, gt=0)
    where: Callable[[Run], bool] | None = None
    calls: Literal["all", "last"] = "all"
    internal_calls: bool = False
    reasoning: ReasoningPolicy = "drop"

    @model_validator(mode="after")
    def _check(self) -> Self:
        if sum(each.use_score for each in self.feedback) > 1:
            raise ValueError("only one feedback condition can have use_score")
        if any(each.comparative_experiment for each in self.feedback):
            raise ValueError("feedback of a comparative_experiment is LangSmith's only")
        if self.start_time and self.end_time and self.start_time >= self.end_time:
            raise ValueError("start_time must be before end_time")
        return self

    @abstractmethod
    def pages(self) -> Iterator[Iterable[StoredTrace]]:
        """Yield the traces in the time range, newest first, page by page.

        Raises:
            LoadError: The store can't be reached, rejects the key, or has no such project.
        """

    def read_sessions(
        self, overrides: dict[str, Any], skip: Callable[[Skip], None]
    ) -> Iterator[FineTuningSession]:
        """Yield one session for each answer; calls without a finished chat are skipped.

        Raises:
            LoadError: The store can't be reached, rejects the key, or has no such project.
        """
        loader = type(self)(**{**dict(self), **overrides}) if overrides else self
        folder = Folder() if loader.calls == "last" else None
        reviews = Reviews()
        selected = (
            (run, rating)
            for run, rating in loader._selected()  # noqa: SLF001 - its own
            if loader.internal_calls or not skips_internal(run, str(run["id"]), skip)
        )
        for run, rating in islice(selected, loader.limit):
            read = partial(read_chats, run, rating, reviews, folder, loader.reasoning)
            yield from readable(str(run["id"]), read, skip)

    def _selected(self) -> Iterator[tuple[Run, Rating]]:
        used: set[str] = set()
        for page in self.pages():
            traces = list(page)
            runs = [run for trace in traces for run in trace.runs]
            found = [each for trace in traces for each in trace.feedback]
            ratings = ratings_of(found, self.feedback, set(map(trace_of, runs)))
            by_id: dict[str, list[Mapping[str, Any]]] = {}
            for each in found:
                by_id.setdefault(each["run_id"], []).append(each)
            yield from RunPage(runs, ratings).rated(partial(self._keeps, feedback=by_id), used)

    def _keeps(self, run: Run, feedback: Mapping[str, list[Mapping[str, Any]]]) -> bool:
        return (
            set(self.tags) <= set(run.get("tags") or ())
            and all(
                any(
                    each["key"] == condition.key
                    and condition.is_met_by(each["score"], each["value"])
                    for each in feedback.get(
                        trace_of(run) if condition.on == "root" else str(run["id"]), ()
                    )
                )
                for condition in self.feedback
            )
            and is_wanted(run, self.where)
        )


def refused(store: str, error: Exception) -> LoadError:
    """Return the error that a store can't be read, without what it answered."""
    code = getattr(error, "status_code", None) or getattr(
        getattr(error, "response", None), "status_code", None
    )
    what = f"HTTP {code}" if code else type(error).__name__
    return LoadError(f"{store} can't be read: {what}. Check its address, key and project.")
