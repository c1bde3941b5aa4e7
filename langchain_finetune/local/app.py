"""The engine's HTTP application: OpenAI's API under `/v1`, LangSmith's API, the web page."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from pydantic import SecretStr

from langchain_finetune.durable import flush
from langchain_finetune.local.auth.guard import Guard, install_error_handlers
from langchain_finetune.local.auth.sessions import PageSessions
from langchain_finetune.local.base_library import library_folder
from langchain_finetune.local.base_models import added_bases, find_base, resolve_base
from langchain_finetune.local.documents import open_records
from langchain_finetune.local.files import Files
from langchain_finetune.local.jobs.journal import Journal
from langchain_finetune.local.jobs.queue import JobQueue
from langchain_finetune.local.models import Models
from langchain_finetune.local.openai_api.aliases import create_aliases_router
from langchain_finetune.local.openai_api.answers import create_answers_router
from langchain_finetune.local.openai_api.files import create_files_router
from langchain_finetune.local.openai_api.jobs import create_jobs_router
from langchain_finetune.local.openai_api.model_files import create_model_files_router
from langchain_finetune.local.openai_api.models import create_models_router
from langchain_finetune.local.openai_api.openapi import ErrorBody, describe
from langchain_finetune.local.openai_api.shadows import Shadows
from langchain_finetune.local.openai_api.uploads import create_uploads_router
from langchain_finetune.local.page.engine_parts import EngineParts
from langchain_finetune.local.page.render_html import render_page
from langchain_finetune.local.page.router import add_page
from langchain_finetune.local.safe_logging import log_failure
from langchain_finetune.local.serving import ServingSettings, make_chat
from langchain_finetune.local.serving.backend import Chat
from langchain_finetune.local.store import NO_LIMITS, Limits, RunStore, create_store_router
from langchain_finetune.local.training.machines.settings import Machines
from langchain_finetune.local.uploads import Uploads

logger = logging.getLogger(__name__)


def create_app(
    home: Path,
    key: SecretStr,
    *,
    aliases: Mapping[str, str] | None = None,
    limits: Limits = NO_LIMITS,
    store_server: str | None = None,
    trainer: Sequence[str] | None = None,
    machines: Machines | None = None,
    chat: Callable[[Models, ServingSettings], Chat] = make_chat,
    serving: ServingSettings | None = None,
) -> FastAPI:
    """Build the application of one engine, whose home no other engine may use at the same time.

    The key is that of requests, and signs in to the page. A command `trainer` replaces the
    engine's own; the path of a job's specification is appended to it. Training processes run on the
    `machines`, or here alone. With the address of a `store_server`, runs and datasets are there in
    place of the home.
    """
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    database = open_records(home / "engine.sqlite")
    files = Files(database, home / "files")
    uploads = Uploads(database, home / "uploads", files)
    library = library_folder(home)
    models = Models(
        database,
        home / "models",
        aliases=aliases or {},
        resolve_base=partial(resolve_base, library=library),
        added=partial(added_bases, library),
        find_base=partial(find_base, library=library),
    )
    journal = Journal(database)
    queue = JobQueue(journal, files, models, home / "jobs", trainer, machines=machines)
    store = RunStore(home / "runs.sqlite", limits, server=store_server)
    # The names of the files and folders that were made just now.
    flush(home)
    serving = serving or ServingSettings()
    chats = chat(models, serving)
    shadows = Shadows(store.runs.apply, in_turn=serving.upstream is None)
    sessions = PageSessions()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        uploads.sweep()
        queue.start()
        database.hurry()
        warming = asyncio.create_task(chats.warm())
        warming.add_done_callback(_log_if_failed)
        shadowing = asyncio.create_task(shadows.run())
        yield
        for task in (warming, shadowing):
            task.cancel()
        await asyncio.gather(warming, shadowing, return_exceptions=True)
        await queue.stop()
        await chats.close()
        store.close()
        database.close()

    app = FastAPI(
        title="langchain-finetune",
        version=version("langchain-finetune"),
        lifespan=lifespan,
        # FastAPI's documentation pages would load scripts from the network.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        responses={"4XX": {"model": ErrorBody, "description": "An error in OpenAI's shape."}},
    )
    # As in FastAPI's guide "Extending OpenAPI".
    app.openapi = cache(partial(describe, app))  # type: ignore[method-assign]
    app.add_middleware(Guard, key=key, sessions=sessions, render=render_page)
    install_error_handlers(app, render_page)

    @app.get("/health")
    @app.head("/health", include_in_schema=False)
    async def health() -> dict[str, Any]:
        # The process id distinguishes this engine from a later one at the same address.
        return {
            "langchain_finetune": version("langchain-finetune"),
            "pid": os.getpid(),
            "jobs": "waiting for a locked or failing disk" if journal.waits else "ok",
        }

    app.include_router(create_files_router(files), prefix="/v1")
    app.include_router(create_uploads_router(uploads), prefix="/v1")
    app.include_router(create_jobs_router(queue, journal, models, home), prefix="/v1")
    app.include_router(create_models_router(models, chats), prefix="/v1")
    app.include_router(create_model_files_router(models), prefix="/v1")
    app.include_router(create_aliases_router(models, chats, store), prefix="/v1")
    app.include_router(create_answers_router(chats, models.aliases.get, shadows), prefix="/v1")
    app.include_router(create_store_router(store))
    add_page(app, store, sessions, key, EngineParts(queue, journal, files, models, chats, home))
    return app


def _log_if_failed(warming: asyncio.Task[None]) -> None:
    if not warming.cancelled() and (error := warming.exception()):
        log_failure(logger, "Loading the chat service", error)
