"""The playground: the same conversation with several models, side by side."""

import asyncio
import json
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.page.context import EngineParts
from langchain_finetune.local.page.messages import read_message
from langchain_finetune.local.page.playground import (
    MOST_MODELS,
    SETTINGS,
    Column,
    Playground,
    read_playground,
    run_prompt,
    take_answer,
)
from langchain_finetune.local.page.render_html import PageRoute, fragment, page
from langchain_finetune.local.page.run_views import answering_call
from langchain_finetune.local.serving.backend import all_cards
from langchain_finetune.local.store import RunStore

_PATH = "/ui/playground"
_SETTING_WORDS: dict[str, tuple[str, str]] = dict(
    zip(
        SETTINGS,
        [("Temperature", "the model's own"), ("Most tokens", "to the limit"), ("Seed", "random")],
        strict=True,
    )
)
"""Words and placeholders of the fields that are numbers."""


def create_playground_pages(engine: EngineParts, store: RunStore) -> APIRouter:
    """Return the playground's page.

    Args:
        engine: Its models answer.
        store: Its runs can be gone on with.
    """
    router = APIRouter(route_class=PageRoute)

    @router.get(_PATH)
    async def open_playground(
        request: Request, model: Annotated[list[str] | None, Query()] = None, run: str = ""
    ) -> Response:
        names = (model or _usual(engine))[:MOST_MODELS]
        if run:
            state = run_prompt(await asyncio.to_thread(_model_call, store, run), names)
        else:
            state = Playground([Column(name) for name in names])
        state.columns += [Column() for _ in range(MOST_MODELS - len(state.columns))]
        return await _page(engine, request, state)

    @router.post(_PATH)
    async def answer_whole(request: Request) -> Response:
        state, waiting = await _turn(request)
        await asyncio.gather(*(_ask(engine, state, column) for column in waiting))
        failed = bool(state.errors) or any(column.error for column in state.columns)
        return await _page(engine, request, state, 400 if failed else 200)

    @router.post(f"{_PATH}/turn")
    async def answer_script(request: Request) -> Response:
        try:
            state, waiting = await _turn(request)
        except ApiError as error:
            return JSONResponse(error.body(), error.status)
        places = [place for place, column in enumerate(state.columns) if column in waiting]
        drawn = fragment("_playground.html", **await _shown(engine, state, places))
        requests = [
            {"column": place, "body": state.request(state.columns[place])} for place in places
        ]
        return JSONResponse({"html": bytes(drawn.body).decode(), "requests": requests})

    return router


def _model_call(store: RunStore, run_id: str) -> Mapping[str, Any]:
    """Return the row of a run, or of the call inside that gave its answer."""
    row = store.runs.get(run_id).row
    return answering_call(store, row) or row


async def _turn(request: Request) -> tuple[Playground, list[Column]]:
    """Return the playground after what the form asks for, and who is to answer."""
    async with request.form(max_files=0) as form:
        fields = {
            name: [each for each in form.getlist(name) if isinstance(each, str)] for name in form
        }
    state = read_playground(fields)
    match fields.get("action"):
        case ["clear"]:
            state.clear()
        case ["show"]:
            pass
        case _:
            return state, state.say()
    return state, []


async def _ask(engine: EngineParts, state: Playground, column: Column) -> None:
    body = state.request(column)
    try:
        body |= {"model": engine.models.target(column.model)}
        async with engine.chats.create(body) as answer:
            answered = json.loads(bytes(answer.body))
    except ApiError as error:
        column.error = error.message
        return
    if "error" in answered:
        column.error = answered["error"]["message"]
    else:
        take_answer(column, answered)


def _usual(engine: EngineParts) -> list[str]:
    """Return the newest fine-tuned model and its base, or else the engine's own base."""
    tuned = [each for each in engine.models.fine_tuned() if each.step is None]
    return [tuned[-1].base, tuned[-1].id] if tuned else ["nano"]


async def _page(
    engine: EngineParts, request: Request, state: Playground, status: int = 200
) -> Response:
    shown = await _shown(engine, state, [])
    return page(request, "playground.html", section="Playground", status=status, **shown)


async def _shown(engine: EngineParts, state: Playground, waiting: list[int]) -> dict[str, Any]:
    names = [card["id"] for card in await all_cards(engine.models, engine.chats)]
    # Others may be asked for in the address, such as a base that is a folder.
    names += [column.model for column in state.columns if column.model not in ["", *names]]
    return {
        "state": state,
        "waiting": waiting,
        "models": names,
        "read_message": read_message,
        "settings": _SETTING_WORDS,
    }
