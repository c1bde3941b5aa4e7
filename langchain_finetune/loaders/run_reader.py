"""Fetching runs page by page with LangSmith's client."""

import datetime as dt
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from uuid import UUID

from langsmith import Client

from langchain_finetune.errors import LoadError
from langchain_finetune.loaders.feedback import (
    UNRATED,
    Rating,
    fetch_ratings,
    fetch_references,
    merged,
)
from langchain_finetune.loaders.langsmith_client import reading, request_bytes, status_of, v2_url
from langchain_finetune.loaders.prefetch import PrefetchSource, in_order
from langchain_finetune.loaders.query import RunQuery, in_utc
from langchain_finetune.loaders.run_pages import read_page
from langchain_finetune.loaders.run_requests import (
    IDS_PER_REQUEST,
    Api,
    Run,
    RunRequest,
    batches,
    choose_api,
    request_body,
    trace_of,
)
from langchain_finetune.loaders.time_windows import RUNS_PER_WINDOW, parts_below, rest_below

NOT_SERVED = frozenset({404, 405, 501})
"""Statuses of a server without the new API."""

_PART_PAGE = 2 * RUNS_PER_WINDOW
"""Runs per page if parts are fetched concurrently; the old API returns fewer."""

_AHEAD = 2
"""Most prefetched pages of a part."""


@dataclass(frozen=True)
class RunPage:
    """Some runs, and ratings by the id of the run or trace that they are for."""

    runs: Sequence[Run]
    ratings: Mapping[str, Rating]

    def rated(self, keep: Callable[[Run], bool], used: set[str]) -> Iterator[tuple[Run, Rating]]:
        """Yield the runs to keep, each with the rating of its answer.

        The better answer of a trace is for its last answer, that of the newest run to keep. The
        score of a trace applies to all its runs. `used` are the traces whose better answer was used
        already; it is updated.
        """
        for run in self.runs:
            if not keep(run):
                continue
            run_id, trace_id = str(run["id"]), trace_of(run)
            own = self.ratings.get(run_id, UNRATED)
            traces = self.ratings.get(trace_id, UNRATED)
            better = own.better
            if traces.better is not None:
                if better is None and trace_id not in used:
                    better = traces.better
                used.add(trace_id)
            scored = traces if own.score is None else own
            yield run, Rating(better, scored.score, scored.group)


@dataclass(frozen=True)
class QueriedProjects:
    """The projects of a query, and when the first of them was created (None if unknown)."""

    ids: tuple[UUID, ...]
    start_time: dt.datetime | None


def find_projects(client: Client, query: RunQuery) -> QueriedProjects:
    """Look up the projects of a query.

    Raises:
        LoadError: There is no project of that name, or LangSmith can't be read.
    """
    ids, starts = list(query.project_ids), []
    for name in query.project_names:
        with reading(client, f"project {name!r}"):
            project = client.read_project(project_name=name)
        ids.append(project.id)
        starts.append(project.start_time)
    known = starts and not query.project_ids
    return QueriedProjects(tuple(ids), min(map(in_utc, starts)) if known else None)


class RunReader:
    """Reads runs from the server's API: the new one, or else the old.

    At most `concurrency` parts of a query's time range are fetched concurrently, which share the
    client. The query determines which corrections, scores and references are fetched.
    """

    def __init__(self, client: Client, concurrency: int = 1, query: RunQuery | None = None) -> None:
        self._client = client
        self._concurrency = concurrency
        self._query = query or RunQuery()

    def pages(self, request: RunRequest, begin: dt.datetime | None = None) -> Iterator[RunPage]:
        """Yield the runs of a request, newest first, page by page.

        The next page is prefetched. If there are many, their time range is divided into parts,
        which are fetched concurrently and yielded in order. Few runs take one request. `begin` is
        the approximate start of the oldest run, if the request does not have it.

        Raises:
            LoadError: LangSmith can't be reached, or returns an error.
        """
        if len(request.run_ids) > IDS_PER_REQUEST:
            for ids in batches(request.run_ids):
                yield from self.pages(replace(request, run_ids=tuple(ids)))
            return
        rest: RunRequest | None = request
        while rest is not None:
            api, page, cursor = self._first(rest)
            if cursor is None:
                yield page
                return
            # With a page size of its own the caller wants few runs, and soon.
            divide = self._concurrency > 1 and rest.page_size is None
            parts = parts_below(rest, page.runs, rest.start_time or begin) if divide else []
            sources: list[PrefetchSource[RunPage]] = [partial(_single, page)]
            if parts:
                seen = frozenset(str(run["id"]) for run in page.runs)
                small = [replace(part, page_size=_PART_PAGE) for part in parts]
                sources += [partial(self._read, api, part, None, seen) for part in small]
                rest = rest_below(rest, parts)
            else:
                sources.append(partial(self._read, api, rest, cursor, frozenset()))
                rest = None
            ahead = _AHEAD if parts else 1
            yield from in_order(sources, workers=self._concurrency, ahead=ahead)

    def _first(self, request: RunRequest) -> tuple[Api, RunPage, str | None]:
        flags: Mapping[str, Any] = {}
        version = ""
        if request.project_ids:
            info = self._client.info
            flags, version = info.instance_flags or {}, info.version
        if choose_api(version, flags, request) == "v2":
            try:
                return "v2", *self._page("v2", request, None, None)
            except LoadError as error:
                # A newer LangSmith returns this status if the old API is gone.
                missing = status_of(error) in NOT_SERVED
                if not missing or flags.get("ch_query_enabled") is False:
                    raise
        try:
            return "v1", *self._page("v1", request, None, None)
        except LoadError as error:
            if request.project_ids or status_of(error) not in NOT_SERVED:
                raise
            raise LoadError(
                f"LangSmith at {self._client.api_url} finds runs only within a project: "
                "set project_name, too."
            ) from error

    def _read(
        self,
        api: Api,
        request: RunRequest,
        cursor: str | None,
        seen: frozenset[str],
        stop: threading.Event,
    ) -> Iterator[RunPage]:
        while not stop.is_set():
            page, cursor = self._page(api, request, cursor, stop)
            yield replace(page, runs=[run for run in page.runs if str(run["id"]) not in seen])
            if cursor is None:
                return

    def _page(
        self, api: Api, request: RunRequest, cursor: str | None, stop: threading.Event | None
    ) -> tuple[RunPage, str | None]:
        with reading(self._client, "response to the run query"):
            runs, cursor = self._answer(api, request, cursor, stop)
            ratings = fetch_ratings(self._client, runs, self._query.feedback, stop)
            if self._query.use_reference:
                references = fetch_references(self._client, self._roots(api, request, runs, stop))
                ratings = merged(references, ratings)
        return RunPage(runs, ratings), cursor or None

    def _roots(
        self, api: Api, request: RunRequest, runs: Sequence[Run], stop: threading.Event | None
    ) -> Iterator[Run]:
        """Yield the root runs of the traces of runs, without inputs and outputs."""
        known = {str(run["id"]): run for run in runs}
        traces = dict.fromkeys(map(trace_of, runs))
        yield from (known[trace] for trace in traces if trace in known)
        for batch in batches([trace for trace in traces if trace not in known]):
            roots = RunRequest(
                project_ids=request.project_ids, run_type=None, run_ids=tuple(batch), light=True
            )
            yield from self._answer(api, roots, None, stop)[0]

    def _answer(
        self, api: Api, request: RunRequest, cursor: str | None, stop: threading.Event | None
    ) -> tuple[list[Run], str | None]:
        path = "/runs/query" if api == "v1" else v2_url(self._client, "/runs/query")
        body = request_body(api, request, cursor)
        return read_page(api, request_bytes(self._client, "POST", path, body=body, stop=stop))


def _single(page: RunPage, stop: threading.Event) -> Iterator[RunPage]:
    del stop
    yield page
