"""`Job`: data that is kept, and picked up elsewhere; `FineTune.submit`, `attach`, `invoke`."""

import asyncio
import base64
import inspect
import pickle

import httpx2
import pytest
from langchain_core.callbacks import BaseCallbackHandler
from pydantic import ValidationError

from langchain_finetune import (
    Convert,
    EngineAuthenticationError,
    EngineError,
    FineTune,
    FineTuningError,
    Job,
    JobCancelledError,
    JobError,
    ModelRetiredError,
)
from langchain_finetune.finetune.callbacks import CONVERSION_EVENT, PROGRESS_EVENT
from langchain_finetune.home import HOME_VARIABLE
from support.jobs import chats, quick_flows
from support.light_engine import LightEngine, app_of
from support.servers import served

KEY = "sk-canary-key-1234567890"
TEXT = "canary text {n}"


@pytest.fixture
def engine():
    return LightEngine(now=1.0)


@pytest.fixture
def url(engine):
    with served(app_of(engine)) as url:
        yield f"{url}/v1"


@pytest.fixture
def step(url, tmp_path, monkeypatch):
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with quick_flows():
        yield FineTune(model="m", base_url=url, api_key=KEY)


@pytest.fixture
def examples():
    return Convert().invoke(chats(text=TEXT))


class Hears(BaseCallbackHandler):
    raise_error = True

    def __init__(self, then=lambda _: None):
        self.progress = []
        self.then = then

    def on_custom_event(self, name, data, **_):
        if name == PROGRESS_EVENT:
            self.progress.append(data)
            self.then(data)


def test_a_job_goes_through_json_into_another_process(step, examples, engine, url, monkeypatch):
    job = step.submit(examples)
    text = job.model_dump_json()
    assert KEY not in text
    assert "canary" not in text
    read = Job.model_validate_json(text)
    assert read == job
    assert hash(read) == hash(job)
    assert read.training_examples == 12
    assert read.with_api_key(KEY).wait().status == "succeeded"
    # The environment's key goes to the address that the environment means, and nowhere else.
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    asked = len(engine.asked)
    with pytest.raises(EngineAuthenticationError, match="with_api_key"):
        read.status()
    assert len(engine.asked) == asked
    monkeypatch.setenv("OPENAI_BASE_URL", url + "/")
    assert read.model().model_name == engine.jobs[job.job_id]["fine_tuned_model"]


def test_a_job_can_not_be_changed_and_knows_no_other_fields(step, examples):
    job = step.submit(examples)
    with pytest.raises(ValidationError):
        job.job_id = "other"
    with pytest.raises(ValidationError) as caught:
        Job.model_validate({**job.model_dump(), "api_key": KEY})
    assert KEY not in str(caught.value)


def test_no_copy_of_a_job_holds_the_key(step, examples):
    job = step.submit(examples)
    assert KEY.encode() not in pickle.dumps(job)
    assert pickle.loads(pickle.dumps(job)) == job
    assert KEY not in repr(job) + str(job) + str(job.model_dump())


def test_invoke_is_submit_then_wait_then_model(step, examples, engine):
    heard = Hears()
    model = step.invoke(examples, {"callbacks": [heard]})
    [job_id] = engine.jobs
    assert model.model_name == engine.jobs[job_id]["fine_tuned_model"]
    assert model.metadata["job_id"] == job_id == step.submit(examples).job_id
    told = [data["event_id"] for data in heard.progress if data["event_id"]]
    assert told == [event["id"] for event in engine.events[job_id]]
    again = Hears()
    assert step.invoke(examples, {"callbacks": [again]}).model_name == model.model_name
    assert [data["message"] for data in again.progress] == [None]


async def test_sync_and_async_tell_of_the_conversion_first(step, examples):
    class Conversions(BaseCallbackHandler):
        raise_error = True

        def __init__(self):
            self.told = []

        def on_custom_event(self, name, data, **_):
            self.told.append((name, data.get("examples"), data.get("ended")))

    for invoke in (step.invoke, step.ainvoke):
        heard = Conversions()
        made = invoke(examples, {"callbacks": [heard]})
        _ = await made if asyncio.iscoroutine(made) else made
        count = len(list(examples))
        assert heard.told[0] == (CONVERSION_EVENT, 0, False)
        assert (CONVERSION_EVENT, count, True) in heard.told
        assert heard.told[-1][0] == PROGRESS_EVENT


async def test_ainvoke_attaches_to_the_same_job(step, examples, engine):
    first = await step.ainvoke(examples)
    second = await step.ainvoke(examples)
    assert first.model_name == second.model_name
    assert len(engine.jobs) == 1


async def test_two_at_once_make_one_job(step, examples, engine):
    threads = [asyncio.to_thread(step.submit, examples) for _ in range(3)]
    jobs = await asyncio.gather(*threads, *[step.asubmit(examples) for _ in range(3)])
    assert len({job.job_id for job in jobs}) == len(engine.jobs) == len(engine.files) == 1


def test_attach_and_from_job_id_use_the_steps_key(step, examples, engine, url):
    job = step.submit(examples)
    read = Job.model_validate_json(job.model_dump_json())
    assert step.attach(read).status().job_id == job.job_id
    assert step.from_job_id(job.job_id) == job
    with pytest.raises(FineTuningError, match="id of a job is needed"):
        step.from_job_id("")
    with pytest.raises(EngineError, match=r"refused .404."):
        step.from_job_id("ftjob-none")
    elsewhere = FineTune(model="m", base_url="http://127.0.0.1:9/v1", api_key=KEY)
    with pytest.raises(FineTuningError, match="this step's engine"):
        elsewhere.attach(read)
    with pytest.raises(FineTuningError, match="at the engine 'openai', not 'local'"):
        FineTune(model="m", engine="local").attach(read)


def test_pause_resume_cancel(step, examples, engine):
    job = step.submit(examples)
    assert job.pause().status == "paused"
    assert job.resume().status == "queued"
    assert job.cancel().status == "cancelled"
    # Whoever did not hear the answer may ask again.
    assert job.cancel().status == "cancelled"
    with pytest.raises(JobCancelledError):
        job.wait()
    assert step.submit(examples) != job


def test_checkpoints_and_their_models(step, examples):
    job = step.submit(examples)
    kept = job.checkpoints()
    assert [checkpoint.step for checkpoint in kept] == [10, 20, 30]
    assert kept[1].metrics == {"step": 20, "valid_loss": 0.05}
    assert job.model(20, temperature=0).model_name == kept[1].model
    with pytest.raises(JobError, match="no checkpoint at step 5; it has: 10, 20, 30"):
        job.model(checkpoint=5)
    with pytest.raises(JobError, match="has given no model"):
        job.model()


def test_a_model_that_is_gone_is_said(step, examples, engine):
    model = step.invoke(examples)
    engine.gone.add(model.model_name)
    [job_id] = engine.jobs
    with pytest.raises(ModelRetiredError, match="was deleted or shut down") as caught:
        step.from_job_id(job_id).model()
    assert caught.value.job_id == job_id
    assert step.invoke(examples).model_name != model.model_name


@pytest.mark.parametrize("encode", [base64.b64encode, bytes])
def test_metrics_are_of_the_result_file_or_else_of_the_events(
    engine, tmp_path, monkeypatch, encode
):
    table = encode(b"step,train_loss,valid_loss\n1,0.5,\n2,0.25,0.4\n")
    metrics = {"id": "e", "created_at": 1, "type": "metrics", "message": "", "data": {"step": 1}}

    def handler(request):
        if request.url.path.endswith("/content"):
            return httpx2.Response(200, content=table)
        return engine(request)

    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    with served(app_of(handler)) as url, quick_flows():
        step = FineTune(model="m", base_url=f"{url}/v1", api_key=KEY)
        job = step.submit(Convert().invoke(chats()))
        engine.events[job.job_id].append(metrics)
        assert job.metrics() == [{"step": 1.0}]
        engine.jobs[job.job_id]["result_files"] = ["file-r"]
        rows = [{"step": 1, "train_loss": 0.5}, {"step": 2, "train_loss": 0.25, "valid_loss": 0.4}]
        assert job.metrics() == rows


def test_every_method_has_a_twin_that_gives_the_same(step, examples, engine):
    # Engines of OpenAI's shape hand out no weights: tests/unit/test_together.py has the twins.
    names = [name for name in vars(Job) if f"a{name}" in vars(Job) and name != "download"]
    twins = {name: f"a{name}" for name in names} | {"wait": "wait_async"}
    assert len(twins) == 9
    job = step.submit(examples)
    job.wait()

    def plain(result):
        return getattr(result, "model_name", result)

    for name, twin in twins.items():
        method, atwin = getattr(job, name), getattr(job, twin)
        signature, asignature = inspect.signature(method), inspect.signature(atwin)
        assert list(signature.parameters) == list(asignature.parameters)
        assert plain(method()) == plain(asyncio.run(atwin())), twin
