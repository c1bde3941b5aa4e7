"""Jobs: the list, each with its live loss curve, and what can be done with it."""

from typing import Any, Literal

from fastapi import APIRouter, Request, Response

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.identifiers import now
from langchain_finetune.local.jobs.schemas import ENDED, JobRecord
from langchain_finetune.local.page.context import EngineParts
from langchain_finetune.local.page.job_views import (
    STATUS_WORDS,
    JobProgressView,
    actions,
    age,
    progress,
    results_csv,
    settings,
    time_left,
)
from langchain_finetune.local.page.loss_curve import HEIGHT, WIDTH, loss_plot
from langchain_finetune.local.page.render_html import PageRoute, back, fragment, page

_JOBS = 25
_EVENTS = 20
_OLDER = 200
_CHECKPOINTS = 50
_NEWEST = 5
"""Events that are looked through for the newest step."""


def create_jobs_pages(engine: EngineParts) -> APIRouter:
    """Return the pages of jobs."""
    queue, journal, files = engine.queue, engine.journal, engine.files
    router = APIRouter(route_class=PageRoute)

    # The engine's memory belongs to the event loop's thread, so none of these is run in another.
    @router.get("/ui/jobs")
    async def list_jobs(request: Request, after: str | None = None) -> Response:
        found = journal.page(limit=_JOBS, after=after, metadata={})
        rows = [
            {
                "job": job,
                "progress": _newest_progress(engine, job),
                "age": age(now() - job.created_at),
            }
            for job in found.records
        ]
        return page(
            request,
            "jobs.html",
            section="Jobs",
            rows=rows,
            words=STATUS_WORDS,
            older=found.records[-1].id if found.has_more else None,
            is_first=after is None,
        )

    @router.get("/ui/jobs/{job_id}")
    async def show_job(job_id: str, request: Request) -> Response:
        return page(request, "job.html", section="Jobs", **_shown(engine, journal.get(job_id)))

    @router.get("/ui/jobs/{job_id}/live")
    async def show_live(job_id: str) -> Response:
        return fragment("_job_live.html", **_shown(engine, journal.get(job_id)))

    @router.get("/ui/jobs/{job_id}/events")
    async def list_events(job_id: str, request: Request, after: str | None = None) -> Response:
        job = journal.get(job_id)
        found = journal.events(job_id, limit=_OLDER, after=after)
        older = found.records[-1].id if found.has_more else None
        return page(
            request, "events.html", section="Jobs", job=job, events=found.records, older=older
        )

    @router.get("/ui/jobs/{job_id}/results/{file_id}")
    async def download_results(job_id: str, file_id: str) -> Response:
        if file_id not in journal.get(job_id).result_files:
            raise ApiError(404, "The job has no such file.")
        content = results_csv(files.path(file_id).read_bytes())
        named = {"content-disposition": f'attachment; filename="{job_id}.csv"'}
        return Response(content, media_type="text/csv; charset=utf-8", headers=named)

    @router.post("/ui/jobs/{job_id}/{action}")
    async def act(
        job_id: str, action: Literal["cancel", "pause", "resume"], request: Request
    ) -> Response:
        try:
            if action == "cancel":
                job = await queue.cancel(job_id)
            elif action == "pause":
                job = await queue.pause(job_id)
            else:
                job = queue.resume(job_id)
        except ApiError as error:
            journal.get(job_id)
            # It may have ended between the page and the click.
            return back(request, f"/ui/jobs/{job_id}", error.message, failed=True)
        return back(request, f"/ui/jobs/{job_id}", f"The job is {STATUS_WORDS[job.status]}.")

    return router


def _newest_progress(engine: EngineParts, job: JobRecord) -> JobProgressView | None:
    if job.status in ENDED:
        return None
    newest = engine.journal.events(job.id, limit=_NEWEST, after=None).records
    return progress(event.data for event in newest)


def _shown(engine: EngineParts, job: JobRecord) -> dict[str, Any]:
    events = engine.journal.events(job.id, limit=_EVENTS, after=None)
    metrics = engine.journal.metrics(job.id)
    left = job.estimated_finish and job.estimated_finish - now()
    return {
        "job": job,
        "state": STATUS_WORDS[job.status],
        "live": job.status not in ENDED,
        "progress": progress(reversed(metrics)) if job.status != "succeeded" else None,
        "left": time_left(left) if left is not None and job.status == "running" else None,
        "settings": settings(job),
        "training_file": _file(engine, job.training_file),
        "validation_file": _file(engine, job.validation_file),
        "plot": loss_plot(metrics, job.method_type),
        "box": (WIDTH, HEIGHT),
        "events": events.records,
        "has_older": events.has_more,
        "checkpoints": engine.journal.checkpoints(job.id, limit=_CHECKPOINTS, after=None).records,
        "actions": actions(job),
        "models": {each.id for each in engine.models.fine_tuned()},
    }


def _file(engine: EngineParts, file_id: str | None) -> dict[str, Any] | None:
    if file_id is None:
        return None
    try:
        return engine.files.get(file_id).model_dump()
    except ApiError:
        # It was deleted since.
        return {"id": file_id, "filename": None, "bytes": None}
