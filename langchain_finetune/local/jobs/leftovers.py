"""What jobs have left at the hosts that trained them: it is closed once a job has ended.

A training process does so itself. This is for jobs that ended while none ran, such as one that is
cancelled after the engine and its training process were killed, or whose host did not answer.
"""

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from langchain_finetune.home import host_key_file
from langchain_finetune.local.jobs.child import HOST_GRACE_S, TRAINER, follow_child, start_child
from langchain_finetune.local.jobs.schemas import ENDED, JobRecord
from langchain_finetune.local.training.events import Failed, TrainingEvent
from langchain_finetune.local.training.loop.position import Position
from langchain_finetune.local.training.spec import Spec

logger = logging.getLogger(__name__)


class Leftovers:
    """Closes what jobs have left; `folder` and `trainer` are those of `JobQueue`."""

    def __init__(self, folder: Path, trainer: Sequence[str] | None) -> None:
        self._folder = folder
        self._trainer = trainer or TRAINER
        self._lock = asyncio.Lock()

    def has(self, job: JobRecord) -> bool:
        """Return whether a job that has ended may have something at its host that is not wanted."""
        if job.host is None or job.status not in ENDED:
            return False
        try:
            position = Position.read(self._folder / job.id / "work")
        except (OSError, ValidationError):
            return False
        return bool(position.sessions) if job.status == "succeeded" else position.holds_anything

    async def close(self, job: JobRecord) -> bool:
        """Close it; return False if the host could not be asked, so that it is to be tried again.

        Cancelling this ends the process that does so.
        """
        assert job.host
        own = self._folder / job.id
        path = own / "closing.json"
        unused = own / "unused"
        spec = Spec(
            base=job.model,
            name=job.model,
            train=unused,
            output=unused,
            work=own / "work",
            host=job.host,
            host_key=host_key_file(self._folder.parent, job.host.base_url),
            job=job.id,
            closing="sessions" if job.status == "succeeded" else "all",
        )
        failures: list[str] = []

        async def take(event: TrainingEvent) -> None:
            if isinstance(event, Failed):
                failures.append(event.message)

        async with self._lock:
            path.write_text(spec.model_dump_json())
            log = own / "trainer.log"
            child = await start_child(self._trainer, path, log)
            status = await follow_child(child, take, asyncio.Event(), grace_s=HOST_GRACE_S)
        path.unlink(missing_ok=True)
        if status or failures:
            why = failures[0] if failures else f"its process ended with status {status}"
            logger.warning(
                "Job %s: what it left at %s is not closed yet, and is tried again at the next"
                " start: %s",
                job.id,
                job.host.base_url,
                why,
            )
        return not (status or failures)
