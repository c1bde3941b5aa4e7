"""The wait decides without I/O: an injected clock and scripted answers, no sleeping."""

from types import SimpleNamespace

import httpx2
import openai
import pytest

from langchain_finetune.errors import (
    EngineAuthenticationError,
    FineTuningError,
    JobCancelledError,
    JobFailedError,
    JobTimeoutError,
)
from langchain_finetune.finetune.job import EngineSilent, FinishedJob, JobProgress
from langchain_finetune.finetune.steps import arun_flow, run_flow
from langchain_finetune.finetune.wait import Patience, wait_for_job

REQUEST = httpx2.Request("GET", "http://127.0.0.1:9/v1/fine_tuning/jobs/j")


def status_error(kind, status):
    return kind("no", response=httpx2.Response(status, request=REQUEST), body={"message": "no"})


def job(status, **fields):
    plain = {"id": "j", "error": None, "fine_tuned_model": None, "trained_tokens": None}
    return SimpleNamespace(**(plain | fields), status=status)


def event(name):
    return SimpleNamespace(id=name, message=f"event {name}", data={"step": 1})


DONE = job("succeeded", fine_tuned_model="ft:x", trained_tokens=7)


class ScriptedEngine:
    """Answers `retrieve` from a script; `events` are those that have happened by then."""

    def __init__(self, answers, events=()):
        self.answers = list(answers)
        self.happened = [list(names) for names in events]
        self.now = []
        self.fine_tuning = SimpleNamespace(
            jobs=SimpleNamespace(retrieve=self.retrieve, list_events=self.list_events)
        )

    def retrieve(self, job_id):
        assert job_id == "j"
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if self.happened:
            self.now = self.happened.pop(0)
        if isinstance(answer, openai.OpenAIError):
            raise answer
        return answer

    def list_events(self, _job_id, limit, after=None):
        names = self.now[::-1]
        start = names.index(after) + 1 if after else 0
        page = names[start : start + min(limit, 2)]
        more = start + len(page) < len(names)
        return SimpleNamespace(data=[event(name) for name in page], has_more=more)


class AsyncEngine:
    """The same, as the async client answers."""

    def __init__(self, engine):
        async def retrieve(*args):
            return engine.retrieve(*args)

        async def list_events(*args, **kwargs):
            return engine.list_events(*args, **kwargs)

        jobs = SimpleNamespace(retrieve=retrieve, list_events=list_events)
        self.fine_tuning = SimpleNamespace(jobs=jobs)


class Clock:
    def __init__(self):
        self.time = 0.0
        self.pauses = []

    def __call__(self):
        return self.time

    def sleep(self, seconds):
        self.pauses.append(seconds)
        self.time += seconds


def wait(engine, clock, timeout_s=1800.0):
    news = []
    patience = Patience(timeout_s, first_s=1.0, longest_s=60.0, clock=clock)
    flow = wait_for_job("j", patience, "http://engine/v1")
    return run_flow(flow, engine, news.append, clock.sleep), news


def test_the_model_comes_back_when_the_job_succeeded():
    finished, news = wait(ScriptedEngine([job("queued"), job("running"), DONE]), Clock())
    assert finished == FinishedJob("j", "ft:x", 7)
    assert [told.status for told in news] == ["queued", "running", "succeeded"]


def test_an_unknown_state_means_that_the_job_goes_on():
    finished, _ = wait(ScriptedEngine([job("paused"), job("frobnicating"), DONE]), Clock())
    assert finished.fine_tuned_model == "ft:x"


def test_the_pauses_grow_up_to_a_limit():
    clock = Clock()
    wait(ScriptedEngine([job("running")] * 30 + [DONE]), clock)
    assert clock.pauses == sorted(clock.pauses)
    assert clock.pauses[0] == 1.0
    assert clock.pauses[-1] == 60.0


def test_the_wait_ends_at_its_deadline_and_names_the_job():
    clock = Clock()
    with pytest.raises(JobTimeoutError, match="Job j had not ended after 1800 s") as caught:
        wait(ScriptedEngine([job("running")]), clock)
    assert clock.time == 1800.0
    assert caught.value.job_id == "j"


def test_a_failed_job_tells_the_engines_code_and_message():
    error = SimpleNamespace(code="invalid_training_file", message="line 3 is no JSON")
    with pytest.raises(JobFailedError, match="line 3 is no JSON") as caught:
        wait(ScriptedEngine([job("failed", error=error)]), Clock())
    assert (caught.value.job_id, caught.value.code) == ("j", "invalid_training_file")


def test_an_empty_error_object_is_no_failure():
    error = SimpleNamespace(code=None, message=None)
    succeeded = job("succeeded", fine_tuned_model="ft:x", error=error)
    finished, _ = wait(ScriptedEngine([succeeded]), Clock())
    assert finished.fine_tuned_model == "ft:x"


def test_a_cancelled_job_is_an_error():
    with pytest.raises(JobCancelledError) as caught:
        wait(ScriptedEngine([job("cancelled")]), Clock())
    assert caught.value.job_id == "j"


@pytest.mark.parametrize(
    "passing",
    [
        openai.APIConnectionError(request=REQUEST),
        openai.APITimeoutError(REQUEST),
        status_error(openai.RateLimitError, 429),
        status_error(openai.InternalServerError, 503),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_engine_that_fails_to_answer_does_not_end_the_wait(passing):
    finished, news = wait(ScriptedEngine([passing, passing, DONE]), Clock())
    assert finished.fine_tuned_model == "ft:x"
    assert news[:2] == [EngineSilent("j"), EngineSilent("j")]


def test_a_refused_key_ends_the_wait():
    refused = status_error(openai.AuthenticationError, 401)
    with pytest.raises(EngineAuthenticationError, match="does not accept the key") as caught:
        wait(ScriptedEngine([refused]), Clock())
    assert caught.value.__cause__ is refused


def test_each_event_is_told_once_and_in_order_over_pages():
    engine = ScriptedEngine(
        [job("running"), job("running"), DONE],
        events=[["a", "b", "c"], ["a", "b", "c"], ["a", "b", "c", "d", "e", "f", "g"]],
    )
    _, news = wait(engine, Clock())
    assert [told.message for told in news if told.message] == [f"event {n}" for n in "abcdefg"]
    assert news[0] == JobProgress("j", "running", "event a", {"step": 1})


@pytest.mark.parametrize(
    "answers",
    [
        [job("queued"), job("odd"), openai.APIConnectionError(request=REQUEST), DONE],
        [job("running"), job("cancelled")],
        [job("running"), status_error(openai.AuthenticationError, 401)],
        [job("running")],
    ],
)
async def test_sync_and_async_decide_the_same(answers):
    def outcome(error_or_result, news, clock):
        return (type(error_or_result), str(error_or_result), news, clock.pauses)

    events = [["a"], ["a", "b"]]
    sync_clock, news = Clock(), []
    patience = Patience(90.0, 1.0, 60.0, sync_clock)
    try:
        result = run_flow(
            wait_for_job("j", patience, "u"),
            ScriptedEngine(answers, events),
            news.append,
            sync_clock.sleep,
        )
    except FineTuningError as error:
        result = error
    async_clock, anews = Clock(), []

    async def atell(told):
        anews.append(told)

    async def asleep(seconds):
        async_clock.sleep(seconds)

    patience = Patience(90.0, 1.0, 60.0, async_clock)
    try:
        aresult = await arun_flow(
            wait_for_job("j", patience, "u"),
            AsyncEngine(ScriptedEngine(answers, events)),
            atell,
            asleep,
        )
    except FineTuningError as error:
        aresult = error
    assert outcome(result, news, sync_clock) == outcome(aresult, anews, async_clock)
