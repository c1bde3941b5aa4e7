"""Chats from LangSmith's threads: whole conversations."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any

from langsmith import Client
from pydantic import Field

from langchain_finetune.dialects.messages import ReasoningPolicy
from langchain_finetune.dialects.untrusted import THREAD_KEYS, readable, thread_of
from langchain_finetune.errors import LoadError
from langchain_finetune.loaders.base import is_wanted
from langchain_finetune.loaders.conversations import join_calls
from langchain_finetune.loaders.feedback import require_known_keys
from langchain_finetune.loaders.filter_language import all_of, compare, in_thread
from langchain_finetune.loaders.langsmith_client import (
    reading,
    reading_client,
    request_json,
    status_of,
    v2_url,
)
from langchain_finetune.loaders.prefetch import PrefetchSource, in_order
from langchain_finetune.loaders.query import RunQuery
from langchain_finetune.loaders.query_loader import QueryLoader, take_conditions, updated
from langchain_finetune.loaders.reviews import Reviews
from langchain_finetune.loaders.run_reader import (
    NOT_SERVED,
    QueriedProjects,
    RunPage,
    RunReader,
    find_projects,
)
from langchain_finetune.loaders.run_requests import EPOCH, Run, RunRequest, choose_api, run_request
from langchain_finetune.loaders.runs import read_chats, skips_internal
from langchain_finetune.sessions import FineTuningSession, Skip

_PAGE = 100
"""Most threads in one response."""


def find_thread_ids(client: Client, query: RunQuery, projects: QueriedProjects) -> Iterator[str]:
    """Yield the ids of the threads with a matching trace, latest first, each once.

    They come from LangSmith's threads API if it has one, or else from the metadata of the root
    runs. Of the query, the conditions on traces and the time apply.

    Raises:
        LoadError: LangSmith can't be reached, or returns an error.
    """
    before = compare("lt", "start_time", query.end_time) if query.end_time else None
    has_thread = compare("in", "metadata_key", THREAD_KEYS)
    roots = RunRequest(
        project_ids=tuple(map(str, projects.ids)),
        run_type=None,
        is_root=True,
        filter=all_of([query.trace_condition(), before, has_thread]),
        tree_filter=query.tree_filter,
        start_time=query.start_time,
        end_time=query.end_time,
        light=True,
    )
    seen: set[str] = set()
    for thread_id in _listed(client, query, roots):
        if thread_id not in seen:
            seen.add(thread_id)
            yield thread_id


def _listed(client: Client, query: RunQuery, roots: RunRequest) -> Iterator[str]:
    info = client.info
    # Not every server with the threads API supports a condition on other runs of the trace.
    new = choose_api(info.version, info.instance_flags, roots) == "v2" and not query.tree_filter
    for project_id in roots.project_ids if new else ():
        cursor: str | None = None
        while True:
            try:
                with reading(client, "response to the thread query"):
                    answer = _page(client, query, project_id, cursor)
            except LoadError as error:
                if status_of(error) not in NOT_SERVED:
                    raise
                new = False
                break
            yield from (str(item["thread_id"]) for item in answer.get("items") or ())
            cursor = answer.get("next_cursor")
            if not cursor:
                break
    if not new:
        for page in RunReader(client).pages(roots):
            yield from filter(None, map(thread_of, page.runs))


def _page(client: Client, query: RunQuery, project_id: str, cursor: str | None) -> Any:
    body = {
        "project_id": project_id,
        # Without it the time range silently begins one day ago.
        "min_start_time": (query.start_time or EPOCH).isoformat(),
        "max_start_time": query.end_time and query.end_time.isoformat(),
        "filter": query.trace_condition(),
        "cursor": cursor,
        "page_size": _PAGE,
    }
    body = {key: value for key, value in body.items() if value is not None}
    return request_json(client, "POST", v2_url(client, "/threads/query"), body=body)


_BATCH = 64
"""Threads that are fetched concurrently and yielded in order."""


class LangSmithThreadChatLoader(QueryLoader):
    """Load whole conversations from LangSmith: one session per thread.

    A thread is all traces whose metadata has the same `session_id`, `thread_id` or
    `conversation_id`. If the app sends the history with each call, the session is the last call.
    Otherwise the calls are joined in order, and the session contains more than any one request.
    Calls with other instructions or tools, and regenerated answers, make separate sessions; so does
    what follows after the history was summarized, and a call as a person edited it.

    Args:
        thread_ids: Only these threads; their project must be set, too.
        client: LangSmith's client; by default one from the environment.
        query: A `RunQuery`; its fields may be passed as arguments instead. Conditions on the root
            run (`trace_filter`, `trace_error`, `feedback` on the root) and the time select
            threads: one matching trace selects the whole thread. Conditions on the run select
            calls in them. `sample` and `limit` count threads.
        where: Called with the JSON of each call; only calls for which it returns true are loaded.
        concurrency: Most threads that are fetched concurrently.
        strict: Raise a `LoadError` after the last session if a call was skipped.
        internal_calls: Also load calls that LangChain's agent middleware made for itself, such as
            for a summary; by default they are skipped as `internal_call`.
        reasoning: How to handle the models' reasoning: `drop` it, counted in
            `Sessions.notes["dropped_reasoning"]`, or `keep` it as `reasoning_content`.

    Example:
        ```python
        loader = LangSmithThreadChatLoader(
            project_name="support", feedback={"key": "solved", "at_least": 1}
        )
        ```
    """

    # An empty selection must not mean all threads.
    thread_ids: tuple[str, ...] | None = Field(default=None, min_length=1)
    client: Client | None = None
    where: Callable[[Run], bool] | None = None
    concurrency: int = Field(default=10, ge=1, le=32)
    internal_calls: bool = False
    reasoning: ReasoningPolicy = "drop"

    def __init__(
        self, client: Client | None = None, *, query: RunQuery | None = None, **settings: Any
    ) -> None:
        fields = {"client": client, "query": take_conditions(query, settings)}
        super().__init__(**fields, **settings)

    def read_sessions(
        self, overrides: dict[str, Any], skip: Callable[[Skip], None]
    ) -> Iterator[FineTuningSession]:
        """Yield the conversations of each thread; calls without a finished chat are skipped.

        Raises:
            LoadError: LangSmith can't be reached, rejects the key, or has no such project.
        """
        query = updated(self.query, overrides)
        if query.run_ids or query.trace_id or query.annotation_queue:
            raise LoadError("Threads can't be selected by run_ids, trace_id or annotation_queue.")
        if any(each.comparative_experiment for each in query.feedback):
            raise LoadError("Threads can't be selected by a comparison of experiments.")
        if not query.names_a_source():
            raise LoadError("No threads are selected: set project_name or project_id.")
        if self.client is None:
            self.client = reading_client()
        projects = find_projects(self.client, query)
        ids = self.thread_ids or find_thread_ids(self.client, query, projects)
        drawn = islice(filter(query.draws, ids), query.limit)
        reader = RunReader(self.client, query=query)
        found_any = False
        while some := list(islice(drawn, _BATCH)):
            found_any = True
            sources: list[PrefetchSource[list[RunPage]]] = [
                partial(_fetch, reader, query, projects, thread_id) for thread_id in some
            ]
            # Each source yields one item, so ids and pages match.
            for thread_id, pages in zip(
                some, in_order(sources, workers=self.concurrency), strict=True
            ):
                yield from self._conversations(thread_id, pages, skip)
        if not found_any:
            require_known_keys(self.client, projects.ids, query.feedback)

    def _conversations(
        self, thread_id: str, pages: list[RunPage], skip: Callable[[Skip], None]
    ) -> Iterator[FineTuningSession]:
        used: set[str] = set()
        keep = partial(is_wanted, where=self.where)
        runs = [found for page in pages for found in page.rated(keep, used)]
        if self.thread_ids and not any(page.runs for page in pages):
            skip(Skip(thread_id, "unknown_thread", "LangSmith has no llm run in this thread."))
        reviews = Reviews()
        calls: list[FineTuningSession] = []
        # The newest first, since a later call shows what people decided on an earlier one.
        runs.sort(key=lambda found: str(found[0].get("start_time")), reverse=True)
        for run, rating in runs:
            if not self.internal_calls and skips_internal(run, str(run["id"]), skip):
                continue
            read = partial(read_chats, run, rating, reviews, None, self.reasoning)
            calls += reversed(list(readable(str(run["id"]), read, skip)))
        calls.reverse()
        for session in readable(thread_id, partial(join_calls, calls), skip):
            session["source"] = {**session.get("source", {}), "thread_id": thread_id}
            yield session


def _fetch(
    reader: RunReader,
    query: RunQuery,
    projects: QueriedProjects,
    thread_id: str,
    stop: threading.Event,
) -> Iterator[list[RunPage]]:
    """Yield all calls of a thread, newest first, as one item."""
    # The whole thread, also outside of the time by which it was selected.
    calls = query.model_copy(update={"start_time": None, "end_time": None, "limit": None})
    request = replace(
        run_request(calls, projects.ids), trace_filter=in_thread(thread_id), tree_filter=None
    )
    if not stop.is_set():
        yield list(reader.pages(request))
