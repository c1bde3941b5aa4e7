"""The ledger of submissions from this machine, so that nothing is lost or paid for twice.

A SQLite file in the home, `ledger.sqlite`, with ids and hashes only: no key, no training text.
Each note is on disk when the method returns.
"""

import os
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_finetune.errors import FineTuningError
from langchain_finetune.home import HOME_VARIABLE, ensure_home

NAME = "ledger.sqlite"
VERSION = 1
"""Of the tables, in `PRAGMA user_version`; files of the first version have 0."""

_BUSY_S = 60.0

_TABLES = """
CREATE TABLE IF NOT EXISTS submissions (
    submission TEXT PRIMARY KEY,     -- also in the job's metadata
    fingerprint TEXT NOT NULL,
    account TEXT NOT NULL,
    engine TEXT NOT NULL,
    base_url TEXT NOT NULL,
    base_model TEXT NOT NULL,
    training_sha256 TEXT NOT NULL,
    begun_at REAL NOT NULL,          -- seconds since 1970
    asked_at REAL,                   -- when the job was asked for; NULL before
    job_id TEXT                      -- the job, once its answer has come
);
CREATE INDEX IF NOT EXISTS by_fingerprint ON submissions (fingerprint, begun_at);
CREATE TABLE IF NOT EXISTS files (
    account TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    file_id TEXT,                    -- NULL while the upload's answer has not come
    PRIMARY KEY (account, sha256)
);
CREATE TABLE IF NOT EXISTS told (
    account TEXT NOT NULL,
    job_id TEXT NOT NULL,
    event_id TEXT NOT NULL,          -- an event that was reported
    PRIMARY KEY (account, job_id, event_id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS served (
    route TEXT NOT NULL,
    job_id TEXT NOT NULL,            -- a job that the route's callers may reach
    PRIMARY KEY (route, job_id)
) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Submission:
    """An attempt to create a job; times are in seconds since 1970.

    Its id is in the job's metadata too. `asked_at` is None before the engine was asked for the job,
    `job_id` where no answer came (yet).
    """

    submission: str
    fingerprint: str
    begun_at: float
    asked_at: float | None = None
    job_id: str | None = None

    @property
    def unsure(self) -> bool:
        """Whether the engine may have created a job that is not recorded here."""
        return self.asked_at is not None and self.job_id is None


@dataclass(frozen=True)
class Entry:
    """A job that was requested from this machine, at `begun_at` in seconds since 1970.

    Where no answer came (`job_id` is None) it is not known whether it was made. The embedded engine
    may listen elsewhere now than at `base_url`.
    """

    job_id: str | None
    engine: str
    base_url: str
    base_model: str
    training_sha256: str
    begun_at: float


@dataclass(frozen=True)
class Ledger:
    """The ledger of a home. Each method opens the file, so threads may share it."""

    home: Path

    @property
    def path(self) -> Path:
        """The file."""
        return self.home / NAME

    def begin(
        self,
        submission: str,
        fingerprint: str,
        *,
        account: str,
        engine: str,
        base_url: str,
        base_model: str,
        training_sha256: str,
    ) -> None:
        """Record that a job is about to be created, before anything is sent."""
        row = (submission, fingerprint, account, engine, base_url, base_model, training_sha256)
        self._run(
            "INSERT OR REPLACE INTO submissions (submission, fingerprint, account, engine, "
            "base_url, base_model, training_sha256, begun_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            *row,
            time.time(),
        )

    def ask(self, submission: str) -> None:
        """Record that the job is requested now: from here on, it may exist."""
        self._run(
            "UPDATE submissions SET asked_at = ? WHERE submission = ?", time.time(), submission
        )

    def take_back(self, submission: str) -> None:
        """Record that the engine definitely did not create the job."""
        self._run("UPDATE submissions SET asked_at = NULL WHERE submission = ?", submission)

    def settle(self, submission: str, job_id: str) -> None:
        """Record the job that was created."""
        self._run("UPDATE submissions SET job_id = ? WHERE submission = ?", job_id, submission)

    def forget(self, *submissions: str) -> None:
        """Delete attempts that did not create a job."""
        marks = ", ".join("?" for _ in submissions)
        self._run(f"DELETE FROM submissions WHERE submission IN ({marks})", *submissions)  # noqa: S608

    def forget_unasked(self, submission: str) -> bool:
        """Delete an attempt if the job was not requested; return whether it was deleted."""
        statement = "DELETE FROM submissions WHERE submission = ? AND asked_at IS NULL RETURNING 1"
        return bool(self._run(statement, submission))

    def submissions(self, fingerprint: str) -> list[Submission]:
        """Return the attempts for a fingerprint, newest first."""
        rows = self._run(
            "SELECT submission, fingerprint, begun_at, asked_at, job_id FROM submissions "
            "WHERE fingerprint = ? ORDER BY begun_at DESC, rowid DESC",
            fingerprint,
        )
        return [Submission(*row) for row in rows]

    def entries(self) -> list[Entry]:
        """Return the jobs that were asked for, newest first, each once."""
        rows = self._run(
            "SELECT job_id, engine, base_url, base_model, training_sha256, max(begun_at) "
            "FROM submissions WHERE job_id IS NOT NULL OR asked_at IS NOT NULL "
            "GROUP BY account, coalesce(job_id, submission) ORDER BY 6 DESC, rowid DESC"
        )
        return [Entry(*row) for row in rows]

    def begin_upload(self, account: str, sha256: str) -> None:
        """Note that a file is about to be uploaded."""
        self._run("INSERT OR IGNORE INTO files VALUES (?, ?, NULL)", account, sha256)

    def settle_upload(self, account: str, sha256: str, file_id: str | None) -> None:
        """Note the id of an uploaded file; None deletes the file's entry."""
        if file_id is None:
            self._run("DELETE FROM files WHERE account = ? AND sha256 = ?", account, sha256)
        else:
            self._run("INSERT OR REPLACE INTO files VALUES (?, ?, ?)", account, sha256, file_id)

    def upload(self, account: str, sha256: str) -> tuple[bool, str | None]:
        """Return whether a file's upload was begun, and its id once that is known."""
        rows = self._run(
            "SELECT file_id FROM files WHERE account = ? AND sha256 = ?", account, sha256
        )
        return (True, rows[0][0]) if rows else (False, None)

    def tell(self, account: str, job_id: str, event_id: str) -> None:
        """Record that an event of a job was reported."""
        self._run("INSERT OR IGNORE INTO told VALUES (?, ?, ?)", account, job_id, event_id)

    def reported(self, account: str, job_id: str) -> set[str]:
        """Return the ids of a job's events that were reported."""
        rows = self._run(
            "SELECT event_id FROM told WHERE account = ? AND job_id = ?", account, job_id
        )
        return {row[0] for row in rows}

    def serve(self, route: str, job_id: str) -> None:
        """Record that a job was submitted through a route."""
        self._run("INSERT OR IGNORE INTO served VALUES (?, ?)", route, job_id)

    def is_served(self, route: str, job_id: str) -> bool:
        """Return whether a job was submitted through a route."""
        return bool(self._run("SELECT 1 FROM served WHERE route = ? AND job_id = ?", route, job_id))

    def _run(self, statement: str, *values: Any) -> list[Any]:
        """Run one statement; what it writes is on disk when this returns."""
        ensure_home(self.home)
        try:
            # SQLite would make it with the rights of the umask.
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
            with closing(sqlite3.connect(self.path, timeout=_BUSY_S)) as database:
                self._prepare(database)
                # Less may take a commit back after a loss of power, since the folder lags behind.
                database.execute("PRAGMA synchronous = EXTRA")
                with database:
                    return database.execute(statement, values).fetchall()
        except (OSError, sqlite3.Error) as error:
            raise FineTuningError(
                f"The ledger of jobs, {self.path}, can't be used: {error}. Without it the same "
                "job could be paid for twice. Free the disk, or move the file away: jobs are "
                "found at the engine too."
            ) from error

    def _prepare(self, database: sqlite3.Connection) -> None:
        found = database.execute("PRAGMA user_version").fetchone()[0]
        if found > VERSION:
            raise FineTuningError(
                f"The ledger of jobs, {self.path}, has version {found}, and this version of "
                f"langchain-finetune reads up to version {VERSION}: upgrade langchain-finetune, or "
                f"set {HOME_VARIABLE} to another folder."
            )
        if found < VERSION:
            database.executescript(f"{_TABLES} PRAGMA user_version = {VERSION};")
