"""The list of jobs that were started from this machine, so that none is lost."""

import datetime as dt
import os
from pathlib import Path

import orjson

from langchain_finetune.finetune.job import JobCreated
from langchain_finetune.home import ensure_home


def log_job(job: JobCreated, home: Path) -> None:
    """Add a job to `jobs.jsonl` under `home`; the line is on disk when this returns.

    A line holds ids and hashes only: `job_id`, `base_url`, `model`, `training_sha256`,
    `training_path`, `created_at` (UTC, ISO 8601).
    """
    ensure_home(home)
    line = orjson.dumps(
        {
            "job_id": job.job_id,
            "base_url": job.base_url,
            "model": job.model,
            "training_sha256": job.training_sha256,
            "training_path": str(job.training_path),
            "created_at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        },
        option=orjson.OPT_APPEND_NEWLINE,
    )
    # One write in append mode: lines of two processes don't mix.
    descriptor = os.open(home / "jobs.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(descriptor, line)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
