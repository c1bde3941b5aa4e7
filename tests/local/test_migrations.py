"""A database's versions: older files are migrated at once or not at all, newer ones refused."""

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from langchain_finetune.errors import EngineError
from langchain_finetune.local import documents
from langchain_finetune.local.sqlite import Database, run_script
from langchain_finetune.local.store import RunStore, schema


def _first(connection):
    run_script(connection, "CREATE TABLE t (x);\nINSERT INTO t VALUES (1);\n")


def _second(connection):
    run_script(connection, "ALTER TABLE t ADD COLUMN y;\nUPDATE t SET y = x + 1;\n")


def _third(connection):
    connection.execute("UPDATE t SET y = y * 10")


def version_of(path):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("PRAGMA user_version").fetchone()[0]


def test_each_migration_is_done_once_from_any_version(tmp_path):
    path = tmp_path / "a.sqlite"
    for migrations in ((_first,), (_first, _second), (_first, _second, _third)):
        for _ in range(2):
            with closing(Database(path, migrations)) as database:
                rows = database.rows("SELECT * FROM t")
            assert version_of(path) == len(migrations)
    assert rows == [{"x": 1, "y": 20}]
    with closing(Database(tmp_path / "new.sqlite", migrations)) as database:
        assert database.rows("SELECT * FROM t") == rows


def test_a_migration_that_fails_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "a.sqlite"
    Database(path, (_first,)).close()

    def broken(connection):
        run_script(connection, "DROP TABLE t;\nSELECT * FROM missing;\n")

    with pytest.raises(EngineError, match=r"a\.sqlite can't be opened \(no such table: missing\)"):
        Database(path, (_first, _second, broken))
    assert version_of(path) == 1
    with closing(Database(path, (_first,))) as database:
        assert database.rows("SELECT * FROM t") == [{"x": 1}]


KILLED = """
import os, signal, sys
from pathlib import Path
from langchain_finetune.local.sqlite import Database, run_script

def second(connection):
    run_script(connection, "CREATE TABLE big (x);\\nDELETE FROM t;\\n")
    connection.executemany("INSERT INTO big VALUES (?)", [["x" * 1000]] * 10_000)
    print("in the middle", flush=True)
    sys.stdin.read()

Database(Path(sys.argv[1]), (lambda _: None, second))
"""


def test_a_migration_that_is_killed_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "a.sqlite"
    Database(path, (_first,)).close()
    command = [sys.executable, "-c", KILLED, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"in the middle\n"
        os.kill(process.pid, signal.SIGKILL)
    with closing(Database(path, (_first, _second))) as database:
        assert database.rows("SELECT * FROM t") == [{"x": 1, "y": 2}]
        assert database.row("SELECT 1 FROM sqlite_master WHERE name = 'big'") is None


@pytest.mark.parametrize(
    ("name", "open_file", "known"),
    [
        ("engine.sqlite", documents.open_records, documents.MIGRATIONS),
        ("runs.sqlite", RunStore, schema.MIGRATIONS),
    ],
)
def test_a_file_of_a_newer_version_is_refused_in_one_sentence(tmp_path, name, open_file, known):
    path = tmp_path / name
    open_file(path).close()
    assert version_of(path) == len(known)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {len(known) + 1}")
    before = path.read_bytes()
    with pytest.raises(EngineError) as refused:
        open_file(path)
    message = str(refused.value)
    for told in (
        f"{path} has version {len(known) + 1}",
        f"up to version {len(known)}",
        "upgrade langchain-finetune",
        "LCFT_HOME",
    ):
        assert told in message
    assert message.count(". ") == 0
    assert path.read_bytes() == before


def test_the_engine_does_not_start_on_a_newer_home(tmp_path):
    documents.open_records(tmp_path / "engine.sqlite").close()
    with closing(sqlite3.connect(tmp_path / "runs.sqlite")) as connection:
        connection.execute("PRAGMA user_version = 999")
    engine = Path(__file__).with_name("fake_engine.py")
    command = [sys.executable, str(engine), str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 1
    assert "runs.sqlite has version 999, and this version of" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert version_of(tmp_path / "runs.sqlite") == 999


def test_a_store_without_later_columns_gets_them(tmp_path):
    path = tmp_path / "runs.sqlite"
    RunStore(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "INSERT INTO queues (id, name, created_at) VALUES ('a', 'old', 1);"
            "ALTER TABLE queues DROP COLUMN updated_at;"
            "ALTER TABLE queues DROP COLUMN rubric_items;"
            "ALTER TABLE projects DROP COLUMN end_time; DROP INDEX runs_of_trace;"
            "CREATE INDEX runs_by_trace ON runs (trace_id); PRAGMA user_version = 0;"
        )
    with closing(RunStore(path)) as store:
        [queue] = store.queues.all()
        indexes = {row["name"] for row in store._database.rows("SELECT name FROM sqlite_master")}
    assert (queue["name"], queue["rubric_items"]) == ("old", [])
    assert "runs_of_trace" in indexes
    assert "runs_by_trace" not in indexes
    assert version_of(path) == len(schema.MIGRATIONS)
