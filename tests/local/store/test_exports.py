"""Exports of runs: the files, the round trip to training examples, and what goes wrong."""

import datetime as dt
import json
import time
from pathlib import Path
from uuid import uuid4

import httpx
import pyarrow.parquet as pq
import pytest

from langchain_finetune import Convert, LangSmithRunChatLoader, RunFileChatLoader
from langchain_finetune.local import sqlite_readers
from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.store import RunStore, exports
from langchain_finetune.local.store.export_rows import COLUMNS
from support.runs import ANSWER, SENT, TOOL
from support.store import NOON, bulk, record, say

DAY = 24 * 3600
PACKED = [("Parquet", "gzip"), ("Parquet", "zstandard"), ("JSONL", "none")]
PACKED += [("JSONL", "gzip"), ("JSONL", "zstandard"), ("Parquet", "snappy"), ("Parquet", "none")]


def ended(server, export_id):
    """Return an export once it is no longer worked on."""
    deadline = time.monotonic() + 60
    while True:
        found = httpx.get(f"{server.url}/bulk-exports/{export_id}").json()
        if found["status"] not in {"Created", "Running"}:
            return found
        assert time.monotonic() < deadline
        time.sleep(0.01)


def exported(server, project, **asked):
    body = {"session_id": str(project), **asked}
    answer = httpx.post(f"{server.url}/api/v1/bulk-exports", json=body)
    assert answer.status_code == 200, answer.text
    return ended(server, answer.json()["id"])


@pytest.fixture
def project(client):
    """A project with runs on two days, with tools, feedback and an error."""
    for day, question in enumerate(["Tea?", "More?"]):
        root, _ = record(
            client,
            question,
            "White.",
            at=day * DAY,
            inputs={"messages": [SENT]},
            outputs={"generations": [[{"text": "", "message": ANSWER}]]},
            extra={"invocation_params": {"tools": [TOOL]}, "metadata": {"thread_id": "t"}},
            tags=["web"],
        )
        record(client, f"Again {day}?", "Yes.", at=day * DAY + 60)
    record(client, "Fails?", "?", at=DAY + 99, error="no tea")
    client.flush()
    say(client, root, "user_score", score=1)
    return client.read_project(project_name="app").id


@pytest.mark.parametrize(("kind", "compression"), PACKED)
def test_an_export_gives_the_examples_that_the_store_gives(
    client, server, project, kind, compression
):
    made = exported(server, project, format=kind, compression=compression)
    assert (made["status"], made["exported_runs"], made["error"]) == ("Completed", 10, None)
    loader = LangSmithRunChatLoader(project_name="app", client=client)
    expected = list((loader | Convert()).invoke({}))
    found = list((RunFileChatLoader(made["folder"]) | Convert()).invoke({}))
    assert len(expected) == 4
    # The store gives the newest first, files begin with the oldest.
    assert found == expected[::-1]
    assert found[0]["tools"] == [TOOL]


def test_files_lie_in_folders_of_days(client, server, project):
    made = exported(server, project)
    folder = Path(made["folder"])
    assert folder.parent == server.store.exports.folder
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.parquet"))
    tenant = client._get_tenant_id()
    root = f"tenant_id={tenant}/session_id={project}/runs/year=2026/month=11"
    assert files == [f"{root}/day=01/runs.parquet", f"{root}/day=02/runs.parquet"]
    assert folder.name == f"export_id={made['id']}"
    [destination] = httpx.get(f"{server.url}/bulk-exports/destinations").json()
    assert destination["config"]["prefix"] == str(folder.parent)
    assert made["bulk_export_destination_id"] == destination["id"]
    [listed] = httpx.get(f"{server.url}/bulk-exports").json()
    assert listed == made


def test_the_columns_are_those_of_a_bulk_export(client, server, project):
    folder = Path(exported(server, project)["folder"])
    paths = sorted(folder.rglob("*.parquet"))
    rows = [row for path in paths for row in pq.read_table(path).to_pylist()]
    assert set(rows[0]) == set(COLUMNS)
    llm = next(row for row in rows if row["run_type"] == "llm")
    assert json.loads(llm["extra"])["invocation_params"]["tools"] == [TOOL]
    assert (llm["start_time"], llm["tags"]) == (NOON + dt.timedelta(seconds=0.1), ["web"])
    assert (llm["is_root"], llm["session_id"], llm["thread_id"]) == (False, str(project), "t")
    rated = [row for row in rows if row["feedback_stats"]]
    assert [json.loads(row["feedback_stats"])["user_score"]["avg"] for row in rated] == [1.0]
    [failed] = [row for row in rows if row["error"]]
    assert (failed["status"], failed["error"]) == ("error", "no tea")


def test_only_what_is_asked_for_is_exported(client, server, project):
    begin = (NOON + dt.timedelta(days=1)).isoformat()
    made = exported(
        server,
        project,
        format="JSONL",
        compression="none",
        start_time=begin,
        filter='and(eq(run_type, "llm"), eq(status, "success"))',
        export_fields=["id", "inputs", "outputs", "extra"],
    )
    assert made["exported_runs"] == 2
    [path] = Path(made["folder"]).rglob("*.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [set(line) for line in lines] == [{"id", "inputs", "outputs", "extra"}] * 2
    assert exported(server, project, end_time=NOON.isoformat())["exported_runs"] == 0


def test_many_runs_go_through_in_bounded_groups(client, server, monkeypatch):
    monkeypatch.setattr(exports, "_PAGE", 7)
    monkeypatch.setattr("langchain_finetune.local.store.export_rows._GROUP_ROWS", 10)
    bulk(client, 45)
    project = client.read_project(project_name="app").id
    made = exported(server, project)
    [path] = Path(made["folder"]).rglob("*.parquet")
    with pq.ParquetFile(path) as file:
        groups = [file.metadata.row_group(number) for number in range(file.num_row_groups)]
        ids = {row["id"] for row in file.read(columns=["id"]).to_pylist()}
    assert [group.num_rows for group in groups] == [10, 10, 10, 10, 5]
    assert (made["exported_runs"], len(ids)) == (45, 45)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ([], 400),
        ({}, 400),
        ({"session_id": "app"}, 400),
        ({"session_id": str(uuid4())}, 404),
        ({"format": "CSV"}, 400),
        ({"format": "JSONL", "compression": "snappy"}, 400),
        ({"compression": "zip"}, 400),
        ({"start_time": "noon"}, 400),
        ({"filter": "eq("}, 400),
        ({"filter": 'eq(colour, "red")'}, 400),
        ({"export_fields": ["inputs", "../x"]}, 400),
        ({"interval_hours": 1}, 400),
        ({"folder": "/tmp/x"}, 400),
        ({"bulk_export_destination_id": str(uuid4())}, 404),
    ],
)
def test_malformed_exports_are_refused(client, server, project, body, status):
    if body and "session_id" not in body:
        body = {"session_id": str(project), **body}
    answer = httpx.post(f"{server.url}/bulk-exports", json=body)
    assert answer.status_code == status, answer.text
    assert httpx.get(f"{server.url}/bulk-exports").json() == []
    assert httpx.get(f"{server.url}/bulk-exports/{uuid4()}").status_code == 404
    assert httpx.post(f"{server.url}/bulk-exports/destinations", json={}).status_code == 400


def test_an_export_that_fails_says_so_and_leaves_nothing(
    client, server, project, monkeypatch, caplog
):
    def full():
        raise ApiError(507, "The disk is full.")

    real = server.store.exports._write_files

    def breaks(record, part):
        real(record, part)
        full()

    monkeypatch.setattr(server.store.exports, "_write_files", breaks)
    made = exported(server, project)
    assert (made["status"], made["error"], made["folder"]) == ("Failed", "The disk is full.", None)
    assert not list(server.store.exports.folder.glob(f"*{made['id']}*"))
    assert "White" not in caplog.text


def test_an_export_can_be_cancelled(client, server, project, monkeypatch):
    monkeypatch.setattr(exports, "_PAGE", 1)
    with server.store.exports._turn:
        body = {"session_id": str(project)}
        made = httpx.post(f"{server.url}/bulk-exports", json=body).json()
        url = f"{server.url}/bulk-exports/{made['id']}"
        assert httpx.patch(url, json={"status": "Running"}).status_code == 400
        assert httpx.patch(url, json={"status": "Cancelled"}).json()["status"] == "Cancelled"
    for thread in server.store.exports._threads:
        thread.join()
    assert httpx.get(url).json()["status"] == "Cancelled"
    assert not list(server.store.exports.folder.glob(f"*{made['id']}*"))


def test_what_an_engine_left_unfinished_is_begun_anew(tmp_path, monkeypatch):
    path = tmp_path / "runs.sqlite"
    store = RunStore(path)
    project = store.projects.ensure("app")
    store.exports._turn.acquire()
    made = store.exports.create({"session_id": project})
    (tmp_path / "exports" / f"export_id={made['id']}").mkdir(parents=True)
    monkeypatch.setattr(store.exports, "_threads", [])
    store.close()
    again = RunStore(path)
    deadline = time.monotonic() + 60
    while again.exports.get(made["id"])["status"] != "Completed":
        assert time.monotonic() < deadline
        time.sleep(0.01)
    again.close()


def test_an_export_whose_search_the_stop_ends_is_begun_anew(tmp_path, monkeypatch):
    store = RunStore(tmp_path / "runs.sqlite")
    project = store.projects.create({"name": "a"}, upsert=False)["id"]

    def ends(query):
        raise sqlite_readers.EngineStopsError

    monkeypatch.setattr(store.runs, "find", ends)
    made = store.exports.create({"session_id": project})
    for thread in store.exports._threads:
        thread.join()
    assert store.exports.get(made["id"])["status"] == "Running"
    store.close()
    again = RunStore(tmp_path / "runs.sqlite")
    for thread in again.exports._threads:
        thread.join()
    assert again.exports.get(made["id"])["status"] == "Completed"
    again.close()
