"""The schema of the run store, and migrations from earlier versions."""

import sqlite3
from pathlib import Path

from langchain_finetune.local.sqlite import Database, run_script
from langchain_finetune.local.store.signer import add_signature_functions, make_tables
from langchain_finetune.local.store.sql_functions import add_functions

SCHEMA = """
CREATE TABLE IF NOT EXISTS projects (
    id TEXT PRIMARY KEY, name TEXT UNIQUE NOT NULL, start_time INTEGER NOT NULL,
    description TEXT, extra TEXT, reference_dataset_id TEXT, end_time INTEGER
);
CREATE TABLE IF NOT EXISTS runs (
    id TEXT PRIMARY KEY, project_id TEXT, trace_id TEXT, parent_run_id TEXT, dotted_order TEXT,
    name TEXT, run_type TEXT, start_time INTEGER, end_time INTEGER, error TEXT,
    tags TEXT, reference_example_id TEXT, posted INTEGER NOT NULL,
    status TEXT, metadata TEXT, thread_id TEXT, first_token_time INTEGER,
    prompt_tokens INTEGER, completion_tokens INTEGER, total_tokens INTEGER,
    extra TEXT, events TEXT, serialized TEXT, inputs TEXT, outputs TEXT
);
CREATE INDEX IF NOT EXISTS runs_by_project ON runs (project_id, start_time, id);
DROP INDEX IF EXISTS runs_by_trace;
CREATE INDEX IF NOT EXISTS runs_of_trace ON runs (trace_id, start_time, id, end_time);
CREATE INDEX IF NOT EXISTS runs_by_parent ON runs (parent_run_id);
CREATE TABLE IF NOT EXISTS feedback (
    id TEXT PRIMARY KEY, run_id TEXT, trace_id TEXT, key TEXT NOT NULL, score REAL, value TEXT,
    comment TEXT, source TEXT, created_at INTEGER NOT NULL, modified_at INTEGER NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS feedback_by_run ON feedback (run_id);
CREATE INDEX IF NOT EXISTS feedback_by_trace ON feedback (trace_id);
CREATE TABLE IF NOT EXISTS queues (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, description TEXT, created_at INTEGER NOT NULL,
    updated_at INTEGER, rubric_instructions TEXT, rubric_items TEXT
);
CREATE TABLE IF NOT EXISTS queued_runs (
    queue_id TEXT NOT NULL, run_id TEXT NOT NULL, added_at INTEGER NOT NULL, reviewed_at INTEGER,
    PRIMARY KEY (queue_id, run_id)
);
CREATE INDEX IF NOT EXISTS queued_by_run ON queued_runs (run_id);
CREATE TABLE IF NOT EXISTS datasets (
    id TEXT PRIMARY KEY, name TEXT UNIQUE NOT NULL, data_type TEXT NOT NULL,
    created_at INTEGER NOT NULL, modified_at INTEGER NOT NULL, metadata TEXT NOT NULL,
    body TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS comparisons (
    id TEXT PRIMARY KEY, dataset_id TEXT NOT NULL, created_at INTEGER NOT NULL, body TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS example_versions (
    version INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, dataset_id TEXT NOT NULL,
    place INTEGER NOT NULL, valid_from INTEGER NOT NULL, valid_to INTEGER,
    created_at INTEGER NOT NULL, source_run_id TEXT, metadata TEXT NOT NULL,
    inputs TEXT NOT NULL, outputs TEXT
);
CREATE INDEX IF NOT EXISTS examples_by_dataset ON example_versions (dataset_id, place, valid_from);
CREATE INDEX IF NOT EXISTS examples_now ON example_versions (dataset_id) WHERE valid_to IS NULL;
CREATE INDEX IF NOT EXISTS examples_by_id ON example_versions (id, valid_from);
CREATE INDEX IF NOT EXISTS examples_by_source ON example_versions (source_run_id);
CREATE TABLE IF NOT EXISTS dataset_tags (
    dataset_id TEXT NOT NULL, tag TEXT NOT NULL, version INTEGER NOT NULL,
    PRIMARY KEY (dataset_id, tag)
);
CREATE TABLE IF NOT EXISTS blobs (id TEXT PRIMARY KEY, mime_type TEXT NOT NULL, data BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS attachments (
    owner TEXT NOT NULL, name TEXT NOT NULL, blob_id TEXT NOT NULL, PRIMARY KEY (owner, name)
);
CREATE INDEX IF NOT EXISTS attachments_by_blob ON attachments (blob_id);
CREATE TRIGGER IF NOT EXISTS blob_without_owner AFTER DELETE ON attachments
WHEN NOT EXISTS (SELECT 1 FROM attachments WHERE blob_id = OLD.blob_id)
BEGIN DELETE FROM blobs WHERE id = OLD.blob_id; END;
CREATE TRIGGER IF NOT EXISTS run_deleted AFTER DELETE ON runs BEGIN
    DELETE FROM attachments WHERE owner = OLD.id;
    DELETE FROM feedback WHERE run_id = OLD.id;
    DELETE FROM queued_runs WHERE run_id = OLD.id;
END;
CREATE TRIGGER IF NOT EXISTS example_version_deleted AFTER DELETE ON example_versions BEGIN
    DELETE FROM attachments WHERE owner = CAST(OLD.version AS TEXT);
END;
CREATE TRIGGER IF NOT EXISTS dataset_deleted AFTER DELETE ON datasets BEGIN
    DELETE FROM example_versions WHERE dataset_id = OLD.id;
    DELETE FROM comparisons WHERE dataset_id = OLD.id;
    DELETE FROM dataset_tags WHERE dataset_id = OLD.id;
END;
CREATE TABLE IF NOT EXISTS feedback_configs (
    key TEXT PRIMARY KEY, modified_at INTEGER NOT NULL, body TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS feedback_tokens (
    id TEXT PRIMARY KEY, run_id TEXT NOT NULL, key TEXT NOT NULL, expires_at INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS tokens_by_run ON feedback_tokens (run_id);
CREATE TABLE IF NOT EXISTS exports (
    id TEXT PRIMARY KEY, created_at INTEGER NOT NULL, body TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS secrets (name TEXT PRIMARY KEY, value BLOB NOT NULL);
"""
"""All times are microseconds since 1970; columns of JSON hold it as it was sent."""

_LATER_COLUMNS = (
    ("projects", "end_time", "INTEGER"),
    ("queues", "updated_at", "INTEGER"),
    ("queues", "rubric_instructions", "TEXT"),
    ("queues", "rubric_items", "TEXT"),
    ("queued_runs", "reviewed_at", "INTEGER"),
)
"""Columns (table, name, kind) that files without a number of their version may lack."""


def _make_tables(connection: sqlite3.Connection) -> None:
    _make_exports(connection)
    # Files of version 0.1.0 have most of them already, and no number of their version.
    run_script(connection, SCHEMA)
    for table, column, kind in _LATER_COLUMNS:
        _add_column(connection, table, column, kind)


def _add_model(connection: sqlite3.Connection) -> None:
    # The model that answered an llm run; unknown of the runs of earlier versions.
    _add_column(connection, "runs", "model", "TEXT")
    connection.execute(
        "CREATE INDEX IF NOT EXISTS runs_by_model ON runs (model, start_time)"
        " WHERE model IS NOT NULL"
    )


# What lists, counts and statistics ask of many runs is in an index: the large rows are read only
# for what is shown.
_SUMMARIES = """
CREATE INDEX IF NOT EXISTS runs_of_project ON runs (
    project_id, start_time, id, posted, parent_run_id, run_type, status, name, end_time,
    first_token_time, prompt_tokens, completion_tokens, total_tokens
);
CREATE INDEX IF NOT EXISTS runs_by_time ON runs (
    start_time, id, posted, parent_run_id, run_type, status, project_id
);
CREATE INDEX IF NOT EXISTS runs_by_thread ON runs (project_id, thread_id, start_time, posted)
WHERE thread_id IS NOT NULL AND parent_run_id IS NULL;
DROP INDEX IF EXISTS runs_by_project;
"""


def _add_summaries(connection: sqlite3.Connection) -> None:
    run_script(connection, _SUMMARIES)


def _add_column(connection: sqlite3.Connection, table: str, column: str, kind: str) -> None:
    known = {row["name"] for row in connection.execute(f"PRAGMA table_info({table})")}
    if column not in known:
        connection.execute(f"ALTER TABLE {table} ADD COLUMN {column} {kind}")


_EXPORTS = """
CREATE TABLE IF NOT EXISTS exports (
    id TEXT PRIMARY KEY, created_at INTEGER NOT NULL, body TEXT NOT NULL
);
"""


def _make_exports(connection: sqlite3.Connection) -> None:
    run_script(connection, _EXPORTS)


MIGRATIONS = (_make_tables, _add_model, _add_summaries, make_tables)
"""How `runs.sqlite` of each version becomes one of the next; only ever appended to."""


def open_store_file(path: Path) -> Database:
    """Open the run store's file; created if missing.

    Raises:
        EngineError: As `Database`.
    """
    return Database(
        path, MIGRATIONS, name="run store", shrinks=True, readers=True, prepare=_add_all_functions
    )


def _add_all_functions(connection: sqlite3.Connection) -> None:
    add_functions(connection)
    add_signature_functions(connection)


def open_export_records(path: Path) -> Database:
    """Open the file of an engine's exports, for a store whose runs are in a server.

    Raises:
        EngineError: As `Database`.
    """
    return Database(path, (_make_exports,), name="record of exports")
