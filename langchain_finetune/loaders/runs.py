"""Chats from LangSmith's `llm` runs."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Any
from uuid import UUID

import orjson
from langsmith import Client
from langsmith.schemas import Run
from pydantic import ConfigDict, Field, ValidationError

from langchain_finetune.errors import LoadError
from langchain_finetune.loaders.base import SessionLoader, readable
from langchain_finetune.loaders.langsmith_client import reading, reading_client
from langchain_finetune.loaders.payloads.run import Reasoning, read_run
from langchain_finetune.loaders.query import RunQuery, batches, query_body
from langchain_finetune.sessions import FineTuningSession, Skip


class LangSmithRunChatLoader(SessionLoader):
    """Load chats from LangSmith's `llm` runs: one session for each answer, with its tools.

    Takes the place of `langchain_community.chat_loaders.langsmith.LangSmithRunChatLoader`. It
    reads what today's tracer writes, keeps tool calls and tools, and never revives run data.

    Args:
        runs: Run ids and `Run` objects (or their JSON), mixed; or None to use the query.
        client: LangSmith's client; by default one from the environment (`LANGSMITH_ENDPOINT`,
            `LANGSMITH_API_KEY`).
        query: Fields of `RunQuery`: `project_name`, `filter`, `trace_filter`, `limit`, ...
        reasoning: What becomes of the models' reasoning: `drop`, which a session's
            `source["dropped_reasoning"]` counts, or `keep`, as the message's
            `reasoning_content`.

    Attributes:
        runs: As given.
        client: As given; made when first needed.
        query: What to select where no runs are given.

    Example:
        ```python
        loader = LangSmithRunChatLoader(
            project_name="calculator",
            trace_filter='and(eq(feedback_key, "user_score"), gt(feedback_score, 0))',
        )
        for session in loader.lazy_load():
            print(session["messages"], session.get("tools"))
        ```
    """

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    # Run objects hold training text, which a repr would carry into logs.
    runs: Any = Field(default=None, repr=False)
    client: Client | None = None
    query: RunQuery = RunQuery()
    reasoning: Reasoning = "drop"
    _used_up: bool = False

    def __init__(
        self,
        runs: Iterable[str | UUID | Run | Mapping[str, Any]] | None = None,
        client: Client | None = None,
        *,
        query: RunQuery | None = None,
        **conditions: Any,
    ) -> None:
        chosen = {
            name: conditions.pop(name) for name in RunQuery.model_fields if name in conditions
        }
        query = _updated(query or RunQuery(), chosen)
        if runs is not None and query != RunQuery():
            raise LoadError("Give either runs or conditions to select them by, not both.")
        fields = {"runs": runs, "client": client, "query": query}
        super().__init__(**fields, **conditions)

    def read_sessions(
        self, overrides: dict[str, Any], skip: Callable[[Skip], None]
    ) -> Iterator[FineTuningSession]:
        """Yield one session for each answer of a run; runs that hold no finished chat are skipped.

        Raises:
            LoadError: LangSmith can't be reached, refuses the key, or knows no such project.
        """
        for run_id, run in self._runs(overrides):
            if run is None:
                skip(Skip(run_id, "unknown_run", "LangSmith has no llm run of this id."))
                continue
            yield from readable(run_id, partial(read_run, run, self.reasoning), skip)

    def _runs(self, overrides: dict[str, Any]) -> Iterator[tuple[str, Mapping[str, Any] | None]]:
        if self.runs is not None and not overrides:
            return self._given_runs()
        return self._queried_runs(_updated(self.query, overrides))

    def _given_runs(self) -> Iterator[tuple[str, Mapping[str, Any] | None]]:
        """Yield the given runs in order; ids are fetched in batches, each when its turn comes."""
        if iter(self.runs) is self.runs:
            if self._used_up:
                raise LoadError(
                    "The runs were given as an iterator, which is used up: give a list."
                )
            self._used_up = True
        waiting: list[str] = []
        for run in self.runs:
            if isinstance(run, str | UUID):
                waiting.append(str(run))
                continue
            yield from self._fetched(waiting)
            waiting = []
            data = vars(run) if isinstance(run, Run) else run
            yield str(data.get("id")), data
        yield from self._fetched(waiting)

    def _fetched(self, run_ids: list[str]) -> Iterator[tuple[str, Mapping[str, Any] | None]]:
        for batch in batches(run_ids):
            try:
                query = RunQuery(run_ids=tuple(UUID(run_id) for run_id in batch))
            except ValueError as error:
                raise LoadError(f"A run id is no UUID: one of {', '.join(batch)}.") from error
            found = {str(run["id"]): run for run in self._pages(query)}
            for run_id in batch:
                yield run_id, found.get(str(UUID(run_id)))

    def _queried_runs(self, query: RunQuery) -> Iterator[tuple[str, Mapping[str, Any]]]:
        if not query.names_a_source():
            raise LoadError(
                "Nothing says which runs to load: give runs, project_name, project_id or trace_id."
            )
        for run in islice(self._pages(query), query.limit):
            yield str(run.get("id")), run

    def _pages(self, query: RunQuery) -> Iterator[Mapping[str, Any]]:
        """Yield the runs of a query, page after page."""
        if self.client is None:
            self.client = reading_client()
        names = query.project_name or ()
        projects = query.project_id or ()
        ids = [projects] if isinstance(projects, UUID) else list(projects)
        for name in [names] if isinstance(names, str) else names:
            with reading(self.client, f"project {name!r}"):
                ids.append(self.client.read_project(project_name=name).id)
        body = query_body(query, ids)
        while True:
            with reading(self.client, "answer to the run query"):
                response = self.client.request_with_retries(
                    "POST", "/runs/query", request_kwargs={"data": orjson.dumps(body)}
                )
            page = orjson.loads(response.content)
            yield from page.get("runs") or ()
            cursor = (page.get("cursors") or {}).get("next")
            if not cursor:
                return
            body["cursor"] = cursor


def _updated(query: RunQuery, changes: dict[str, Any]) -> RunQuery:
    if not changes:
        return query
    try:
        return RunQuery.model_validate({**query.model_dump(exclude_none=True), **changes})
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(str(part) for part in fault["loc"])
        raise LoadError(f"The run query is not right at {place!r}: {fault['msg']}.") from error
