"""The form that starts a job."""

import asyncio
import secrets
from contextlib import suppress
from typing import Any

from fastapi import APIRouter, Request, Response

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.jobs.schemas import JobRecord
from langchain_finetune.local.page import job_form, job_views
from langchain_finetune.local.page.engine_parts import EngineParts
from langchain_finetune.local.page.render_html import redirect, render_page
from langchain_finetune.local.page.training_data import start_job
from langchain_finetune.local.store import RunStore
from langchain_finetune.methods import METHODS, Hyperparameters

_MOST_CHOICES = 500
_PATH = "/ui/jobs/new"


def create_job_form_pages(engine: EngineParts, store: RunStore) -> APIRouter:
    """Return the page that starts jobs."""
    router = APIRouter()
    one_at_a_time = asyncio.Lock()

    @router.get(_PATH)
    async def show_form(
        request: Request, dataset: str = "", file: str = "", model: str = ""
    ) -> Response:
        source = f"dataset:{dataset}" if dataset else f"file:{file}" if file else ""
        values = {"source": source, "model": model or "nano"}
        return await _form(engine, store, request, values, {})

    @router.post(_PATH)
    async def send_form(request: Request) -> Response:
        async with request.form(max_files=0) as form:
            given = {name: value for name, value in form.items() if isinstance(value, str)}
        try:
            # A second click waits here until the first has made the job, and then finds it.
            async with one_at_a_time:
                job = _made_before(engine, given)
                job = job or await start_job(engine, store, job_form.read_job_form(given))
        except job_form.FormError as error:
            return await _form(engine, store, request, given, error.errors)
        except ApiError as error:
            return await _form(engine, store, request, given, job_form.errors_of(error, given))
        return redirect(request, f"/ui/jobs/{job.id}")

    return router


def _made_before(engine: EngineParts, given: dict[str, str]) -> JobRecord | None:
    metadata = {job_form.TOKEN_KEY: job_form.job_key(given)}
    found = engine.journal.page(limit=1, after=None, metadata=metadata).records
    return found[0] if found else None


def _datasets(store: RunStore, source: str) -> list[dict[str, Any]]:
    """Return the newest datasets, and the requested one, however old."""
    found = store.datasets.all(limit=_MOST_CHOICES)
    kind, _, asked = source.partition(":")
    if kind == "dataset" and asked not in {each["id"] for each in found}:
        with suppress(ApiError):
            found.append(store.datasets.get(asked))
    return found


async def _form(
    engine: EngineParts,
    store: RunStore,
    request: Request,
    values: dict[str, str],
    errors: dict[str, str],
) -> Response:
    datasets = await asyncio.to_thread(_datasets, store, values.get("source", ""))
    uploaded = engine.files.page(
        limit=_MOST_CHOICES, after=None, purpose="fine-tune", ascending=False
    )
    names = [card["id"] for card in engine.models.cards()]
    jobs = engine.journal.page(limit=_MOST_CHOICES, after=None, metadata={}).records
    users = job_views.users_of_files(jobs)
    shown = dict.fromkeys((*job_form.FIELDS, "token"), "") | {"method": "supervised"} | values
    shown["token"] = shown["token"] or secrets.token_urlsafe(16)
    if shown["model"] and shown["model"] not in names:
        # It is from the address, or from an earlier attempt.
        shown |= {"model": "", "other_model": shown["other_model"] or shown["model"]}
    return render_page(
        request,
        "job_form.html",
        section="Jobs",
        status=400 if errors else 200,
        values=shown,
        errors=errors,
        datasets=datasets,
        files=[
            (each.id, job_views.file_label(each, users.get(each.id))) for each in uploaded.records
        ],
        models=names,
        methods=METHODS.values(),
        hyperparameters=[
            (name, Hyperparameters.model_fields[name].title) for name in job_form.HYPERPARAMETERS
        ],
        most_share=job_form.MOST_SHARE,
    )
