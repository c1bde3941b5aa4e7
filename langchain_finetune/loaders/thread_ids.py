"""Which threads a query means."""

from collections.abc import Iterator
from typing import Any

from langsmith import Client

from langchain_finetune.dialects.untrusted import THREAD_KEYS, thread_of
from langchain_finetune.errors import LoadError
from langchain_finetune.loaders.filters import all_of, compare
from langchain_finetune.loaders.langsmith_client import ask, reading, status_of, v2_url
from langchain_finetune.loaders.query import RunQuery
from langchain_finetune.loaders.run_reader import NOT_SERVED, Projects, RunReader
from langchain_finetune.loaders.run_requests import EPOCH, RunRequest, choose_api

_PAGE = 100
"""Most threads in one answer."""


def find_thread_ids(client: Client, query: RunQuery, projects: Projects) -> Iterator[str]:
    """Yield the ids of the threads with a trace that fits, the latest first, each once.

    They come from LangSmith's threads API where it has one, or else from the metadata of the
    root runs.

    Args:
        client: LangSmith's client.
        query: Its conditions on traces count, and its time.
        projects: Where to look.

    Raises:
        LoadError: LangSmith can't be reached, or refuses.
    """
    roots = RunRequest(
        project_ids=tuple(map(str, projects.ids)),
        run_type=None,
        is_root=True,
        filter=_on_roots(query),
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
    # Not every server with the threads API takes a condition on other runs of the trace.
    new = choose_api(info.version, info.instance_flags, roots) == "v2" and not query.tree_filter
    for project_id in roots.project_ids if new else ():
        cursor: str | None = None
        while True:
            try:
                with reading(client, "answer to the thread query"):
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
        # Without it the window silently begins one day ago.
        "min_start_time": (query.start_time or EPOCH).isoformat(),
        "max_start_time": query.end_time and query.end_time.isoformat(),
        "filter": query.trace_condition(),
        "cursor": cursor,
        "page_size": _PAGE,
    }
    said = {key: value for key, value in body.items() if value is not None}
    return ask(client, "POST", v2_url(client, "/threads/query"), body=said)


def _on_roots(query: RunQuery) -> str | None:
    condition = query.trace_condition()
    has_thread = compare("in", "metadata_key", THREAD_KEYS)
    before = [compare("lt", "start_time", query.end_time)] if query.end_time else []
    return all_of([*([condition] if condition else []), *before, has_thread])
