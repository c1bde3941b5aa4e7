"""The run store in a PostgreSQL server: what a file's tests can't say, and a core of theirs.

`scripts/test --postgres` runs all tests of the store, and those of the page, on such a server.
"""

import json
import logging
import random
import threading
import time
import uuid
from contextlib import closing

import orjson
import pytest
from langsmith import Client

from langchain_finetune.errors import EngineError
from langchain_finetune.local import sqlite_readers
from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.store import NO_LIMITS, Limits, RunStore
from langchain_finetune.local.store.run_changes import run_change
from langchain_finetune.local.store.run_queries import v1_query
from langchain_finetune.local.store.schema import open_store_file
from support.found_runs import found
from support.postgres_server import PASSWORD
from support.random_filters import random_filter, random_runs, written
from support.reference_filter import matches
from tests.local.conftest import running_engine

CASES = 150


@pytest.fixture(scope="module")
def postgres(postgres_session):
    if postgres_session is None:
        pytest.skip("no PostgreSQL server is installed (Debian's package postgresql)")
    return postgres_session


@pytest.fixture
def opened(postgres, tmp_path):
    """Open stores on one new database, each as an engine of its own."""
    address = postgres.address(postgres.create())
    stores = []

    def opening(limits=NO_LIMITS, address=address):
        home = tmp_path / f"home{len(stores)}"
        home.mkdir()
        stores.append(RunStore(home / "runs.sqlite", limits, server=address))
        return stores[-1]

    opening.address = address
    yield opening
    for store in stores:
        store.close()


def posted(store, run_id=None, **fields):
    run_id = run_id or str(uuid.uuid4())
    body = {"id": run_id, "name": "a", "run_type": "chain", "session_name": "app"} | fields
    store.runs.apply([run_change("post", body)])
    return run_id


def test_random_filters_find_what_the_reference_finds(opened):
    store, chance = opened(), random.Random(20261130)
    runs = random_runs(random.Random(7))
    store.runs.apply(run_change("post", run) for run in runs)
    store.feedback.add(said for run in runs for said in run["feedback"])
    telling = 0
    for _ in range(CASES):
        tree = random_filter(chance, runs)
        text = written(tree, chance)
        ids = found(store, filter=text)
        assert ids == {run["id"] for run in runs if matches(tree, run)}, text
        telling += 0 < len(ids) < len(runs)
    assert telling > CASES / 2


def test_letters_fold_as_in_python(opened):
    database = opened()._database
    chance = random.Random(3)
    # All that fold in some way, and a text with several.
    folding = [chr(c) for c in range(1, 0x1_1000) if chr(c).casefold() != chr(c)]
    folding += [chr(c) for c in range(0x1_0000, 0x1_F000) if chr(c).casefold() != chr(c)]
    texts = [*folding, *("".join(chance.choices(folding, k=9)) for _ in range(300)), "ΣΑΣ Straße"]
    for start in range(0, len(texts), 500):
        part = texts[start : start + 500]
        rows = database.rows(
            "SELECT casefold(entry.value) AS folded FROM json_each(?) AS entry",
            (orjson.dumps(part).decode(),),
        )
        assert [row["folded"] for row in rows] == [text.casefold() for text in part]


def test_numbers_are_written_as_json_writes_them(opened):
    chance = random.Random(4)
    written_numbers = [
        *("0", "-0", "-0.0", "1e3", "1E3", "0.1e1", "1.50", "100", "-7", "1e-400", "-1e-400"),
        *("18446744073709551615", "18446744073709551616", "-9223372036854775809"),
        *("1e15", "1e16", "123456789012345678", "0.00001", "0.000001", "1.25e-5", "5e-324"),
        *("1.7976931348623157e308", "12345.678", "1" + "0" * 40),
        *(repr(chance.uniform(-1, 1) * 10 ** chance.randint(-25, 25)) for _ in range(300)),
    ]
    data = "{" + ", ".join(f'"{n}": {text}' for n, text in enumerate(written_numbers)) + "}"
    rows = opened()._database.rows(
        "SELECT json_extract(leaf.value, '$[1]') AS text FROM json_each(leaves(?)) AS leaf", (data,)
    )
    expected = [orjson.dumps(each).decode() for each in orjson.loads(data).values()]
    assert sorted(row["text"] for row in rows) == sorted(expected)


def test_a_null_character_is_kept_in_json_and_found_as_a_replacement(opened):
    store = opened()
    told = {"text": "a\0b", "backslash": "c\\u0000"}
    run_id = posted(store, name="n\0", inputs=told, error="e\0")
    run = store.runs.get(run_id)
    assert json.loads(run.row["inputs"]) == told
    assert (run.row["name"], run.row["error"]) == ("n\ufffd", "e\ufffd")
    assert found(store, filter='search("A\ufffdB")') == {run_id}
    assert found(store, filter='search("a\0b")') == {run_id}
    assert found(store, filter=r'search(inputs, "c\\u0000")') == {run_id}
    assert found(store, filter='eq(input_value, "a\ufffdb")') == {run_id}
    assert found(store, filter=r'eq(input_value, "c\\u0000")') == {run_id}


def test_names_of_any_length_are_taken_in(opened):
    store = opened()
    long = "".join(random.Random(1).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=20_000))
    run_id = posted(store, name=long, run_type="llm", extra={"metadata": {"thread_id": long}})
    assert found(store, filter=f'eq(thread_id, "{long}")') == {run_id}
    with pytest.raises(ApiError, match="longer than the run store's server can keep") as refused:
        store.projects.ensure(long)
    assert refused.value.status == 400


def test_one_engine_sees_what_another_has_taken_in(opened):
    one, other = opened(), opened()
    run_id = posted(one, inputs={"tea": "white"})
    assert json.loads(other.runs.get(run_id).row["inputs"]) == {"tea": "white"}
    end = {"id": run_id, "outputs": {"cups": 2}, "end_time": "2026-11-01T12:00:00"}
    other.runs.apply([run_change("patch", end)])
    assert one.runs.get(run_id).row["status"] == "success"
    dataset = one.datasets.create({"name": "teas"})
    assert other.datasets.get(dataset["id"])["name"] == "teas"
    # An address that one signed is good at the other.
    assert one.attachments._key == other.attachments._key


def test_posts_and_patches_of_one_run_meet_at_two_engines(opened):
    stores = [opened(), opened()]
    ids = [str(uuid.uuid4()) for _ in range(40)]
    faults = []

    def take(store, kinds):
        try:
            for run_id in ids:
                for kind, fields in kinds:
                    store.runs.apply([run_change(kind, {"id": run_id} | fields)])
        except Exception as error:
            faults.append(error)
            raise

    post = {"name": "a", "run_type": "llm", "session_name": "app", "inputs": {"a": 1}}
    ends = [("patch", {"outputs": {"b": 2}}), ("patch", {"error": "late", "tags": ["x"]})]
    threads = [
        threading.Thread(target=take, args=(stores[0], [("post", post)])),
        threading.Thread(target=take, args=(stores[1], ends)),
        threading.Thread(target=take, args=(stores[1], [("post", post)])),
        threading.Thread(target=take, args=(stores[0], ends)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    for run_id in ids:
        row = stores[0].runs.get(run_id).row
        assert json.loads(row["inputs"]) == {"a": 1}
        assert json.loads(row["outputs"]) == {"b": 2}
        assert (row["error"], row["tags"], row["status"]) == ("late", '["x"]', "error")
    assert len(stores[0].projects.all(name="app")) == 1


def test_engines_that_start_at_once_make_the_tables_once(postgres, tmp_path):
    address = postgres.address(postgres.create())
    stores, faults = [], []

    def start(number):
        try:
            home = tmp_path / str(number)
            home.mkdir()
            stores.append(RunStore(home / "runs.sqlite", server=address))
        except EngineError as error:
            faults.append(error)

    threads = [threading.Thread(target=start, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    run_id = posted(stores[0])
    assert [store.runs.get(run_id).row["id"] for store in stores] == [run_id] * 6
    for store in stores:
        store.close()


def test_a_restart_of_the_server_is_survived_and_nothing_is_acknowledged_meanwhile(
    opened, postgres, caplog
):
    caplog.set_level(logging.DEBUG)
    store = opened()
    before = posted(store)
    assert found(store) == {before}
    postgres.stop()
    try:
        for ask in (lambda: posted(store, name="secret"), lambda: found(store)):
            with pytest.raises(ApiError) as refused:
                ask()
            assert (refused.value.status, refused.value.code) == (503, "run_store_unreachable")
    finally:
        postgres.start()
    assert found(store) == {before}
    after = posted(store)
    assert found(store) == {before, after}
    assert PASSWORD not in caplog.text
    assert "secret" not in caplog.text


def test_a_connection_that_is_cut_in_a_change_leaves_nothing_of_it(opened, postgres):
    store = opened()
    posted(store)
    ids = [str(uuid.uuid4()), str(uuid.uuid4())]

    def cut():
        with store.together():
            posted(store, ids[0])
            [row] = store._database.rows("SELECT pg_backend_pid() AS pid")
            with postgres.admin() as admin:
                admin.execute("SELECT pg_terminate_backend(%s)", (row["pid"],))
            posted(store, ids[1])

    with pytest.raises(ApiError) as refused:
        cut()
    assert refused.value.status == 503
    with pytest.raises(ApiError, match="There is no run"):
        store.runs.get(ids[0])
    kept = found(store)
    assert posted(store, ids[1]) not in kept
    assert found(store) == {*kept, ids[1]}


def test_a_change_that_another_engine_holds_up_is_asked_again(opened, monkeypatch):
    from langchain_finetune.local.store.postgres import connections

    one = opened()
    monkeypatch.setattr(connections, "_LOCK_MS", 50)
    other = opened()
    with one.together():
        with pytest.raises(ApiError) as refused:
            posted(other)
        assert (refused.value.status, refused.value.code) == (503, "database_locked")
    posted(other)


def test_a_search_that_takes_too_long_is_refused(opened, monkeypatch):
    from langchain_finetune.local.store.postgres import database

    store = opened()
    monkeypatch.setattr(sqlite_readers, "MAX_SEARCH_S", 1)
    monkeypatch.setattr(database, "_STEP_S", 1)
    with pytest.raises(ApiError) as refused:
        store._database.search("SELECT pg_sleep(30)")
    assert (refused.value.status, refused.value.code) == (400, "query_too_slow")
    # The next question of that connection has its whole time again.
    assert store._database.rows("SELECT 1 AS one") == [{"one": 1}]


def test_a_search_does_not_keep_the_engine_from_stopping(opened):
    store = opened()
    ended = []

    def search():
        with pytest.raises(ApiError) as refused:
            store._database.search("SELECT pg_sleep(30)")
        ended.append(refused.value)

    thread = threading.Thread(target=search)
    thread.start()
    while not store._database._readers._lent:
        time.sleep(0.01)
    time.sleep(0.1)
    started = time.monotonic()
    store.close()
    thread.join()
    assert time.monotonic() - started < 10
    assert [(error.status, error.code) for error in ended] == [(503, "engine_stops")]


def test_what_only_reads_can_change_nothing(opened):
    import psycopg

    database = opened()._database
    with pytest.raises((ApiError, psycopg.Error)) as refused:
        database.rows("DELETE FROM projects")
    assert refused.value.status == 503


def test_old_traces_go(opened):
    store = opened(Limits(days=30))
    old = posted(store, start_time="2020-01-01T00:00:00")
    kept = posted(store, start_time="2020-01-01T00:00:00")
    store.feedback.add([{"run_id": kept, "key": "good", "score": 1}])
    young = posted(store)
    store.retention.delete_old()
    assert found(store) == {kept, young}
    assert old not in found(store)


def test_a_bound_of_the_size_is_refused(opened):
    with pytest.raises(EngineError, match=r"LCFT_MAX_RUNS_GIB bounds a file.*LCFT_KEEP_RUNS_DAYS"):
        opened(Limits(size_bytes=2**30))


def test_a_newer_store_is_refused_in_a_sentence(opened, postgres):
    opened()
    with postgres.admin(opened.address.rpartition("/")[2]) as admin:
        admin.execute("UPDATE langchain_finetune.schema_version SET version = 99")
    with pytest.raises(EngineError, match=r"has version 99, and this version .* reads up to") as it:
        opened()
    assert PASSWORD not in str(it.value)


def test_a_database_of_another_encoding_is_refused(opened, postgres):
    name = postgres.create("ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    with pytest.raises(EngineError, match="has the encoding LATIN1"):
        opened(address=postgres.address(name))


def test_a_user_without_rights_is_told_which(opened, postgres):
    name = postgres.create()
    with postgres.admin() as admin:
        admin.execute("CREATE ROLE guest LOGIN PASSWORD 'guest'")
    with pytest.raises(EngineError, match="give it the right CREATE on the database"):
        opened(address=postgres.address(name, user="guest", password="guest"))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda it: it.replace("/store_", "/nowhere_"), "does not exist"),
        (lambda it: it.replace("s3cret", "wrongsecret"), "password authentication failed"),
        (lambda it: it.replace(it.partition("@127.0.0.1:")[2].partition("/")[0], "1"), "refused"),
    ],
)
def test_a_server_that_can_not_be_used_is_told_without_the_password(opened, change, told):
    address = change(opened.address)
    assert address != opened.address
    with pytest.raises(EngineError, match=told) as refused:
        opened(address=address)
    error = refused.value
    assert "at 127.0.0.1, port" in str(error)
    while error:
        assert "secret" not in str(error)
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize(
    "address",
    [
        "runs.sqlite",
        "mysql://me:secret@host/runs",
        "postgresql://me:secret%zz@host/runs",
        "postgresql://me:secret@host:port:secret/runs",
        "postgresql://me:secret@host/runs?nonsense=secret",
        "postgresql://me:un@secret@host/runs",
        "postgresql://me:12/secret@host/runs",
    ],
)
def test_an_address_that_is_none_is_refused_without_its_text(tmp_path, address):
    with pytest.raises(EngineError, match="must be like postgresql://user@host/database") as it:
        RunStore(tmp_path / "runs.sqlite", server=address)
    error = it.value
    while error:
        assert "secret" not in str(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


@pytest.mark.filterwarnings("ignore:list_runs")
def test_two_engines_serve_one_store(postgres, tmp_path):
    variables = {"LCFT_STORE": postgres.address(postgres.create())}
    with (
        running_engine(tmp_path / "a", variables=variables) as one,
        running_engine(tmp_path / "b", variables=variables) as other,
    ):
        run_id = uuid.uuid4()
        with closing(Client(api_url=one.url, api_key=one.key)) as client:
            client.create_run("app", {"tea": "white"}, "chain", id=run_id, project_name="app")
            client.flush()
        with closing(Client(api_url=other.url, api_key=other.key)) as client:
            client.update_run(run_id, outputs={"cups": 2})
            client.flush()
            [run] = client.list_runs(project_name="app")
        assert (run.id, run.inputs, run.outputs) == (run_id, {"tea": "white"}, {"cups": 2})
        assert PASSWORD not in one.log() + other.log()
    assert not (tmp_path / "a" / "runs.sqlite").exists()


def test_exports_are_of_the_engine_that_writes_them(opened, tmp_path):
    one, other = opened(), opened()
    posted(one)
    record = one.exports.create({"session_id": one.projects.ensure("app"), "format": "JSONL"})
    deadline = time.monotonic() + 30
    while one.exports.get(record["id"])["status"] in {"Created", "Running"}:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    done = one.exports.get(record["id"])
    assert (done["status"], done["exported_runs"]) == ("Completed", 1)
    assert other.exports.all() == []


def test_a_large_page_does_not_lie_in_memory(opened, monkeypatch):
    from langchain_finetune.local import sqlite

    store = opened()
    monkeypatch.setattr(sqlite, "MAX_PAGE_BYTES", 20_000)
    ids = {posted(store, inputs={"t": "x" * 10_000}) for _ in range(7)}
    asked = v1_query({"session": [store.projects.ensure("app")]})
    page = store.runs.find(asked)
    assert (len(page.runs), page.has_more) == (2, True)
    assert found(store, select=["inputs"]) == ids


def test_doctor_says_what_a_server_keeps(opened, postgres):
    from langchain_finetune.local.store.postgres.opening import server_state

    empty = server_state(postgres.address(postgres.create()))
    assert empty.startswith("PostgreSQL ")
    assert empty.endswith("; its tables are made when an engine starts")
    opened()
    told = server_state(opened.address)
    assert "tables of version 1 of 1" in told
    assert PASSWORD not in told


def test_both_kinds_of_database_have_the_same_columns(opened, tmp_path):
    """A migration of one must not be forgotten in the other."""
    with closing(open_store_file(tmp_path / "runs.sqlite")) as file:
        tables = [
            row["name"]
            for row in file.rows("SELECT name FROM sqlite_schema WHERE type = 'table'")
            if not row["name"].startswith("sqlite_")
        ]
        expected = {
            (table, column["name"])
            for table in tables
            for column in file.rows(f"PRAGMA table_info({table})")
            # What is a file's only: exports, and what its index is made of.
            if table not in {"exports", "signed_blocks", "signed_rows", "unsigned_runs"}
        }
    rows = opened()._database.rows(
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = ?",
        ("langchain_finetune",),
    )
    have = {(row["table_name"], row["column_name"]) for row in rows}
    assert have - {("queued_runs", "rowid"), ("schema_version", "version")} == expected
