"""LoRA adapters that the engine has trained, at an upstream with vLLM's routes for them."""

from contextlib import contextmanager

import openai
import pytest
from fastapi import FastAPI
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import SecretStr

from langchain_finetune.local.app import create_app
from langchain_finetune.local.base_reference import write_four_bits
from langchain_finetune.local.documents import open_records
from langchain_finetune.local.models import Models
from langchain_finetune.local.serving import read_settings
from tests.support.servers import served

BASE = "Qwen/Qwen3-0.6B"


class StandIn:
    """What vLLM's server does about adapters, with models that say their names."""

    def __init__(self, served_as=BASE, *, loads=True):
        self.base = served_as
        self.loads = loads
        self.adapters = {}
        self.calls = []
        self.app = FastAPI()
        self.app.get("/v1/models")(self.models)
        self.app.post("/v1/chat/completions")(self.chat)
        if loads:
            self.app.post("/v1/load_lora_adapter")(self.load)
            self.app.post("/v1/unload_lora_adapter")(self.unload)

    async def models(self):
        cards = [{"id": self.base, "object": "model", "root": BASE, "parent": None}]
        cards += [{"id": name, "root": path} for name, path in self.adapters.items()]
        return {"object": "list", "data": cards}

    async def load(self, body: dict):
        self.calls.append(("load", body["lora_name"]))
        if self.loads == "refuses":
            return JSONResponse({"error": {"message": "LoRA rank 64 is greater than 16"}}, 400)
        self.adapters[body["lora_name"]] = body["lora_path"]
        return PlainTextResponse(f"Success: LoRA adapter '{body['lora_name']}' added.")

    async def unload(self, body: dict):
        self.calls.append(("unload", body["lora_name"]))
        del self.adapters[body["lora_name"]]
        return PlainTextResponse("Success")

    async def chat(self, body: dict):
        name = body["model"]
        if name not in {self.base, *self.adapters}:
            error = {"message": f"The model `{name}` does not exist.", "type": "NotFoundError"}
            return JSONResponse({"error": error}, 404)
        message = {"role": "assistant", "content": name}
        return {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": name,
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        }


class StandInOfAnother(StandIn):
    async def models(self):
        return {"object": "list", "data": [{"id": self.base, "object": "model"}]}


class Engine:
    """An engine's app with models that look as if it had trained them."""

    def __init__(self, home, url, **names):
        home.mkdir()
        self.home = home
        database = open_records(home / "engine.sqlite")
        self.models = Models(
            database, home / "models", aliases={}, resolve_base=lambda name: home / name
        )
        self.on_base = self.trained("ftjob-11111111", BASE)
        self.on_tuned = self.trained("ftjob-22222222", self.on_base)
        self.whole = self.trained("ftjob-33333333", BASE, lora=False)
        database.close()
        settings = read_settings({}, upstream=url, upstream_models=names)
        self.app = create_app(home, SecretStr("key"), serving=settings)

    def trained(self, job, model, *, lora=True):
        folder = self.home / "new"
        (folder / "adapter" if lora else folder).mkdir(parents=True)
        (folder / "config.json").write_text("{}")  # Without it, the model would be damaged.
        return self.models.keep(folder, job=job, model=model, suffix=None)


def ask(client, model):
    answer = client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": "hi"}]
    )
    return answer.choices[0].message.content


def refused(client, model):
    with pytest.raises(openai.APIStatusError) as caught:
        ask(client, model)
    return caught.value


@pytest.fixture
def running(tmp_path):
    """Runs an engine in front of a stand-in; yields both, and a client."""

    @contextmanager
    def run(stand_in, **names):
        with served(stand_in.app) as url:
            engine = Engine(tmp_path / "home", url, **names)
            with (
                served(engine.app) as front,
                openai.OpenAI(base_url=f"{front}/v1", api_key="key", max_retries=0) as client,
            ):
                yield engine, client

    return run


def test_an_adapter_is_loaded_once_and_unloaded_with_its_model(running):
    stand_in = StandIn()
    with running(stand_in) as (engine, client):
        name = engine.on_base
        assert [ask(client, name) for _ in range(3)] == [name] * 3
        assert stand_in.calls == [("load", name)]
        folder = engine.home / "models" / "ftjob-11111111" / "adapter"
        assert stand_in.adapters == {name: str(folder)}
        client.models.delete(name)
        assert stand_in.calls[1:] == [("unload", name)]


def test_an_adapter_of_an_earlier_engine_goes_with_its_model(running):
    stand_in = StandIn()
    with running(stand_in) as (engine, client):
        stand_in.adapters[engine.on_base] = "/earlier"
        client.models.delete(engine.on_base)
        assert stand_in.calls == [("unload", engine.on_base)]
        assert refused(client, engine.on_base).status_code == 404
        # What the upstream does not have, it is not asked to forget.
        client.models.delete(engine.whole)
        assert len(stand_in.calls) == 1


def test_an_adapter_of_a_base_in_four_bits_is_not_loaded_on_one_in_full(running):
    stand_in = StandIn()
    with running(stand_in) as (engine, client):
        write_four_bits(engine.home / "models" / "ftjob-11111111" / "adapter")
        assert refused(client, engine.on_base).status_code == 404
        assert not stand_in.calls


def test_an_adapter_that_the_upstream_has_is_not_loaded_again(running):
    stand_in = StandIn()
    with running(stand_in) as (engine, client):
        stand_in.adapters[engine.on_base] = "/elsewhere"
        assert ask(client, engine.on_base) == engine.on_base
        assert not stand_in.calls


def test_an_upstream_that_was_started_again_gets_it_again(running):
    stand_in = StandIn()
    with running(stand_in) as (engine, client):
        ask(client, engine.on_base)
        stand_in.adapters.clear()
        assert ask(client, engine.on_base) == engine.on_base
        assert len(stand_in.calls) == 2


def test_the_base_may_have_another_name_there(running):
    stand_in = StandIn("my-qwen")
    with running(stand_in, **{BASE: "my-qwen"}) as (engine, client):
        assert ask(client, engine.on_base) == engine.on_base
        assert ask(client, BASE) == "my-qwen"


def test_a_name_that_was_given_is_taken(running):
    stand_in = StandIn()
    with running(stand_in, **{"ft:Qwen/Qwen3-0.6B:local::11111111": BASE}) as (engine, client):
        assert ask(client, engine.on_base) == BASE
        assert not stand_in.calls


@pytest.mark.parametrize("which", ["on_tuned", "whole"])
def test_what_is_no_adapter_of_a_base_must_be_served_there(running, which):
    stand_in = StandIn()
    with running(stand_in) as (engine, client):
        error = refused(client, getattr(engine, which))
        assert error.status_code == 404
        assert "does not exist" in error.message
        assert "--upstream-model" in error.message
        assert not stand_in.calls
        stand_in.adapters[getattr(engine, which)] = "/elsewhere"
        assert ask(client, getattr(engine, which))


def test_another_base(running):
    with running(StandInOfAnother("meta-llama/Llama-3.1-8B")) as (engine, client):
        error = refused(client, engine.on_base)
        assert (error.status_code, error.code) == (404, "model_not_found")
        assert f"--upstream-model '{BASE}=NAME'" in error.message


def test_an_upstream_that_loads_no_adapters(running):
    with running(StandIn(loads=False)) as (engine, client):
        error = refused(client, engine.on_base)
        assert (error.status_code, error.code) == (404, "model_not_found")
        assert "VLLM_ALLOW_RUNTIME_LORA_UPDATING" in error.message
        assert ask(client, BASE) == BASE


def test_an_adapter_that_is_refused(running):
    with running(StandIn(loads="refuses")) as (engine, client):
        error = refused(client, engine.on_base)
        assert (error.status_code, error.code) == (502, "upstream_failed")
        assert "--max-lora-rank" in error.message
