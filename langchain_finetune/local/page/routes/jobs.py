"""Jobs: the list, a job with its live loss curve, and actions on it."""

import asyncio
from typing import Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.identifiers import now
from langchain_finetune.local.jobs.schemas import ENDED, JobRecord
from langchain_finetune.local.page import job_views
from langchain_finetune.local.page.engine_parts import EngineParts
from langchain_finetune.local.page.loss_curve import HEIGHT, WIDTH, loss_plot
from langchain_finetune.local.page.render_html import redirect, render_fragment, render_page

_JOBS_PER_PAGE = 25
_RECENT_EVENTS = 20
_EVENTS_PER_PAGE = 200
_MAX_CHECKPOINTS = 50
_PROGRESS_EVENTS = 5
"""Number of recent events that are searched for the latest step."""


def create_jobs_pages(engine: EngineParts) -> APIRouter:
    """Return the pages of jobs."""
    queue, journal, files = engine.queue, engine.journal, engine.files
    router = APIRouter()

    # All coroutines: the engine's parts must be used in the event loop's thread.
    @router.get("/ui/jobs")
    async def list_jobs(request: Request, after: str | None = None) -> Response:
        found = journal.page(limit=_JOBS_PER_PAGE, after=after, metadata={})
        return render_page(
            request,
            "jobs.html",
            section="Jobs",
            rows=[_row(engine, job) for job in found.records],
            models={each.id for each in engine.models.fine_tuned()},
            words=job_views.STATUS_WORDS,
            older=found.records[-1].id if found.has_more else None,
            is_first=after is None,
        )

    @router.get("/ui/jobs/{job_id}")
    async def show_job(job_id: str, request: Request) -> Response:
        view = _job_view(engine, journal.get(job_id))
        return render_page(request, "job.html", section="Jobs", **view)

    @router.get("/ui/jobs/{job_id}/live")
    async def show_live(job_id: str) -> Response:
        view = _job_view(engine, journal.get(job_id))
        return HTMLResponse(render_fragment("_job_live.html", **view))

    @router.get("/ui/jobs/{job_id}/events")
    async def list_events(job_id: str, request: Request, after: str | None = None) -> Response:
        job = journal.get(job_id)
        found = journal.events(job_id, limit=_EVENTS_PER_PAGE, after=after)
        older = found.records[-1].id if found.has_more else None
        return render_page(
            request, "events.html", section="Jobs", job=job, events=found.records, older=older
        )

    @router.get("/ui/jobs/{job_id}/results/{file_id}")
    async def download_results(job_id: str, file_id: str) -> Response:
        job = journal.get(job_id)
        if file_id not in job.result_files:
            raise ApiError(404, "The job does not have this file.")
        path = files.path(file_id)
        content = await asyncio.to_thread(lambda: job_views.results_csv(path.read_bytes()))
        name = job_views.file_name(job.name, job.created_at, job_views.examples_of(job))
        headers = {"content-disposition": f"attachment; filename*=UTF-8''{quote(name)}.csv"}
        return Response(content, media_type="text/csv; charset=utf-8", headers=headers)

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
            # The job may have ended since the page was rendered.
            return redirect(request, f"/ui/jobs/{job_id}", error.message, failed=True)
        return redirect(
            request, f"/ui/jobs/{job_id}", f"The job is {job_views.STATUS_WORDS[job.status]}."
        )

    return router


def _row(engine: EngineParts, job: JobRecord) -> dict[str, Any]:
    return {
        "job": job,
        "progress": _latest_progress(engine, job),
        "age": job_views.age(now() - job.created_at),
        **_outcome(engine, job),
    }


def _outcome(engine: EngineParts, job: JobRecord) -> dict[str, Any]:
    """Return what a job's list line and its page say of its end, or what it waits for."""
    journal, loss = engine.journal, ""
    if job.fine_tuned_model:
        found = journal.checkpoints(job.id, limit=_MAX_CHECKPOINTS, after=None)
        loss = job_views.loss(job, found.records)
    queued = job.status == "queued"
    active = journal.with_status("running", "queued") if queued else []
    waits = job_views.waits_for(job, active, disk=journal.waits)
    return {"loss": loss, "duration": job_views.duration(job), "waits": waits}


def _latest_progress(engine: EngineParts, job: JobRecord) -> job_views.JobProgressView | None:
    if job.status in ENDED:
        return None
    latest = engine.journal.events(job.id, limit=_PROGRESS_EVENTS, after=None).records
    return job_views.progress(event.data for event in latest)


def _job_view(engine: EngineParts, job: JobRecord) -> dict[str, Any]:
    journal = engine.journal
    events = journal.events(job.id, limit=_RECENT_EVENTS, after=None)
    metrics = journal.metrics(job.id)
    left = job.estimated_finish and job.estimated_finish - now()
    return {
        "job": job,
        "state": job_views.STATUS_WORDS[job.status],
        "live": job.status not in ENDED,
        "progress": job_views.progress(reversed(metrics)) if job.status != "succeeded" else None,
        "left": job_views.time_left(left) if left is not None and job.status == "running" else None,
        "settings": job_views.settings(job),
        "training_file": _file_view(engine, job, job.training_file),
        "validation_file": _file_view(engine, job, job.validation_file),
        **_outcome(engine, job),
        "plot": loss_plot(metrics, job.method_type),
        "box": (WIDTH, HEIGHT),
        "events": events.records,
        "has_older": events.has_more,
        "checkpoints": journal.checkpoints(job.id, limit=_MAX_CHECKPOINTS, after=None).records,
        "actions": job_views.actions(job),
        "models": {each.id for each in engine.models.fine_tuned()},
    }


def _file_view(engine: EngineParts, job: JobRecord, file_id: str | None) -> dict[str, Any] | None:
    if file_id is None:
        return None
    try:
        file = engine.files.get(file_id)
        return {**file.model_dump(), "label": job_views.file_label(file, job)}
    except ApiError:
        # The file was deleted.
        return {"id": file_id, "filename": None, "bytes": None}
