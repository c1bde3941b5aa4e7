"""The check of a job's files: that they are there when it is created, and fit before it trains."""

import asyncio
import threading

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.files import Files
from langchain_finetune.local.jobs.journal import Journal
from langchain_finetune.local.jobs.schemas import JobErrorRecord, JobRecord
from langchain_finetune.local.jobs.validation import Param, check_file


class UploadedFileCheck:
    """Checks the files of jobs.

    Args:
        journal: Hears which file is being checked.
        files: The uploaded files.
    """

    def __init__(self, journal: Journal, files: Files) -> None:
        self._journal = journal
        self._files = files

    def require(self, file_id: str, param: Param) -> None:
        """Make sure that a file was uploaded for training.

        Raises:
            ApiError: 400 where it was not.
        """
        try:
            purpose = self._files.get(file_id).purpose
        except ApiError:
            purpose = None
        if purpose != "fine-tune":
            raise ApiError(
                400,
                f"{file_id} is no file uploaded with the purpose fine-tune.",
                code=f"invalid_{param}",
                param=param,
            )

    async def fault_of(self, job: JobRecord) -> JobErrorRecord | None:
        """Return what makes a job's files unfit, or None; it reads them in a thread."""
        files: list[tuple[Param, str | None]] = [
            ("training_file", job.training_file),
            ("validation_file", job.validation_file),
        ]
        for param, file_id in files:
            if file_id is None:
                continue
            self._journal.note(job, f"Validating {param.replace('_', ' ')}: {file_id}")
            if fault := await self._fault_of_file(job, file_id, param):
                return fault
        return None

    async def _fault_of_file(
        self, job: JobRecord, file_id: str, param: Param
    ) -> JobErrorRecord | None:
        stop = threading.Event()
        try:
            path = self._files.path(file_id)
            return await asyncio.to_thread(check_file, path, param, stop, job.method_type)
        except ApiError as error:
            return JobErrorRecord(code=f"invalid_{param}", message=error.message, param=param)
        finally:
            # A thread can't be cancelled; it looks at this instead.
            stop.set()
