"""The runs: the list, and one of them."""

from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import RedirectResponse

from langchain_finetune.local.page import run_views
from langchain_finetune.local.page.feedback import (
    CORRECTION_KEY,
    SCORE_KEY,
    CorrectionForm,
    FormFaultError,
    Vote,
    correct,
    own_correction,
    vote,
)
from langchain_finetune.local.page.messages import as_json, read_message
from langchain_finetune.local.page.render_html import PageRoute, back, page
from langchain_finetune.local.page.run_filter import KINDS, STATES, FieldFaultError, RunFilter
from langchain_finetune.local.page.run_views import RunChat, run_chat
from langchain_finetune.local.store import RunStore
from langchain_finetune.local.store.run_queries import cursor_after
from langchain_finetune.local.store.values import uuid_text

_MOST = 1000
"""Projects and datasets that a form offers."""


def create_runs_router(store: RunStore) -> APIRouter:
    """Return the pages of runs."""
    router = APIRouter(route_class=PageRoute)

    @router.get("/")
    def list_runs(request: Request, asked: Annotated[RunFilter, Query()]) -> Response:
        projects = store.projects.all(limit=_MOST)
        fault, lines, next_page = None, [], ""
        try:
            query = asked.query([project["id"] for project in projects])
        except FieldFaultError as error:
            fault = error
        else:
            found = store.runs.find(query)
            lines = run_views.run_lines(store, found.runs)
            if found.has_more:
                next_page = asked.address(after=cursor_after(found.runs[-1].row))
        return page(
            request,
            "runs.html",
            section="Runs",
            status=400 if fault else 200,
            asked=asked,
            projects=projects,
            project_name=_name(projects, lines[0].row["project_id"] if lines else ""),
            datasets=store.datasets.all(limit=_MOST),
            kinds=KINDS,
            states=STATES,
            fault_field=fault and fault.field,
            fault=fault and str(fault),
            lines=lines,
            next_page=next_page,
            endpoint=str(request.base_url).rstrip("/"),
            score_key=SCORE_KEY,
        )

    @router.get("/ui/runs/{run_id}")
    def show_run(request: Request, run_id: str) -> Response:
        return _run_page(request, store, run_id)

    @router.post("/ui/runs/{run_id}/vote")
    def vote_on_run(
        request: Request, run_id: str, what: Annotated[Vote, Form(alias="vote")] = ""
    ) -> Response:
        run = store.runs.get(uuid_text(run_id, "run_id") or "").row
        vote(store, run, what)
        return back(request, f"/ui/runs/{run['id']}", came_from=True, place=f"run-{run['id']}")

    @router.post("/ui/runs/{run_id}/correction")
    def correct_run(
        request: Request, run_id: str, form: Annotated[CorrectionForm, Form()]
    ) -> Response:
        run = store.runs.get(uuid_text(run_id, "run_id") or "").row
        try:
            correct(store, run, None if form.undo else form.answer())
        except FormFaultError as error:
            return _run_page(request, store, run_id, form=form, fault=str(error))
        told = "The correction is taken back." if form.undo else "The correction is kept."
        return back(request, f"/ui/runs/{run['id']}", told)

    @router.get("/ui/runs/{run_id}/correction")
    def leave_form(run_id: str) -> Response:
        # A correction with a fault is shown at this address; who comes back to it sees the run.
        return RedirectResponse(f"/ui/runs/{uuid_text(run_id, 'run_id')}", 303)

    @router.post("/ui/runs/{run_id}/feedback/{feedback_id}/remove")
    def remove_feedback(request: Request, run_id: str, feedback_id: str) -> Response:
        run = store.runs.get(uuid_text(run_id, "run_id") or "").row
        store.feedback.delete(uuid_text(feedback_id, "feedback_id") or "")
        return back(request, f"/ui/runs/{run['id']}", "The feedback is removed.")

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
    chat = run_chat(answering) if answering else RunChat()
    kept = own_correction(store, row["id"])
    own = run_views.own_votes(store, [row["id"]]).get(row["id"], "")
    feedback = store.feedback.all(run_ids=[row["id"]], limit=_MOST)
    shown: dict[str, Any] = {
        "run": row,
        "project": store.projects.get(row["project_id"])["name"],
        "said": run_views.said_of(found.stats, own),
        "vote": own,
        "answering": answering,
        "model": run_views.model_of(answering) if answering else "",
        "seconds": run_views.seconds_of(row),
        "sent": chat.sent,
        "answers": chat.answers,
        "skipped": chat.skipped,
        "correction": kept and read_message(kept),
        "settings": {name: as_json(value) for name, value in chat.settings.items()},
        "feedback": feedback,
        "form": form or CorrectionForm.of_answer(kept, chat.answers),
        "fault": fault,
        "tree": run_views.trace_runs(store, row),
        "tags": run_views.tags_of(row),
        "metadata": run_views.metadata_of(row),
        "inputs": run_views.pretty(row["inputs"]),
        "outputs": run_views.pretty(row["outputs"]),
        "datasets": store.datasets.all(limit=_MOST),
        "score_key": SCORE_KEY,
        "correction_key": CORRECTION_KEY,
    }
    return page(request, "run.html", section="Runs", status=400 if fault else 200, **shown)


def _name(projects: list[dict[str, Any]], project_id: str) -> str:
    return next((str(each["name"]) for each in projects if each["id"] == project_id), "")
