"""Each step is a Runnable in full: schemas, settings chosen at call time, batches, streams."""

import json
import time

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from langchain_core.runnables import ConfigurableField, ConfigurableFieldSingleOption, Runnable
from langchain_openai import ChatOpenAI
from langserve import add_routes

from langchain_finetune import (
    Convert,
    FineTune,
    LangSmithDatasetChatLoader,
    LangSmithRunChatLoader,
    LangSmithThreadChatLoader,
    LoadError,
    MapSpeaker,
    RunFileChatLoader,
    RunQuery,
)
from langchain_finetune.home import HOME_VARIABLE
from support.jobs import chats, quick_flows
from support.light_engine import LightEngine, app_of
from support.servers import served

LOADERS = {
    "runs": LangSmithRunChatLoader(project_name="app"),
    "threads": LangSmithThreadChatLoader(project_name="app"),
    "dataset": LangSmithDatasetChatLoader(dataset_name="app"),
    "files": RunFileChatLoader("runs.jsonl"),
}
STEPS = {**LOADERS, "speaker": MapSpeaker("Ada"), "convert": Convert()}
TUNE = FineTune(model="nano", engine="local")
CHAINS = {
    **STEPS,
    "tune": TUNE,
    "examples": LOADERS["runs"] | Convert(),
    "bound": LOADERS["runs"] | Convert() | TUNE.with_retry(),
    "whole": LOADERS["files"] | MapSpeaker("Ada") | Convert() | TUNE,
}
FIELD = ConfigurableField(id="chosen")


def chosen(value):
    return {"configurable": {"chosen": value}}


def given(name):
    return {} if name in LOADERS else []


@pytest.mark.parametrize("name", CHAINS)
def test_a_step_tells_what_it_takes_and_gives(name):
    step = CHAINS[name]
    assert step.get_input_jsonschema()["title"]
    gives = step.get_output_jsonschema()
    assert gives["type"] == ("object" if name in {"tune", "bound", "whole"} else "array")
    assert "Configurable" not in step.get_config_jsonschema().get("$defs", {})
    graph = step.get_graph()
    json.dumps(graph.to_json(with_schemas=True))
    assert graph.draw_mermaid()


@pytest.mark.parametrize("name", ["runs", "threads"])
def test_the_schema_of_a_loader_names_the_conditions(name):
    schema = LOADERS[name].get_input_jsonschema()
    assert schema["$defs"]["RunQuery"]["properties"].keys() == RunQuery.model_fields.keys()


def test_langserve_serves_a_chain_of_the_steps_as_it_is(tmp_path):
    line = {"messages": [{"role": "user", "content": "Hi"}]}
    (tmp_path / "train.jsonl").write_text(json.dumps(line))
    app = FastAPI()
    chain = RunFileChatLoader(tmp_path / "train.jsonl") | Convert() | (lambda made: len(list(made)))
    add_routes(app, chain, path="/count")
    add_routes(app, LOADERS["runs"] | Convert() | TUNE, path="/tune")
    add_routes(app, LOADERS["runs"] | (lambda sessions: sessions.origin), path="/origin")
    client = TestClient(app)
    assert client.get("/openapi.json").status_code == 200
    for path in ("/count", "/tune", "/origin"):
        for schema in ("input_schema", "output_schema", "config_schema"):
            assert client.get(f"{path}/{schema}").status_code == 200
    assert client.post("/count/invoke", json={"input": {}}).json()["output"] == 0
    # What the caller does not name stays as the loader has it.
    answer = client.post("/origin/invoke", json={"input": {"limit": 3}}).json()["output"]
    assert answer["query"] == {"project_name": "app"}
    assert answer["this_time"] == {"limit": 3}


@pytest.mark.parametrize("name", ["runs", "threads"])
def test_conditions_can_be_chosen_when_a_loader_is_invoked(name):
    loader = LOADERS[name].configurable_fields(project_name=FIELD, limit=ConfigurableField(id="n"))
    chain = loader | Convert()
    assert chain.invoke({}).origin["query"] == {"project_name": "app"}
    assert chain.invoke({}, chosen("other")).origin["query"] == {"project_name": "other"}
    both = loader.with_config(chosen("other")).invoke({}, {"configurable": {"n": 5}})
    assert both.origin["query"] == {"project_name": "other", "limit": 5}
    assert loader.invoke({"seed": 2}, chosen("other")).origin["this_time"] == {"seed": 2}
    options = chain.get_config_jsonschema()["$defs"]["Configurable"]["properties"]
    assert options["chosen"]["default"] == "app"
    assert options["n"]["default"] is None


def test_a_whole_query_and_settings_can_be_chosen_too():
    loader = LOADERS["runs"].configurable_fields(
        query=FIELD, calls=ConfigurableField(id="calls"), seed=ConfigurableField(id="seed")
    )
    query = RunQuery(project_name="other", error=False)
    asked = {"configurable": {"chosen": query, "calls": "last", "seed": 3}}
    told = loader.invoke({}, asked).origin
    assert told["query"] == {"project_name": "other", "error": False, "seed": 3}
    assert told["calls"] == "last"


def test_one_of_several_values_can_be_chosen():
    either = ConfigurableFieldSingleOption(
        id="chosen", options={"old": "app-1", "new": "app-2"}, default="new"
    )
    loader = LOADERS["runs"].configurable_fields(project_name=either)
    assert loader.invoke({}).origin["query"] == {"project_name": "app-2"}
    assert loader.invoke({}, chosen("old")).origin["query"] == {"project_name": "app-1"}
    assert "chosen" in loader.get_config_jsonschema()["$defs"]["Configurable"]["properties"]


def test_more_fields_can_be_made_configurable_afterwards():
    loader = LOADERS["runs"].configurable_fields(project_name=FIELD)
    loader = loader.configurable_fields(tags=ConfigurableField(id="tag"))
    asked = {"configurable": {"chosen": "other", "tag": "beta"}}
    told = loader.invoke({}, asked).origin
    assert told["query"] == {"project_name": "other", "tags": ["beta"]}


def test_an_unknown_setting_and_a_wrong_value_are_told():
    with pytest.raises(ValueError, match="LangSmithRunChatLoader has no setting 'projct'"):
        LOADERS["runs"].configurable_fields(projct=FIELD)
    with pytest.raises(LoadError, match="query is invalid: limit must be greater than 0"):
        LOADERS["runs"].configurable_fields(limit=FIELD).invoke({}, chosen(-1))


@pytest.mark.parametrize(
    ("name", "setting", "value"),
    [("dataset", "dataset_name", "b"), ("files", "path", "b.jsonl"), ("files", "score", "user")],
)
def test_settings_of_the_other_loaders_can_be_chosen(name, setting, value):
    step = LOADERS[name].configurable_fields(**{setting: FIELD})
    assert (step | Convert()).invoke({}, chosen(value)).origin[setting] == value


def test_settings_of_the_later_steps_can_be_chosen():
    convert = Convert().configurable_fields(targets=FIELD)
    assert convert.invoke([], chosen("last")).settings == {"targets": "last"}
    tune = TUNE.configurable_fields(model=FIELD, suffix=ConfigurableField(id="suffix"))
    picked, _ = tune.prepare({"configurable": {"chosen": "base", "suffix": "x"}})
    assert (picked.model, picked.suffix, picked.engine) == ("base", "x", "local")


def test_loaders_can_be_alternatives():
    loader = LOADERS["runs"].configurable_alternatives(FIELD, files=LOADERS["files"])
    chain = loader | Convert()
    assert chain.invoke({}, chosen("files")).origin == {
        "loader": "RunFileChatLoader",
        "path": "runs.jsonl",
    }
    assert chain.invoke({}).origin["loader"] == "LangSmithRunChatLoader"
    assert chain.get_config_jsonschema()


def test_conditions_can_be_bound():
    bound = LOADERS["runs"].bind(limit=3, seed=1)
    assert bound.invoke({"seed": 2}).origin["this_time"] == {"limit": 3, "seed": 2}


@pytest.mark.parametrize("name", STEPS)
async def test_the_ways_to_call_a_step_agree(name):
    step, data = STEPS[name], given(name)
    kind = type(step.invoke(data))
    wrapped: list[Runnable] = [
        step,
        step.with_config(tags=["t"]),
        step.with_retry(),
        step.with_fallbacks([step]),
    ]
    for runnable in wrapped:
        made = [
            runnable.invoke(data),
            *runnable.batch([data, data]),
            *runnable.stream(data),
            await runnable.ainvoke(data),
            *await runnable.abatch([data, data]),
            *[piece async for piece in runnable.astream(data)],
        ]
        assert [type(each) for each in made] == [kind] * 8


@pytest.fixture
def engine():
    return LightEngine(now=time.time())


@pytest.fixture
def tune(engine, tmp_path, monkeypatch):
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    with quick_flows(), served(app_of(engine)) as url:
        yield FineTune(model="m", base_url=f"{url}/v1", api_key="k")


async def test_the_ways_to_call_fine_tune_agree_on_one_job(tune, engine):
    examples = Convert().invoke(chats())
    ways = [
        tune.invoke(examples),
        tune.with_retry().invoke(examples),
        tune.with_config(tags=["t"]).invoke(examples),
        tune.with_fallbacks([tune]).invoke(examples),
        *tune.batch([examples, examples]),
        *tune.stream(examples),
        await tune.ainvoke(examples),
        *await tune.abatch([examples, examples]),
        *[model async for model in tune.astream(examples)],
    ]
    assert {type(model) for model in ways} == {ChatOpenAI}
    assert len({model.model_name for model in ways}) == len(engine.jobs) == 1


def test_batches_of_different_data_make_a_job_each(tune, engine):
    made = tune.batch([Convert().invoke(chats()), Convert().invoke(chats(text="Odd {n}?"))])
    assert len({model.model_name for model in made}) == len(engine.jobs) == 2


def test_the_base_can_be_chosen_when_the_chain_is_invoked(tune, engine):
    chain = Convert() | tune.configurable_fields(model=FIELD)
    model = chain.invoke(chats(), chosen("other-base"))
    assert model.metadata["base_model"] == "other-base"
    assert [job["model"] for job in engine.jobs.values()] == ["other-base"]
