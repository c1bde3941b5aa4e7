"""The swap, step by step: what it asks of the engine."""

from types import SimpleNamespace

import pytest
from langchain_openai import ChatOpenAI
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from langchain_finetune import EngineError
from langchain_finetune.engines.local import EngineAddress
from langchain_finetune.migration import swap
from langchain_finetune.migration.swap import (
    advice,
    alias_of,
    base_url_of_engine,
    promote,
    swap_step,
)
from support.servers import served

OLD, NEW, OTHER = "ft:gpt-4o-mini:acme::1", "ft:nano:local::2", "ft:nano:local::1"


@pytest.mark.parametrize("engine", ["local", "openai"])
def test_what_answers_to_the_name_is_the_old_model_only_at_its_own_engine(engine):
    local = SimpleNamespace(engine="local")
    settings = SimpleNamespace(to=local, model=OLD, engine=engine, swap=True, out=None)
    result = SimpleNamespace(decision=SimpleNamespace(verdict="pass"), new=NEW)
    flow = swap_step(settings, SimpleNamespace(steps={}), result)
    next(flow)
    alias = {"target": OTHER, "candidate": None}
    asked = flow.send(alias).action
    if engine == "local":
        assert (asked.func, asked.args) == (promote, (OLD, NEW, alias))
    else:
        assert asked is base_url_of_engine


CHAT = ChatOpenAI(model="new", base_url="https://api.example/v1", api_key="k")
KEPT = {"promoted": False, "why": None, "verdict": "pass"}


@pytest.mark.parametrize(
    ("chat", "line"),
    [
        (CHAT, "ChatOpenAI(model='new', base_url='https://api.example/v1') for ChatOpenAI(model="),
        (ChatOpenAI(model="new", api_key="k"), "in the app, ChatOpenAI(model='new') for Chat"),
    ],
)
def test_what_to_change_in_the_app_is_told(monkeypatch, chat, line):
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    [told] = advice(OLD, chat, "openai", KEPT, None)
    assert line in told
    assert told.startswith("It passed, and was not swapped. To swap: ")
    [told] = advice(OLD, chat, "openai", KEPT | {"verdict": "fail", "why": "it is running"}, None)
    assert told.startswith("Not swapped, since it did not pass (it is running). To do it all")


@pytest.fixture
def refusing(monkeypatch):
    """An engine that refuses requests on aliases with a status; `statuses` are by verb."""
    statuses = {}

    async def answer(request):
        status = statuses.get(request.method, 200)
        return JSONResponse({"error": {"message": "no"}, "target": OTHER}, status)

    routes = [Route("/v1/aliases/{name:path}", answer, methods=["GET", "POST", "DELETE"])]
    with served(Starlette(routes=routes)) as url:
        address = EngineAddress(url, SecretStr("k"))
        monkeypatch.setattr(swap, "ensure_engine", lambda home: address)
        yield statuses


def test_an_alias_that_is_not_there_is_empty(refusing):
    assert alias_of(OLD)["target"] == OTHER
    refusing["GET"] = 404
    assert alias_of(OLD) == {}


def test_an_alias_that_somebody_else_has_changed_is_as_they_left_it(refusing):
    refusing["POST"] = 409
    assert promote(OLD, NEW, {})["target"] == OTHER


@pytest.mark.parametrize("status", [404, 400])
def test_a_swap_that_the_engine_refuses_is_told(refusing, status):
    refusing["POST"] = status
    with pytest.raises(EngineError):
        promote(OLD, NEW, {})
