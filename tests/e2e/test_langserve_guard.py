"""Who can reach what over HTTP, and what nobody is told."""

import contextlib
import json
import time

import httpx
import pytest
from fastapi import FastAPI
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableLambda
from langchain_core.tracers import LangChainTracer
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

from langchain_finetune import Convert, FineTune, FineTuningError
from langchain_finetune.langserve import FineTuneSerializer, add_finetune_routes
from langchain_finetune.langserve.jobs import ServedJobs
from langchain_finetune.langserve.steps import served_steps
from langchain_finetune.loaders.query import RunQuery
from support.servers import served

CANARY = "canary-7f3a"
STEPS = ("submit", "status", "events", "cancel", "model", "chain")

pytestmark = [
    pytest.mark.train,
    # LangServe reads a model's fields in a way that pydantic is to give up.
    pytest.mark.filterwarnings("ignore:Accessing the 'model_fields' attribute on the instance"),
    pytest.mark.filterwarnings("ignore:astream_log is deprecated"),
]


class OnlyHowMany(BaseModel):
    limit: int | None = None


def post(address, given, **headers):
    return httpx.post(address, json={"input": given}, headers=headers, timeout=60)


def received(address, given):
    """Yield what comes before a stream that failed breaks off."""
    with (
        contextlib.suppress(httpx.RemoteProtocolError),
        httpx.stream("POST", address, json={"input": given}, timeout=60) as answer,
    ):
        yield from answer.iter_raw()


def test_guarded_routes_let_nobody_in_without_a_pass(url, job_id):
    for step in STEPS:
        assert post(f"{url}/guarded/{step}/invoke", {"job_id": job_id}).status_code == 401
        for page in ("playground/", "input_schema"):
            assert httpx.get(f"{url}/guarded/{step}/{page}").status_code == 401
    request = {"x-pass": "yes"}
    assert post(f"{url}/guarded/submit/invoke", {}, **request).status_code == 200
    passed = post(f"{url}/guarded/status/invoke", {"job_id": job_id}, **request)
    assert passed.status_code == 200


def test_only_jobs_that_were_submitted_here_can_be_reached(chain, job_id, liked):
    """The engine's account holds more: the same job, made by another route, is one of them."""
    app = FastAPI()
    add_finetune_routes(app, chain, path="/other")
    with served(app) as url:
        for step in STEPS[1:]:
            refused = post(f"{url}/other/{step}/invoke", {"job_id": job_id, "input": "Hi"})
            # Only /chain has a field `input`.
            assert refused.status_code == (404 if step == "chain" else 422)
            if step != "chain":
                refused = post(f"{url}/other/{step}/invoke", {"job_id": job_id})
                assert refused.status_code == 404
            assert "No job" in refused.json()["detail"]
        assert post(f"{url}/other/submit/invoke", {}).json()["output"]["job_id"] == job_id
        assert post(f"{url}/other/status/invoke", {"job_id": job_id}).status_code == 200
    again = FastAPI()
    add_finetune_routes(again, chain, path="/other")
    with served(again) as url:
        # It is known after a restart, too.
        assert post(f"{url}/other/status/invoke", {"job_id": job_id}).status_code == 200


def test_a_page_of_another_site_can_start_nothing(url):
    """A browser sends such bodies without asking; JSON it sends only after asking."""
    body = json.dumps({"input": {}})
    for kind in ("text/plain", "application/x-www-form-urlencoded", None):
        headers = {"content-type": kind} if kind else {}
        for way in ("invoke", "batch", "stream", "stream_log", "stream_events"):
            sent = httpx.post(f"{url}/finetune/submit/{way}", content=body, headers=headers)
            assert sent.status_code == 415


def test_a_narrow_query_lets_callers_choose_nothing_else(chain):
    app = FastAPI()
    add_finetune_routes(app, chain, path="/narrow", query_type=OnlyHowMany)
    with served(app) as url:
        asked = {"limit": 1, "project_name": "somebody-elses"}
        refused = post(f"{url}/narrow/submit/invoke", asked)
    # The project was ignored: there was one chat, and that is too few.
    assert refused.status_code == 400
    assert "at least 10" in refused.json()["detail"]


def test_no_caller_can_watch_the_chats(engine):
    """The steps before FineTune handle the chats; what they return is not for callers."""
    few = [{"messages": [HumanMessage(CANARY), AIMessage("Hello")]}]
    app = FastAPI()
    chain = RunnableLambda(lambda _: few) | Convert() | FineTune(model="nano", engine="local")
    add_finetune_routes(app, chain)
    with served(app) as url:
        for way in ("stream_log", "stream_events", "stream", "invoke"):
            told = b"".join(received(f"{url}/finetune/submit/{way}", {})).decode()
            assert CANARY not in told
            assert "at least 10" in told


class Slowly(list):
    """Chats that take their time."""

    def __iter__(self):
        for chat in super().__iter__():
            time.sleep(0.1)
            yield chat


def test_a_caller_that_goes_away_while_a_job_is_made_cancels_nothing(engine):
    chats = Slowly(
        {"messages": [HumanMessage(f"Is {number} odd?"), AIMessage("Perhaps.")]}
        for number in range(12)
    )
    fine_tune = FineTune(model="nano", engine="local", suffix="left", seed=4, on_cancel="cancel")
    app = FastAPI()
    chain = RunnableLambda(lambda _: chats) | Convert() | fine_tune
    add_finetune_routes(app, chain, path="/left")
    with served(app) as url:
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{url}/left/submit/stream", json={"input": {}}, timeout=0.4)
        job = post(f"{url}/left/submit/invoke", {}).json()["output"]
        request = {"job_id": job["job_id"]}
        status = post(f"{url}/left/status/invoke", request).json()["output"]
        assert status["status"] != "cancelled"
        assert post(f"{url}/left/cancel/invoke", request).status_code == 200


@pytest.mark.filterwarnings("ignore:list_runs")
def test_no_key_is_sent_or_traced(chain, job_id, langsmith, engine):
    steps = chain.steps
    headers = {"default_headers": {"x-key": CANARY}, "metadata": {"note": CANARY}}
    fine_tune = steps[-1].model_copy(update={"chat_settings": headers})
    app = FastAPI()
    add_finetune_routes(app, steps[0] | steps[1] | fine_tune)
    key = engine.api_key.get_secret_value()
    request = {"job_id": job_id}
    with served(app) as url:
        post(f"{url}/finetune/submit/invoke", {})
        for way in ("invoke", "stream", "stream_events"):
            answer = post(f"{url}/finetune/model/{way}", request)
            assert answer.status_code == 200
            assert "ft:nano" in answer.text
            assert key not in answer.text
            assert CANARY not in answer.text
    tracer = LangChainTracer(project_name="served", client=langsmith)
    jobs = ServedJobs(steps[0] | steps[1] | fine_tune, "/finetune")
    served_steps(jobs, RunQuery, lambda model: model)["model"].invoke(
        request, {"callbacks": [tracer]}
    )
    tracer.wait_for_futures()
    langsmith.flush()
    [run] = langsmith.list_runs(project_name="served")
    assert run.outputs["model"].startswith("ft:nano")
    assert CANARY not in run.model_dump_json()
    assert key not in run.model_dump_json()


def test_a_key_goes_only_where_its_owner_said(tuned):
    sent = FineTuneSerializer().dumps([tuned])
    [plain] = FineTuneSerializer().loads(sent)
    assert plain["model"] == tuned.model_name
    with pytest.raises(FineTuningError, match="the key is for https"):
        FineTuneSerializer("k").loads(sent)
    [model] = FineTuneSerializer("k", base_url="http://gateway.example/v1").loads(sent)
    assert model.openai_api_base == "http://gateway.example/v1"
    broken = json.dumps([{**plain, "headers": {}}]).encode()
    with pytest.raises(FineTuningError, match="malformed model manifest"):
        FineTuneSerializer("k").loads(broken)


def test_what_holds_settings_is_not_sent(tuned):
    model = ChatOpenAI(
        model="m",
        api_key=CANARY,
        base_url=f"https://user:{CANARY}@host:8443/v1?a=b",
        default_headers={"x-key": CANARY},
        metadata={"job_id": "j", "mine": CANARY},
    )
    sent = FineTuneSerializer().dumps({"model": model})
    assert CANARY.encode() not in sent
    assert b"https://host:8443/v1" in sent
    with pytest.raises(TypeError, match="_ChatModelBinding"):
        FineTuneSerializer().dumps(model.bind(stop=["x"]))
