"""Runs: the list, and a single run."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import RedirectResponse

from langchain_finetune.display.messages import read_message
from langchain_finetune.local.api_error import ApiError
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
from langchain_finetune.local.page.run_filter import (
    KINDS,
    MOST_COUNTED,
    SIZES,
    STATES,
    FieldError,
    RunFilter,
)
from langchain_finetune.local.search_limits import in_turns
from langchain_finetune.local.store import RunStore
from langchain_finetune.local.store.run_queries import cursor_after
from langchain_finetune.local.store.run_serialization import FoundRun
from langchain_finetune.local.store.values import uuid_text

_AT_ONCE = 8
"""Most pages of runs that are made at the same time."""

_MAX_LISTED = 1000
"""Maximum number of projects, datasets and feedback in a list."""


def create_runs_pages(store: RunStore) -> APIRouter:
    """Return the pages of runs."""
    router = APIRouter(route_class=in_turns(_AT_ONCE))

    @router.get("/")
    def list_runs(request: Request, conditions: Annotated[RunFilter, Query()]) -> Response:
        projects = store.projects.all(limit=_MAX_LISTED)
        names = {project["id"]: project["name"] for project in projects}
        error, lines, count, pages = None, [], 0, {}
        try:
            query = conditions.query(list(names))
        except FieldError as invalid:
            error = invalid
        else:
            found = store.runs.find(query)
            runs = found.runs[::-1] if query.ascending else found.runs
            lines = run_views.run_lines(store, runs)
            count, pages = len(runs), _pages(conditions, runs, has_more=found.has_more)
            if pages:
                count = store.runs.count(conditions.all_matches(list(names)), MOST_COUNTED)
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
            count=count,
            most_counted=MOST_COUNTED,
            pages=pages,
            sizes=SIZES,
            endpoint=str(request.base_url).rstrip("/"),
            score_key=SCORE_KEY,
        )

    @router.get("/ui/runs/{run_id}")
    def show_run(
        request: Request, run_id: str, conditions: Annotated[RunFilter, Query()]
    ) -> Response:
        return _run_page(request, store, run_id, conditions)

    @router.post("/ui/runs/{run_id}/vote")
    def vote(request: Request, run_id: str, vote: Annotated[Vote, Form()] = "") -> Response:
        run = store.runs.get(uuid_text(run_id, "run_id")).row
        set_vote(store, run, vote)
        anchor = f"run-{run['id']}"
        return redirect(request, f"/ui/runs/{run['id']}", to_referer=True, anchor=anchor)

    @router.post("/ui/runs/{run_id}/correction")
    def correct(
        request: Request,
        run_id: str,
        form: Annotated[CorrectionForm, Form()],
        conditions: Annotated[RunFilter, Query()],
    ) -> Response:
        run = store.runs.get(uuid_text(run_id, "run_id")).row
        try:
            set_correction(store, run, None if form.undo else form.answer())
        except CorrectionError as error:
            return _run_page(request, store, run_id, conditions, form=form, fault=str(error))
        notice = "The correction was removed." if form.undo else "The correction was saved."
        return redirect(request, f"/ui/runs/{run['id']}{_trail(conditions)}", notice)

    @router.get("/ui/runs/{run_id}/correction")
    def leave_correction(run_id: str) -> Response:
        # An invalid correction is shown at this path; opening it again shows the run.
        return RedirectResponse(f"/ui/runs/{uuid_text(run_id, 'run_id')}", 303)

    @router.post("/ui/runs/{run_id}/feedback/{feedback_id}/remove")
    def remove_feedback(request: Request, run_id: str, feedback_id: str) -> Response:
        run = store.runs.get(uuid_text(run_id, "run_id")).row
        store.feedback.delete(uuid_text(feedback_id, "feedback_id"))
        notice = "The feedback was removed."
        return redirect(request, f"/ui/runs/{run['id']}", notice, to_referer=True)

    return router


def _pages(conditions: RunFilter, runs: Sequence[FoundRun], *, has_more: bool) -> dict[str, str]:
    """Return the addresses of the pages beside one, by their names."""
    pages = {}
    if runs and (conditions.after or (conditions.before and has_more)):
        pages["Newest"] = conditions.page_address()
        pages["Newer runs"] = conditions.page_address(before=cursor_after(runs[0].row))
    if runs and (conditions.before or has_more):
        pages["Older runs"] = conditions.page_address(after=cursor_after(runs[-1].row))
    return pages


def _trail(conditions: RunFilter) -> str:
    """Return the query of a run's address that says which list it was opened from."""
    return conditions.query_string() if conditions.model_fields_set else ""


def _beside(store: RunStore, conditions: RunFilter, row: Mapping[str, Any]) -> dict[str, str]:
    """Return the ids of the runs beside one in the list that it was opened from."""
    if not conditions.model_fields_set:
        return {}
    ids = [project["id"] for project in store.projects.all(limit=_MAX_LISTED)]
    found = {}
    try:
        for name, side in (("Newer run", "before"), ("Older run", "after")):
            for each in store.runs.find(conditions.beside(ids, row, side)).runs:
                found[name] = str(each.row["id"])
    except FieldError as error:
        raise ApiError(400, str(error)) from None
    return found


def _run_page(
    request: Request,
    store: RunStore,
    run_id: str,
    conditions: RunFilter,
    *,
    form: CorrectionForm | None = None,
    fault: str | None = None,
) -> Response:
    found = store.runs.get(uuid_text(run_id, "run_id"))
    row = found.row
    answering = run_views.answering_call(store, row)
    chat = run_views.run_chat(answering or row)
    correction = own_correction(store, row["id"])
    vote = run_views.own_votes(store, [row["id"]]).get(row["id"], "")
    return render_page(
        request,
        "run.html",
        section="Runs",
        status=400 if fault else 200,
        run=row,
        trail=_trail(conditions),
        list_project=conditions.project,
        beside=_beside(store, conditions, row),
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
