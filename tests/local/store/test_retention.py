"""How long runs stay and how much room they take; what happens where there is none."""

import datetime as dt
import logging
import shutil
import sqlite3
import time
from uuid import uuid4

import pytest
from langsmith.run_trees import RunTree
from langsmith.utils import LangSmithError

from langchain_finetune.errors import EngineError
from langchain_finetune.local import sqlite
from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.store import Limits, RunStore, retention
from langchain_finetune.local.store.attachments import Attachment
from langchain_finetune.local.store.example_changes import ExampleChange
from langchain_finetune.local.store.retention import limits_of
from langchain_finetune.local.store.run_changes import run_change

MIB = 2**20
NOW = dt.datetime.now(dt.UTC)


def trace(store, days, *, size=10, files=()):
    """Keep a trace of a root and a child that is so many days old; return their ids."""
    root, child = str(uuid4()), str(uuid4())
    start = NOW - dt.timedelta(days=days)
    common = {"trace_id": root, "start_time": start.isoformat(), "session_name": "app"}
    stamp = f"{start:%Y%m%dT%H%M%S%f}Z"
    changes = [
        run_change(
            "post",
            {
                **common,
                "id": root,
                "name": "app",
                "run_type": "chain",
                "dotted_order": f"{stamp}{root}",
                "inputs": {"text": "x" * size},
            },
        ),
        run_change(
            "post",
            {
                **common,
                "id": child,
                "parent_run_id": root,
                "name": "llm",
                "run_type": "llm",
                "dotted_order": f"{stamp}{root}.{stamp}{child}",
            },
        ),
    ]
    store.runs.apply(changes, {child: files} if files else None)
    return root, child


def left(store):
    return {row["id"] for row in store._database.rows("SELECT id FROM runs")}


@pytest.fixture
def opened(tmp_path):
    """Open stores with limits; all are closed at the end."""
    stores = []

    def opening(**limits):
        stores.append(RunStore(tmp_path / "runs.sqlite", Limits(**limits)))
        return stores[-1]

    yield opening
    for store in stores:
        store.close()


def test_by_default_everything_stays(opened):
    store = opened()
    kept = trace(store, 10_000)
    assert store.retention.delete_old() == 0
    assert left(store) == set(kept)


def test_traces_that_are_too_old_go_whole(opened, caplog):
    caplog.set_level(logging.INFO, logger="langchain_finetune")
    store = opened()
    old = [trace(store, days) for days in (31, 40)]
    young = trace(store, 29)
    # One run of this trace is old, the other one is not.
    root, child = trace(store, 50)
    ended = (NOW - dt.timedelta(days=1)).isoformat()
    store.runs.apply([run_change("patch", {"id": child, "end_time": ended})])
    store.close()
    again = opened(days=30)
    again.retention.delete_old()
    assert left(again) == {*young, root, child}
    assert not left(again) & {run for ids in old for run in ids}
    assert "deleted its 2 oldest traces, with 4 runs: they were too old" in caplog.text
    assert old[0][0] not in caplog.text


def test_a_running_store_looks_by_itself(opened, monkeypatch):
    monkeypatch.setattr(retention, "_INTERVAL_S", 0.01)
    store = opened(days=1)
    trace(store, 2)
    deadline = time.monotonic() + 60
    while left(store):
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("on", ["root", "child"])
@pytest.mark.parametrize("work", ["feedback", "trace_feedback", "queue", "dataset"])
def test_what_people_worked_on_stays(opened, work, on):
    store = opened()
    worked_on, other = trace(store, 90), trace(store, 90)
    run_id = worked_on[on == "child"]
    if work == "feedback":
        store.feedback.add([{"run_id": run_id, "key": "user_score"}])
    elif work == "trace_feedback":
        store.feedback.add([{"run_id": str(uuid4()), "trace_id": worked_on[0], "key": "a"}])
    elif work == "queue":
        store.queues.add(store.queues.create({"name": "to check"})["id"], [run_id])
    else:
        dataset = store.datasets.create({"name": "teas"})["id"]
        change = ExampleChange(str(uuid4()), inputs="{}", source_run_id=run_id)
        store.examples.add(dataset, [change])
    store.close()
    again = opened(days=30)
    again.retention.delete_old()
    assert left(again) == set(worked_on)
    assert not left(again) & set(other)


def test_work_that_begins_meanwhile_is_seen(opened, monkeypatch):
    """A trace may get its first feedback after it was found to be the oldest."""
    store = opened()
    ids = trace(store, 90)
    store.close()
    monkeypatch.setattr(retention.Retention, "_delete_regularly", lambda _: None)
    again = opened(days=30)
    oldest = again.retention._oldest

    def meanwhile(before):
        for batch in oldest(before):
            again.feedback.add([{"run_id": ids[1], "key": "user_score"}])
            yield batch

    monkeypatch.setattr(again.retention, "_oldest", meanwhile)
    assert again.retention.delete_old() == 0
    assert left(again) == set(ids)


@pytest.mark.file
def test_the_store_keeps_its_size_and_gives_the_disk_its_room_back(opened, tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="langchain_finetune")
    store = opened()
    first = trace(store, 400)
    store.feedback.add([{"run_id": first[0], "key": "user_score"}])
    photo = [Attachment("photo", "image/png", bytes(MIB))]
    traces = [trace(store, 300 - number, size=MIB, files=photo) for number in range(20)]
    store.close()
    path = tmp_path / "runs.sqlite"
    before = path.stat().st_size
    assert before > 40 * MIB
    again = opened(size_bytes=20 * MIB)
    newest = trace(again, 0, size=MIB)
    assert path.stat().st_size < 21 * MIB
    ids = left(again)
    assert {*first, *newest} <= ids
    # The oldest went first, and no half of a trace is left.
    stay = [set(each) <= ids for each in traces]
    assert stay == sorted(stay)
    assert any(stay)
    assert not any(set(each) & ids for each, stays in zip(traces, stay, strict=True) if not stays)
    count = "SELECT (SELECT count(*) FROM blobs) AS blobs, (SELECT count(*) FROM attachments) AS n"
    counted = again._database.row(count)
    assert counted["blobs"] == counted["n"] == sum(stay)
    assert "it was full" in caplog.text


@pytest.mark.file
def test_what_is_deleted_by_hand_is_given_back_too(opened, tmp_path):
    store, path = opened(), tmp_path / "runs.sqlite"
    photo = [Attachment("photo", "image/png", bytes(4 * MIB))]
    trace(store, 0, files=photo)
    store.projects.delete(store.projects.ensure("app"))
    assert path.stat().st_size < MIB
    dataset = store.datasets.create({"name": "photos"})["id"]
    for _ in range(2):
        change = ExampleChange(str(uuid4()), inputs="{}", attachments=tuple(photo))
        store.examples.add(dataset, [change])
    store.examples.erase([change.id])
    assert 4 * MIB < path.stat().st_size < 5 * MIB
    store.datasets.delete(dataset)
    assert path.stat().st_size < MIB


@pytest.mark.file
def test_a_store_full_of_what_has_to_stay_refuses_more(opened):
    store = opened()
    for days in range(5):
        root, _ = trace(store, days, size=MIB)
        store.feedback.add([{"run_id": root, "key": "user_score"}])
    kept = left(store)
    store.close()
    again = opened(size_bytes=4 * MIB)
    with pytest.raises(ApiError, match="raise LCFT_MAX_RUNS_GIB") as refused:
        trace(again, 0)
    assert refused.value.status == 507
    assert left(again) == kept


@pytest.mark.file
def test_a_file_of_an_earlier_version_is_taken_over(tmp_path):
    path = tmp_path / "runs.sqlite"
    with sqlite3.connect(path) as connection:
        connection.executescript(
            "CREATE TABLE queues (id TEXT PRIMARY KEY, name TEXT NOT NULL, description TEXT,"
            " created_at INTEGER NOT NULL);"
            "CREATE TABLE projects (id TEXT PRIMARY KEY, name TEXT UNIQUE NOT NULL,"
            " start_time INTEGER NOT NULL, description TEXT, extra TEXT,"
            " reference_dataset_id TEXT);"
            "INSERT INTO queues VALUES ('8c7f0ac4-0000-4000-8000-000000000000', 'a', NULL, 1);"
        )
    connection.close()
    store = RunStore(path)
    [queue] = store.queues.all()
    assert (queue["name"], queue["rubric_items"]) == ("a", [])
    assert store._database.row("PRAGMA auto_vacuum") == {"auto_vacuum": 2}
    store.close()


def test_limits_come_from_the_environment():
    assert limits_of({}) == Limits()
    names = (retention.DAYS_VARIABLE, retention.SIZE_VARIABLE)
    found = limits_of(dict(zip(names, ("30", " 0.5 "), strict=True)))
    assert found == Limits(days=30, size_bytes=2**29)
    for name in names:
        for wrong in ("0", "-1", "many", "nan", "inf"):
            with pytest.raises(EngineError, match=name):
                limits_of({name: wrong})


def full(connection):
    """Leave SQLite no page to grow by; what it says then is what a full disk makes it say."""
    pages = connection.execute("PRAGMA page_count").fetchone()["page_count"]
    connection.execute(f"PRAGMA max_page_count = {pages}")


@pytest.mark.file
def test_nothing_of_what_the_disk_can_not_hold_is_kept(server, client, caplog):
    connection = server.store._database.connection
    kept = trace(server.store, 0)
    server.store._database.give_back()
    full(connection)
    try:
        photo = Attachment("photo", "image/png", bytes(MIB))
        with pytest.raises(ApiError) as refused:
            trace(server.store, 0, files=[photo])
        assert (refused.value.status, refused.value.code) == (507, "insufficient_disk_space")
        tea = {"text": "tea leaves" * (MIB // 4)}
        with pytest.raises(LangSmithError, match="disk of the run store is full"):
            client.create_run("app", tea, "chain", project_name="app")
        # A tracer in the background can only log it; it does not ask again and again.
        RunTree(name="app", inputs=tea, ls_client=client, project_name="app").post()
        client.flush()
        assert "disk of the run store is full" in caplog.text
        assert "tea leaves" not in caplog.text
    finally:
        connection.execute("PRAGMA max_page_count = 1073741823")
    assert left(server.store) == set(kept)
    more = trace(server.store, 0, files=[photo])
    assert left(server.store) == {*kept, *more}


@pytest.mark.file
def test_some_room_is_left_for_jobs(store, monkeypatch):
    usage = shutil.disk_usage("/")._replace(free=sqlite.KEPT_FREE_BYTES - 1)
    monkeypatch.setattr(sqlite.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(ApiError, match="disk of the run store is full"):
        trace(store, 0)
    assert left(store) == set()
