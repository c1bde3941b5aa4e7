"""Chats from LangSmith's `llm` runs."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any, Literal
from uuid import UUID

import orjson
from langsmith import Client
from langsmith.schemas import Run as RunObject
from pydantic import Field

from langchain_finetune.dialects.agent_middleware import INTERNAL_KEYS, is_internal
from langchain_finetune.dialects.corrections import corrected
from langchain_finetune.dialects.fast_path import traced_line
from langchain_finetune.dialects.messages import ReasoningPolicy
from langchain_finetune.dialects.run import read_run
from langchain_finetune.dialects.untrusted import readable
from langchain_finetune.errors import LoadError
from langchain_finetune.loaders.annotation_queues import queued_runs
from langchain_finetune.loaders.base import is_wanted
from langchain_finetune.loaders.conversations import Folder, told_folded
from langchain_finetune.loaders.feedback import UNRATED, Rating, require_known_keys
from langchain_finetune.loaders.filter_language import all_of, one_of
from langchain_finetune.loaders.langsmith_client import reading_client
from langchain_finetune.loaders.query import RunQuery
from langchain_finetune.loaders.query_loader import QueryLoader, take_conditions, updated
from langchain_finetune.loaders.reviews import Reviews
from langchain_finetune.loaders.run_pages import RawRun
from langchain_finetune.loaders.run_reader import RunPage, RunReader, find_projects
from langchain_finetune.loaders.run_requests import V1_PAGE, Run, batches, run_request, trace_of
from langchain_finetune.messages import UnreadableChatError, WireMessages
from langchain_finetune.sessions import (
    FOLDED,
    INTERNAL,
    EncodedChat,
    FineTuningSession,
    Skip,
)

_INTERNAL = tuple(key.encode() for key in INTERNAL_KEYS)

Found = tuple[str, Run | None, Rating]
"""A run's id, its JSON (None if there is no such run), and the rating of its answer."""


class LangSmithRunChatLoader(QueryLoader):
    """Load chats from LangSmith's `llm` runs: one session for each answer, with its tools.

    Replaces `langchain_community.chat_loaders.langsmith.LangSmithRunChatLoader`. It reads the
    format of today's tracer, keeps tool calls and tools, and never deserializes objects.

    Args:
        runs: Run ids and `Run` objects (or their JSON), mixed; or None to use the query. With runs,
            only the project may be set in the query, in which the ids are searched: LangSmith's
            new API finds no run without it.
        client: LangSmith's client; by default one from the environment (`LANGSMITH_ENDPOINT`,
            `LANGSMITH_API_KEY`).
        query: A `RunQuery`; its fields may be passed as arguments instead: `project_name`,
            `feedback`, `tags`, `limit`, ...
        where: Called with each run's JSON; only runs for which it returns true are loaded.
        calls: `all` loads every call. `last` skips calls that a later call of the same trace
            contains in its history, so that no token of an agent is trained on twice; they are
            skipped as `folded`.
        concurrency: Most parts of a large query that are fetched concurrently; 1 fetches page by
            page. The order of the sessions is the same.
        strict: Raise a `LoadError` after the last session if a chat was skipped that is not
            folded.
        internal_calls: Also load calls that LangChain's agent middleware made for itself, such as
            for a summary; by default they are skipped as `internal_call`.
        reasoning: How to handle the models' reasoning: `drop` it, counted in a session's
            `source["dropped_reasoning"]`, or `keep` it as the message's
            `reasoning_content`.

    Calls of an agent that a person edited (`HumanInTheLoopMiddleware`) become the edited ones, with
    the model's own as `rejected`; an answer of which nothing was approved is skipped as
    `replaced_call`. The decision is seen if the agent's next call is loaded, too.

    Attributes:
        query: The query if no runs are given.

    Example:
        ```python
        loader = LangSmithRunChatLoader(
            project_name="calculator", feedback={"key": "user_score", "above": 0}
        )
        for session in loader.lazy_load():
            print(session["messages"], session.get("tools"))
        ```
    """

    # Run objects contain training text, which a repr would leak into logs.
    runs: Any = Field(default=None, repr=False)
    client: Client | None = None
    where: Callable[[Run], bool] | None = None
    calls: Literal["all", "last"] = "all"
    concurrency: int = Field(default=10, ge=1, le=32)
    internal_calls: bool = False
    reasoning: ReasoningPolicy = "drop"
    _used_up: bool = False

    def __init__(
        self,
        runs: Iterable[str | UUID | RunObject | Mapping[str, Any]] | None = None,
        client: Client | None = None,
        *,
        query: RunQuery | None = None,
        **settings: Any,
    ) -> None:
        query = take_conditions(query, settings)
        if isinstance(runs, str | Mapping):
            raise LoadError("runs must be a list, also for a single run.")
        project_only = RunQuery(project_name=query.project_name, project_id=query.project_id)
        if runs is not None and query != project_only:
            raise LoadError("Set either runs or conditions, not both.")
        fields = {"runs": runs, "client": client, "query": query}
        super().__init__(**fields, **settings)

    def read_sessions(
        self, overrides: dict[str, Any], skip: Callable[[Skip], None]
    ) -> Iterator[FineTuningSession]:
        """Yield one session for each answer of a run; runs without a finished chat are skipped.

        Raises:
            LoadError: LangSmith can't be reached, rejects the key, or has no such project, or no
                run because none has feedback of a key.
        """
        for chat in self._read(overrides, skip, encode=False):
            assert not isinstance(chat, EncodedChat)
            yield chat

    def read_encoded(
        self, overrides: dict[str, Any], skip: Callable[[Skip], None]
    ) -> Iterator[FineTuningSession | EncodedChat]:
        """Yield the chats of most runs as training lines, without parsing the runs."""
        encode = (self.calls, self.reasoning) == ("all", "drop")
        return self._read(overrides, skip, encode=encode)

    def _read(
        self, overrides: dict[str, Any], skip: Callable[[Skip], None], *, encode: bool
    ) -> Iterator[FineTuningSession | EncodedChat]:
        folder = Folder() if self.calls == "last" else None
        reviews = Reviews()
        for run_id, run, rating in self._found(overrides, skip):
            if run is None:
                reason = "LangSmith has no llm run with this id that meets the conditions."
                skip(Skip(run_id, "unknown_run", reason))
                continue
            if encode and isinstance(run, RawRun) and rating == UNRATED:
                line = traced_line(run.data)
                if line is not None and _stands(line, reviews):
                    yield line
                    continue
            read = partial(read_chats, run, rating, reviews, folder, self.reasoning)
            yield from readable(run_id, read, skip)

    def _found(self, overrides: dict[str, Any], skip: Callable[[Skip], None]) -> Iterator[Found]:
        def is_kept(found: Found) -> bool:
            run_id, run, _ = found
            if isinstance(run, RawRun) and not any(key in run.data for key in _INTERNAL):
                return True  # Most runs, without parsing them.
            return run is None or self.internal_calls or not skips_internal(run, run_id, skip)

        if self.runs is not None and not overrides:
            runs = self._given_runs()
            if self.calls == "last":
                runs = iter(sorted(runs, key=_newest_first, reverse=True))
            wanted = (found for found in runs if found[1] is None or self._is_wanted(found[1]))
            return filter(is_kept, wanted)
        query = updated(self.query, overrides)
        if not query.names_a_source():
            raise LoadError("No runs are selected: set runs, project_name, project_id or trace_id.")
        return islice(filter(is_kept, self._selected(query)), query.limit)

    def _given_runs(self) -> Iterator[Found]:
        """Yield the given runs in order; ids are fetched in batches when their turn comes."""
        if iter(self.runs) is self.runs:
            if self._used_up:
                raise LoadError("The runs were an iterator, which is exhausted: pass a list.")
            self._used_up = True
        waiting: list[str] = []
        for run in self.runs:
            is_id = isinstance(run, str | UUID)
            if not is_id or len(waiting) == V1_PAGE:
                yield from self._fetched(waiting)
                waiting = []
            if is_id:
                waiting.append(str(run))
                continue
            if not isinstance(run, RunObject | Mapping):
                raise LoadError(
                    f"Runs must be ids, Run objects or their JSON, not {type(run).__name__}."
                )
            data = vars(run) if isinstance(run, RunObject) else run
            yield str(data.get("id")), data, UNRATED
        yield from self._fetched(waiting)

    def _fetched(self, run_ids: list[str]) -> Iterator[Found]:
        for batch in batches(run_ids):
            try:
                ids = tuple(UUID(run_id) for run_id in batch)
            except ValueError as error:
                raise LoadError(f"A run id is not a UUID: one of {', '.join(batch)}.") from error
            query = self.query.model_copy(update={"run_ids": ids})
            found = {str(run["id"]): run for page in self._pages(query) for run in page.runs}
            for run_id, known_id in zip(batch, ids, strict=True):
                yield run_id, found.get(str(known_id)), UNRATED

    def _selected(self, query: RunQuery) -> Iterator[Found]:
        """Yield the selected runs with their ratings.

        Requested ids that do not exist come last, without a run.
        """
        missing = dict.fromkeys(map(str, query.run_ids or ()))
        used: set[str] = set()
        compared = any(each.comparative_experiment for each in query.feedback)
        found_any = False
        for page in self._pages(query):
            found_any = found_any or bool(page.runs)
            for run in page.runs:
                missing.pop(str(run["id"]), None)
            for run, rating in page.rated(
                lambda run: query.draws(trace_of(run)) and self._is_wanted(run), used
            ):
                if not compared or rating.score is not None:
                    yield str(run["id"]), run, rating
        for run_id in missing:
            yield run_id, None, UNRATED
        if not found_any and self.client is not None and query.feedback:
            require_known_keys(self.client, find_projects(self.client, query).ids, query.feedback)

    def _is_wanted(self, run: Run) -> bool:
        return is_wanted(run, self.where)

    def _pages(self, query: RunQuery) -> Iterator[RunPage]:
        """Yield the runs of a query, page by page."""
        if self.client is None:
            self.client = reading_client()
        projects = find_projects(self.client, query)
        # With a limit, do not fetch more than needed.
        concurrency = self.concurrency if query.limit is None else 1
        reader = RunReader(self.client, concurrency, query)
        request = run_request(query, projects.ids, all_count=self.where is None)
        if query.annotation_queue is None:
            yield from reader.pages(request, projects.start_time)
            return
        for queued in queued_runs(self.client, query):
            queued_request = replace(
                request,
                project_ids=request.project_ids or tuple(map(str, queued.project_ids)),
                trace_filter=all_of([request.trace_filter, one_of("id", queued.trace_ids)]),
                page_size=None,
            )
            for page in reader.pages(queued_request):
                yield replace(page, runs=[run for run in page.runs if queued.contains(run)])


def _stands(chat: EncodedChat, reviews: Reviews) -> bool:
    """Return whether people left the answer of a chat as it is; the reviews learn the chat."""
    if b'"tool_calls"' not in chat.line:
        return True
    session = FineTuningSession(
        messages=WireMessages(orjson.loads(chat.line)["messages"]), source=dict(chat.source)
    )
    try:
        reviews.learn(session)
        return reviews.applied(session) is session
    except UnreadableChatError:
        return False


def read_chats(
    run: Run,
    rating: Rating,
    reviews: Reviews,
    folder: Folder | None,
    reasoning: ReasoningPolicy,
) -> list[FineTuningSession]:
    """Return the chats of a run; with a better answer, the one chat that ends with it.

    A score does not apply to a better answer. The reviews, which learn the chats, replace calls as
    people did; the folder drops chats that a newer call contains.

    Raises:
        UnreadableChatError: The run has no finished chat, the better answer is not one, nothing of
            the answer was approved, or all chats were folded.
    """
    sessions = read_run(run, reasoning)
    if rating.better is not None:
        sessions = [corrected(sessions[0], rating.better)]
    elif rating.score is not None:
        for session in sessions:
            session["score"] = rating.score
            if rating.group:
                source = session.get("source", {})
                session["source"] = {**source, "feedback_group_id": rating.group}
    for session in sessions:
        reviews.learn(session)
    if rating.better is None:
        sessions = list(map(reviews.applied, sessions))
    if folder is not None:
        sessions = [each for each in sessions if not folder.folds(trace_of(run), each)]
        if not sessions:
            raise UnreadableChatError(FOLDED, told_folded("trace"))
    return sessions


def skips_internal(run: Run, run_id: str, skip: Callable[[Skip], None]) -> bool:
    """Return whether middleware made a call for itself, which then is a skip."""
    if is_internal(run):
        skip(Skip(run_id, INTERNAL, "An agent's middleware made this call for itself."))
        return True
    return False


def _newest_first(found: Found) -> str:
    start_time = (found[1] or {}).get("start_time") or ""
    return start_time if isinstance(start_time, str) else start_time.isoformat()
