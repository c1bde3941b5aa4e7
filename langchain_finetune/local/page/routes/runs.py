"""Runs: the list, and a single run."""

from typing import Annotated

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import RedirectResponse

from langchain_finetune.display.messages import read_message
from langchain_finetune.local.page import run_views
from langchain_finetune.local.page.feedback import (
    CORRECTION_KEY,
    SCORE_KEY,
    CorrectionError,
    CorrectionForm,
    Vote,
    own_correction,
    set_correction,
    set_vote,
)
from langchain_finetune.local.page.render_html import redirect, render_page
from langchain_finetune.local.page.run_filter import KINDS, STATES, FieldError, RunFilter
from langchain_finetune.local.store import RunStore
from langchain_finetune.local.store.run_queries import cursor_after
from langchain_finetune.local.store.values import uuid_text

_MAX_LISTED = 1000
"""Maximum number of projects, datasets and feedback in a list."""


def create_runs_router(store: RunStore) -> APIRouter:
    """Return the pages of runs."""
    router = APIRouter()

    @router.get("/")
    def list_runs(request: Request, conditions: Annotated[RunFilter, Query()]) -> Response:
        projects = store.projects.all(limit=_MAX_LISTED)
        names = {project["id"]: project["name"] for project in projects}
        error, lines, next_page = None, [], ""
        try:
            query = conditions.query(list(names))
        except FieldError as invalid:
            error = invalid
        else:
            found = store.runs.find(query)
            lines = run_views.run_lines(store, found.runs)
            if found.has_more:
                next_page = conditions.address(after=cursor_after(found.runs[-1].row))
        return render_page(
            request,
            "runs.html",
            section="Runs",
            status=400 if error else 200,
            conditions=conditions,
            projects=projects,
            project_name=names.get(lines[0].row["project_id"], "") if lines else "",
            datasets=store.datasets.all(limit=_MAX_LISTED),
            kinds=KINDS,
            states=STATES,
            fault_field=error and error.field,
            fault=error and str(error),
            lines=lines,
            next_page=next_page,
            endpoint=str(request.base_url).rstrip("/"),
            score_key=SCORE_KEY,
        )

    @router.get("/ui/runs/{run_id}")
    def show_run(request: Request, run_id: str) -> Response:
        return _run_page(request, store, run_id)

    @router.post("/ui/runs/{run_id}/vote")
    def vote(request: Request, run_id: str, vote: Annotated[Vote, Form()] = "") -> Response:
        run = store.runs.get(uuid_text(run_id, "run_id") or "").row
        set_vote(store, run, vote)
        anchor = f"run-{run['id']}"
        return redirect(request, f"/ui/runs/{run['id']}", to_referer=True, anchor=anchor)

    @router.post("/ui/runs/{run_id}/correction")
    def correct(request: Request, run_id: str, form: Annotated[CorrectionForm, Form()]) -> Response:
        run = store.runs.get(uuid_text(run_id, "run_id") or "").row
        try:
            set_correction(store, run, None if form.undo else form.answer())
        except CorrectionError as error:
            return _run_page(request, store, run_id, form=form, fault=str(error))
        notice = "The correction was removed." if form.undo else "The correction was saved."
        return redirect(request, f"/ui/runs/{run['id']}", notice)

    @router.get("/ui/runs/{run_id}/correction")
    def leave_correction(run_id: str) -> Response:
        # An invalid correction is shown at this path; opening it again shows the run.
        return RedirectResponse(f"/ui/runs/{uuid_text(run_id, 'run_id')}", 303)

    @router.post("/ui/runs/{run_id}/feedback/{feedback_id}/remove")
    def remove_feedback(request: Request, run_id: str, feedback_id: str) -> Response:
        run = store.runs.get(uuid_text(run_id, "run_id") or "").row
        store.feedback.delete(uuid_text(feedback_id, "feedback_id") or "")
        return redirect(request, f"/ui/runs/{run['id']}", "The feedback was removed.")

    return router


def _run_page(
    request: Request,
    store: RunStore,
    run_id: str,
    *,
    form: CorrectionForm | None = None,
    fault: str | None = None,
) -> Response:
    found = store.runs.get(uuid_text(run_id, "run_id") or "")
    row = found.row
    answering = run_views.answering_call(store, row)
    chat = run_views.run_chat(answering) if answering else run_views.RunChat()
    correction = own_correction(store, row["id"])
    vote = run_views.own_votes(store, [row["id"]]).get(row["id"], "")
    return render_page(
        request,
        "run.html",
        section="Runs",
        status=400 if fault else 200,
        run=row,
        project=store.projects.get(row["project_id"])["name"],
        feedback_tags=run_views.feedback_tags(found.stats, vote),
        vote=vote,
        answering=answering,
        model=run_views.model_of(answering) if answering else "",
        seconds=run_views.seconds_of(row),
        chat=chat,
        correction=correction and read_message(correction),
        feedback=store.feedback.all(run_ids=[row["id"]], limit=_MAX_LISTED),
        form=form or CorrectionForm.of_answer(correction, chat.answers),
        fault=fault,
        tree=run_views.trace_runs(store, row),
        tags=run_views.tags_of(row),
        metadata=run_views.metadata_of(row),
        inputs=run_views.pretty(row["inputs"]),
        outputs=run_views.pretty(row["outputs"]),
        datasets=store.datasets.all(limit=_MAX_LISTED),
        score_key=SCORE_KEY,
        correction_key=CORRECTION_KEY,
    )
