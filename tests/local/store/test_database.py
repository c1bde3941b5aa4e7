"""The store's file: what is wrong with it, what it gives back, how much a page reads of it."""

import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from langchain_finetune.errors import EngineError
from langchain_finetune.local import sqlite, sqlite_readers
from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.store import Limits, RunStore, retention
from langchain_finetune.local.store.example_changes import ExampleChange
from langchain_finetune.local.store.run_changes import run_change
from langchain_finetune.local.store.schema import SCHEMA


def traced(store, count, size):
    """Keep so many runs with inputs of so many bytes; return their ids."""
    ids = [str(uuid4()) for _ in range(count)]
    body = {"name": "a", "run_type": "llm", "session_name": "app", "inputs": {"t": "x" * size}}
    store.runs.apply([run_change("post", body | {"id": each}) for each in ids])
    return ids


@pytest.mark.file
@pytest.mark.parametrize("content", [b"no database, but a text of some length" * 100, None])
def test_a_file_that_can_not_be_opened_is_named(tmp_path, content):
    path = tmp_path / "runs.sqlite"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(EngineError, match=r"runs\.sqlite can't be opened"):
        RunStore(path)


class _FullConnection(sqlite3.Connection):
    def execute(self, sql, *values):
        if sql == "VACUUM":
            with sqlite3.connect(":memory:") as full:
                full.execute("PRAGMA max_page_count = 1")
                full.execute("CREATE TABLE t (x)")
        return super().execute(sql, *values)


@pytest.mark.file
def test_an_old_file_opens_where_the_disk_has_no_room_to_write_it_anew(
    tmp_path, monkeypatch, caplog
):
    path = tmp_path / "runs.sqlite"
    with sqlite3.connect(path) as connection:
        connection.executescript(SCHEMA)
    connection.close()
    connect = sqlite3.connect
    with monkeypatch.context() as patched:
        patched.setattr(
            sqlite3, "connect", lambda *a, **k: connect(*a, **{"factory": _FullConnection} | k)
        )
        store = RunStore(path)
        store.close()
    assert "no room for a second run store" in caplog.text
    store = RunStore(path)
    assert store._database.row("PRAGMA auto_vacuum") == {"auto_vacuum": 2}
    store.close()


@pytest.mark.file
def test_room_goes_back_in_several_steps(store, tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite, "_PAGES_AT_ONCE", 10)
    traced(store, 100, 10_000)
    [project] = store.projects.all(name="app")
    store.projects.delete(project["id"])
    assert (tmp_path / "runs.sqlite").stat().st_size < 500_000
    assert store._database.row("PRAGMA freelist_count") == {"freelist_count": 0}


def test_old_runs_go_once_another_program_lets_the_file_be(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(retention, "_INTERVAL_S", 0.01)
    looked = threading.Event()
    delete_old = retention.Retention.delete_old

    def breaks_first(self):
        if not looked.is_set():
            looked.set()
            raise sqlite3.OperationalError("database is locked")
        return delete_old(self)

    monkeypatch.setattr(retention.Retention, "delete_old", breaks_first)
    store = RunStore(tmp_path / "runs.sqlite", Limits(days=1e-9))
    traced(store, 1, 10)
    waiting = threading.Event()
    for _ in range(3000):
        if not store._database.rows("SELECT 1 FROM runs"):
            break
        waiting.wait(0.01)
    assert not store._database.rows("SELECT 1 FROM runs")
    assert "could not be deleted: database is locked" in caplog.text
    store.close()


@pytest.mark.filterwarnings("ignore:list_runs")
def test_a_page_ends_where_it_would_hold_too_much(client, server, monkeypatch):
    ids = traced(server.store, 7, 10_000)
    monkeypatch.setattr(sqlite, "MAX_PAGE_BYTES", 20_000)
    assert {str(run.id) for run in client.list_runs(project_name="app")} == set(ids)
    assert len(list(client.list_runs(project_name="app", limit=4))) == 4
    queries = [path for _, path, _ in server.asked if path.endswith("/runs/query")]
    assert len(queries) == 4 + 2


def test_every_example_is_read_however_large_they_are(store, monkeypatch):
    monkeypatch.setattr(sqlite, "MAX_PAGE_BYTES", 1)
    dataset = store.datasets.create({"name": "teas"})["id"]
    ids = [str(uuid4()) for _ in range(5)]
    store.examples.add(dataset, [ExampleChange(each, inputs='{"tea": "white"}') for each in ids])
    assert [row["id"] for row in store.examples.each(dataset)] == ids


@pytest.mark.file
def test_a_search_does_not_keep_the_engine_from_stopping(tmp_path):
    store = RunStore(tmp_path / "runs.sqlite")
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
    with ThreadPoolExecutor() as pool:
        search = pool.submit(store._database.search, endless)
        started = time.monotonic()
        while not store._database._readers._used and not search.done():
            time.sleep(0.01)
        store.close()
        with pytest.raises(ApiError) as ended:
            search.result()
    assert ended.value.status == 503
    assert time.monotonic() - started < sqlite_readers.MAX_SEARCH_S
