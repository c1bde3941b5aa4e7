"""The engine's files: what is wrong with one, and what a failed change leaves behind."""

import sqlite3
from contextlib import closing

import pytest

from langchain_finetune.errors import EngineError
from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.sqlite import Database


def test_a_file_that_can_not_be_opened_is_named(tmp_path):
    (tmp_path / "text.sqlite").write_text("no database, but a text of some length" * 100)
    (tmp_path / "folder.sqlite").mkdir()
    for name in ("text", "folder"):
        with pytest.raises(EngineError, match=rf"{name}\.sqlite can't be opened"):
            Database(tmp_path / f"{name}.sqlite")


def test_a_full_disk_undoes_a_change_and_the_next_one_is_kept(tmp_path):
    with closing(Database(tmp_path / "engine.sqlite")) as database:
        run = database.connection.execute
        run("CREATE TABLE t (x)")
        [pages] = run("PRAGMA page_count").fetchone().values()
        run(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(ApiError, match="is full") as full, database.transaction():
            run("INSERT INTO t VALUES (zeroblob(100000))")
        assert isinstance(full.value.__cause__, sqlite3.OperationalError)
        assert not database.connection.in_transaction
        run("PRAGMA max_page_count = 10000")
        with database.transaction():
            run("INSERT INTO t VALUES (1)")
    with closing(sqlite3.connect(tmp_path / "engine.sqlite")) as again:
        assert again.execute("SELECT x FROM t").fetchall() == [(1,)]


def test_a_commit_that_fails_leaves_no_transaction_open(tmp_path):
    with closing(Database(tmp_path / "engine.sqlite")) as database:
        run = database.connection.execute
        run("PRAGMA foreign_keys = ON")
        run("CREATE TABLE a (id PRIMARY KEY)")
        run("CREATE TABLE b (id REFERENCES a (id) DEFERRABLE INITIALLY DEFERRED)")
        with pytest.raises(sqlite3.IntegrityError), database.transaction():
            run("INSERT INTO b VALUES (1)")
        assert not database.connection.in_transaction
        assert run("SELECT * FROM b").fetchall() == []
