"""The playground: the same conversation with several models, side by side."""

import asyncio
import json
from contextlib import suppress
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse

from langchain_finetune.display.messages import read_chat
from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.page.engine_parts import EngineParts
from langchain_finetune.local.page.playground import (
    MAX_MODELS,
    Column,
    Playground,
    append_answer,
    playground_of_run,
    playground_of_training,
    read_playground,
)
from langchain_finetune.local.page.render_html import render_fragment, render_page
from langchain_finetune.local.page.run_views import answering_call
from langchain_finetune.local.serving.backend import all_cards
from langchain_finetune.local.store import RunStore

_PATH = "/ui/playground"
_READ_BYTES = 2**22
"""How much of a training file is read."""

_SETTINGS = {
    "temperature": ("Temperature", "model default"),
    "max_tokens": ("Max tokens", "model limit"),
    "seed": ("Seed", "random"),
}
"""Labels and placeholders of the numeric fields."""


def create_playground_pages(engine: EngineParts, store: RunStore) -> APIRouter:
    """Return the pages of the playground."""
    router = APIRouter()

    @router.get(_PATH)
    async def open_playground(
        request: Request, model: Annotated[list[str] | None, Query()] = None, run: str = ""
    ) -> Response:
        names = (model or _default_models(engine))[:MAX_MODELS]
        opened = partial(_of_run, store, run) if run else partial(_as_trained, engine)
        state = await asyncio.to_thread(opened, names)
        state.columns += [Column() for _ in range(MAX_MODELS - len(state.columns))]
        return await show(request, state)

    @router.post(_PATH)
    async def answer_form(request: Request) -> Response:
        state, waiting = await _apply_form(request)
        await asyncio.gather(*(_complete(engine, state, column) for column in waiting))
        failed = bool(state.errors) or any(column.error for column in state.columns)
        return await show(request, state, 400 if failed else 200)

    @router.post(f"{_PATH}/turn")
    async def answer_script(request: Request) -> Response:
        state, waiting = await _apply_form(request)
        positions = [number for number, column in enumerate(state.columns) if column in waiting]
        view = await _view(engine, state, positions)
        requests = [
            {"column": number, "body": state.request(state.columns[number])} for number in positions
        ]
        return JSONResponse(
            {"html": render_fragment("_playground.html", **view), "requests": requests}
        )

    async def show(request: Request, state: Playground, status: int = 200) -> Response:
        view = await _view(engine, state, [])
        return render_page(request, "playground.html", section="Playground", status=status, **view)

    return router


def _of_run(store: RunStore, run_id: str, names: list[str]) -> Playground:
    """Return a playground that asks again what the model call was asked that answered in a run."""
    row = store.runs.get(run_id).row
    call = answering_call(store, row) or row
    return playground_of_run(call, names, exact=row["run_type"] == "llm")


def _as_trained(engine: EngineParts, names: list[str]) -> Playground:
    """Return a playground with the set-up that the last fine-tuned model was trained with."""
    jobs = {each.id: each.job for each in engine.models.fine_tuned()}
    for name in reversed(names):
        # The job or its file may be gone, or be none that can be read.
        with suppress(ApiError, OSError, ValueError):
            if job := jobs.get(engine.models.target(name)):
                path = engine.files.path(engine.journal.get(job).training_file)
                with path.open("rb") as file:
                    return playground_of_training(file.readlines(_READ_BYTES), name, names)
    return Playground([Column(name) for name in names])


async def _apply_form(request: Request) -> tuple[Playground, list[Column]]:
    """Return the state after the form's action, and the columns that await an answer."""
    async with request.form(max_files=0) as form:
        fields = {
            name: [each for each in form.getlist(name) if isinstance(each, str)] for name in form
        }
    state = read_playground(fields)
    action = fields.get("action")
    if action == ["clear"]:
        state.clear()
    return state, [] if action in (["clear"], ["show"]) else state.submit()


async def _complete(engine: EngineParts, state: Playground, column: Column) -> None:
    body = state.request(column)
    try:
        body |= {"model": engine.models.target(column.model)}
        async with engine.chats.create(body) as response:
            completion = json.loads(bytes(response.body))
    except ApiError as error:
        column.error = error.message
        return
    if "error" in completion:
        column.error = completion["error"]["message"]
    else:
        append_answer(column, completion)


def _default_models(engine: EngineParts) -> list[str]:
    """Return the base and the name of the newest fine-tuned model, or the included base."""
    tuned = [each for each in engine.models.fine_tuned() if each.step is None]
    return [tuned[-1].base, tuned[-1].id] if tuned else ["nano"]


async def _view(engine: EngineParts, state: Playground, waiting: list[int]) -> dict[str, Any]:
    names = [card["id"] for card in await all_cards(engine.models, engine.chats)]
    # The URL may name other models, such as the folder of a base model.
    names += [column.model for column in state.columns if column.model not in ["", *names]]
    return {
        "state": state,
        "waiting": waiting,
        "models": names,
        "read_chat": read_chat,
        "settings": _SETTINGS,
    }
