"""Starts the job that a form asks for, with its files."""

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.files import FileRecord
from langchain_finetune.local.jobs.create import create_job
from langchain_finetune.local.jobs.schemas import JobRecord
from langchain_finetune.local.page.context import EngineParts
from langchain_finetune.local.page.job_form import JobForm
from langchain_finetune.local.page.training_data import dataset_files, require_fit
from langchain_finetune.local.store import RunStore


async def start_job(engine: EngineParts, store: RunStore, form: JobForm) -> JobRecord:
    """Make the files of a job, and take it on.

    Args:
        engine: What trains.
        store: Knows the dataset.
        form: The job.

    Raises:
        ApiError: Something can't be trained on; no file and no job was made.
    """
    method, _ = form.request.asked()
    made: list[FileRecord] = []
    try:
        if form.source == "dataset":
            made = await dataset_files(store, engine.files, form.source_id, method, form.share)
            training = made[0]
        else:
            training = _uploaded(engine, form.source_id, "training_file")
        validation = made[1] if form.share else None
        if form.request.validation_file and not form.share:
            validation = _uploaded(engine, form.request.validation_file, "validation_file")
        await require_fit(engine.files, training, "training_file", method)
        if validation:
            await require_fit(engine.files, validation, "validation_file", method)
        request = form.with_files(training.id, validation.id if validation else None)
        return await create_job(request, engine.queue, engine.models, engine.home)
    except BaseException:
        for file in made:
            engine.files.delete(file.id)
        raise


def _uploaded(engine: EngineParts, file_id: str, param: str) -> FileRecord:
    try:
        return engine.files.get(file_id)
    except ApiError as error:
        raise ApiError(error.status, "The file is gone; choose another.", param=param) from None
