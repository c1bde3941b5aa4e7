"""Searches that take long: nobody else waits for them, and they end."""

import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from uuid import uuid4

import httpx
import pytest

from langchain_finetune.local import sqlite_readers
from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.page.run_filter import RunFilter
from langchain_finetune.local.sqlite import Where
from langchain_finetune.local.store.run_changes import run_change

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
THREADS = 40
"""Those of anyio, which run the routes."""


def post(number, **more):
    body = {"name": "a", "run_type": "llm", "session_name": "app", "inputs": {"tea": "white"}}
    return [run_change("post", body | {"id": str(uuid4())} | more) for _ in range(number)]


def request(store):
    """Search as a request that came just now."""
    sqlite_readers.ASKED_AT.set(time.monotonic())
    return store._database.search(ENDLESS)


def reading(store):
    """How many searches go on in a file, or in a server."""
    readers = store._database._readers
    return len(readers._lent) if hasattr(readers, "_lent") else readers._used


@contextmanager
def searching(store, number=1):
    """Search without an end in so many threads; what they came to is read from the futures."""
    with ThreadPoolExecutor(number) as pool:
        searches = [pool.submit(request, store) for _ in range(number)]
        while reading(store) < number:
            time.sleep(0.01)
        try:
            yield searches
        finally:
            store._database.end_searches()


def test_nobody_waits_for_a_search(store):
    with searching(store, 3) as searches:
        store.runs.apply(post(10))
        [project] = store.projects.all(name="app")
        found = store.runs.find(RunFilter(kind="any").query([project["id"]])).runs
        assert len(found) == 10
        store.feedback.add([{"run_id": found[0].row["id"], "key": "user_score", "score": 1}])
        assert store.runs.get(found[0].row["id"]).stats["user_score"]["n"] == 1
        assert store.runs.stats(Where("TRUE"))["run_count"] == 10
        assert not any(search.done() for search in searches)
    assert [search.exception().status for search in searches] == [503] * 3


def test_a_search_sees_what_its_own_transaction_has_changed(store):
    with store.together():
        store.runs.apply(post(1))
        assert len(store._database.search("SELECT id FROM runs")) == 1
        with ThreadPoolExecutor() as pool:
            assert pool.submit(store._database.search, "SELECT id FROM runs").result() == []
    assert len(store._database.search("SELECT id FROM runs")) == 1


@pytest.mark.file
def test_what_reads_can_not_write(store):
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        store._database.rows("DELETE FROM projects")


@pytest.mark.file
def test_of_searches_that_take_long_few_go_on_at_once(store, monkeypatch):
    """The others pause, and are told so; a client asks again."""
    monkeypatch.setattr(sqlite_readers, "MAX_SEARCH_S", 5)
    monkeypatch.setattr(sqlite_readers, "SLOW_S", 0.02)
    number = sqlite_readers.SLOW_AT_ONCE + 2
    with searching(store, number) as searches:
        ends = [search.exception(timeout=60) for search in searches]
    codes = sorted(end.code for end in ends)
    slow = ["query_too_slow"] * sqlite_readers.SLOW_AT_ONCE
    assert codes == slow + ["searches_busy"] * 2
    assert {end.status for end in ends if end.code == "searches_busy"} == {503}


def test_the_time_of_a_search_counts_from_its_request(store):
    asked = sqlite_readers.ASKED_AT.set(time.monotonic() - sqlite_readers.MAX_SEARCH_S)
    try:
        with pytest.raises(ApiError) as ended:
            store._database.search(ENDLESS)
    finally:
        sqlite_readers.ASKED_AT.reset(asked)
    assert ended.value.code == "searches_busy"


def test_searches_leave_threads_to_those_who_trace(server, monkeypatch):
    let_go, find = threading.Event(), server.store.runs.find
    under_way = threading.Semaphore(0)

    def slow(query):
        under_way.release()
        assert let_go.wait(60)
        return find(query)

    server.store.runs.apply(post(1))
    [project] = server.store.projects.all(name="app")
    body = {"session": [project["id"]]}
    monkeypatch.setattr(server.store.runs, "find", slow)
    with httpx.Client(base_url=server.url, timeout=60, limits=httpx.Limits()) as client:
        with ThreadPoolExecutor(THREADS + 5) as pool:
            searches = [
                pool.submit(client.post, "/runs/query", json=body) for _ in range(THREADS + 5)
            ]
            try:
                assert under_way.acquire(timeout=60)
                run = {"id": str(uuid4()), "name": "a", "run_type": "llm", "session_name": "app"}
                # Threads that are free come first: those of the searches have time to take all.
                time.sleep(1)
                assert client.post("/runs", json=run, timeout=30).status_code == 202
                assert not any(search.done() for search in searches)
            finally:
                let_go.set()
        assert {search.result().status_code for search in searches} == {200}


@pytest.mark.file
def test_the_first_view_of_runs_reads_no_more_than_it_shows(store):
    """However many runs and projects there are."""
    for name in ("app", "other"):
        store.runs.apply(post(3000, session_name=name))
    ids = [project["id"] for project in store.projects.all()]
    looks = []
    with store._database._readers.one() as reader:
        reader.connection.set_progress_handler(lambda: looks.append(1), 100)
    for kind in ("traces", "any", "llm"):
        looks.clear()
        assert len(store.runs.find(RunFilter(kind=kind).query(ids)).runs) == 25
        # Hundreds of steps of SQLite's machine; sorting all of them takes 60,000.
        assert len(looks) < 50
