"""`/v1/fine_tuning/jobs`: create, follow, list, pause, cancel (OpenAI's Fine-tuning API)."""

from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.documents import answer
from langchain_finetune.local.jobs.create import MAX_METADATA, CreateJob, create_job
from langchain_finetune.local.jobs.journal import Journal
from langchain_finetune.local.jobs.queue import JobQueue
from langchain_finetune.local.models import Models
from langchain_finetune.local.openai_api.openapi import DescribedAs

JobBody = Annotated[dict[str, Any], DescribedAs("openai.types.fine_tuning:FineTuningJob")]
Limit = Annotated[int, Query(ge=1, le=1000)]


def create_jobs_router(queue: JobQueue, journal: Journal, models: Models, home: Path) -> APIRouter:
    """Return the routes of the Fine-tuning API; jobs fill the disk that `home` is on."""
    router = APIRouter(prefix="/fine_tuning/jobs")

    @router.post("")
    async def create(request: CreateJob) -> JobBody:
        return answer(await create_job(request, queue, models, home))

    @router.get("")
    async def page(request: Request, after: str | None = None, limit: Limit = 20) -> dict[str, Any]:
        return journal.page(limit=limit, after=after, metadata=_metadata_filter(request)).body()

    @router.get("/{job_id}")
    async def retrieve(job_id: str) -> JobBody:
        return answer(journal.get(job_id))

    @router.post("/{job_id}/cancel")
    async def cancel(job_id: str) -> JobBody:
        return answer(await queue.cancel(job_id))

    @router.post("/{job_id}/pause")
    async def pause(job_id: str) -> JobBody:
        return answer(await queue.pause(job_id))

    @router.post("/{job_id}/resume")
    async def resume(job_id: str) -> JobBody:
        return answer(queue.resume(job_id))

    @router.get("/{job_id}/events")
    async def events(job_id: str, after: str | None = None, limit: Limit = 20) -> dict[str, Any]:
        return journal.events(job_id, limit=limit, after=after).body()

    @router.get("/{job_id}/checkpoints")
    async def checkpoints(
        job_id: str, after: str | None = None, limit: Limit = 10
    ) -> dict[str, Any]:
        return journal.checkpoints(job_id, limit=limit, after=after).body()

    return router


def _metadata_filter(request: Request) -> dict[str, str] | None:
    """Read `metadata[key]=value` pairs; None for `metadata=null`: jobs without any."""
    if request.query_params.get("metadata") == "null":
        return None
    asked = {
        name[len("metadata[") : -1]: value
        for name, value in request.query_params.items()
        if name.startswith("metadata[") and name.endswith("]")
    }
    if len(asked) > MAX_METADATA:
        message = f"A job has at most {MAX_METADATA} pairs of metadata."
        raise ApiError(400, message, param="metadata")
    return asked
