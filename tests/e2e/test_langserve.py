"""The fine-tuning chain over HTTP: clients submit, watch, go away, come back, use the model."""

import asyncio
import json
import threading

import httpx
import pytest
from fastapi import FastAPI
from langchain_core.runnables import RunnableLambda
from langchain_openai import ChatOpenAI
from langserve import RemoteRunnable

from langchain_finetune import Convert, FineTune, RunQuery
from langchain_finetune.langserve import FineTuneSerializer, add_finetune_routes
from support.servers import served
from walkthrough.calculator import PROMPT, Calculator

# LangServe reads a model's fields in a way that pydantic is to give up; it is not ours to change.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Accessing the 'model_fields' attribute on the instance"
)


def test_the_state_and_each_event_in_order(url, job_id):
    status = RemoteRunnable(f"{url}/finetune/status").invoke({"job_id": job_id})
    assert (status["status"], status["job_id"]) == ("succeeded", job_id)
    remote = RemoteRunnable(f"{url}/finetune/events")
    events = list(remote.stream({"job_id": job_id}))
    assert events == remote.invoke({"job_id": job_id})["events"] != []
    assert len({event["id"] for event in events}) == len(events)
    # A client that was gone goes on where it was.
    assert list(remote.stream({"job_id": job_id, "after": events[2]["id"]})) == events[3:]


async def test_the_same_without_blocking(url, job_id):
    status = await RemoteRunnable(f"{url}/finetune/status").ainvoke({"job_id": job_id})
    assert status["status"] == "succeeded"


def test_a_client_gets_the_model_with_its_own_key(url, job_id, tuned, engine):
    key = engine.api_key.get_secret_value()
    remote = RemoteRunnable(
        f"{url}/finetune/model",
        serializer=FineTuneSerializer(key, base_url=engine.base_url, temperature=0),
    )
    model = remote.invoke({"job_id": job_id})
    assert isinstance(model, ChatOpenAI)
    assert model.metadata == tuned.metadata
    question = {"input": "What's 56/7?"}
    [ours] = (PROMPT | model.bind_tools([Calculator])).invoke(question).tool_calls
    [theirs] = (PROMPT | tuned.bind_tools([Calculator])).invoke(question).tool_calls
    assert ours["args"] == theirs["args"]
    # Without a key of its own it gets data, and no key travels.
    plain = RemoteRunnable(f"{url}/finetune/model").invoke({"job_id": job_id})
    assert plain["model"] == tuned.model_name
    assert key not in str(plain)
    kept = RemoteRunnable(f"{url}/finetune/model", serializer=FineTuneSerializer())
    assert kept.invoke({"job_id": job_id}) == plain


def test_the_models_chain_answers_and_streams(url, job_id):
    remote = RemoteRunnable(f"{url}/finetune/chain")
    request = {"job_id": job_id, "input": {"input": "What's 56/7?"}}
    assert remote.invoke(request) == "".join(remote.stream(request))


def test_what_goes_wrong_has_a_status_and_a_sentence(url):
    def answer(step, given):
        return httpx.post(f"{url}/finetune/{step}/invoke", json={"input": given}, timeout=60)

    nothing = answer("submit", {"filter": 'eq(name, "Nobody")'})
    assert nothing.status_code == 400
    assert "no training example" in nothing.json()["detail"]
    unknown = answer("status", {"job_id": "ftjob-none"})
    assert unknown.status_code == 404
    assert "ftjob-none" in unknown.json()["detail"]
    assert answer("status", {"job": "x"}).status_code == 422
    assert answer("submit", {"projekt": "x"}).status_code == 422


def test_the_schemas_and_the_playground_are_there(url):
    schema = httpx.get(f"{url}/finetune/submit/input_schema").json()
    assert set(schema["properties"]) == set(RunQuery.model_fields)
    # The playground stays blank where a type may be null.
    assert '"null"' not in json.dumps(schema)
    for step in ("submit", "status", "events", "cancel", "model", "chain"):
        assert httpx.get(f"{url}/finetune/{step}/output_schema").status_code == 200
        assert httpx.get(f"{url}/finetune/{step}/playground/").status_code == 200
    assert httpx.get(f"{url}/openapi.json").status_code == 200


def test_a_client_that_goes_away_loses_nothing(liked, langsmith, engine):
    gone = threading.Event()

    def when_it_has_gone(sessions):
        assert gone.wait(60)
        return sessions

    fine_tune = FineTune(model="nano", engine="local", suffix="gone", seed=2)
    chain = liked | RunnableLambda(when_it_has_gone) | Convert() | fine_tune
    app = FastAPI()
    add_finetune_routes(app, chain)
    with served(app) as url:

        async def submit(seconds):
            async with httpx.AsyncClient(timeout=seconds) as client:
                sent = await client.post(f"{url}/finetune/submit/invoke", json={"input": {}})
                return sent.json()["output"]["job_id"]

        with pytest.raises(httpx.TimeoutException):
            asyncio.run(submit(0.4))
        gone.set()
        first, second = asyncio.run(submit(60)), asyncio.run(submit(60))
        assert first == second
        cancelled = httpx.post(
            f"{url}/finetune/cancel/invoke", json={"input": {"job_id": first}}, timeout=60
        )
        assert cancelled.json()["output"]["status"] == "cancelled"


def test_a_chain_that_does_not_end_with_fine_tune_is_refused(liked):
    with pytest.raises(ValueError, match="must end with FineTune"):
        add_finetune_routes(FastAPI(), liked | Convert())
    with pytest.raises(ValueError, match="must end with FineTune"):
        add_finetune_routes(FastAPI(), FineTune(model="nano", engine="local"))
