"""The wait decides without I/O: an injected clock, the real SDK on a scripted wire, no sleeping."""

import json

import httpx2
import pytest

from langchain_finetune.engines.flow import Patience
from langchain_finetune.engines.jobs import EngineSilent, JobProgress, JobStatus
from langchain_finetune.errors import (
    EngineAuthenticationError,
    EngineError,
    FineTuningError,
    JobCancelledError,
    JobFailedError,
    JobTimeoutError,
)
from langchain_finetune.finetune.wait import wait_for_job
from support.jobs import Clock, account_in, arun, run
from support.light_engine import LightEngine, refusal


def job(status, **fields):
    plain = {"id": "j", "object": "fine_tuning.job", "error": None, "fine_tuned_model": None}
    return plain | fields | {"status": status}


DONE = job("succeeded", fine_tuned_model="ft:x", trained_tokens=7)


class Script:
    """Answers looks at the job from a script; the last one is repeated. Serves two events a page.

    Args:
        answers: A job, an answer, an error to raise; or a pair of headers and a job.
        events: Names of the events that have happened by each look.
    """

    def __init__(self, answers, events=()):
        self.answers = list(answers)
        self.happened = [list(names) for names in events]
        self.now = []

    def __call__(self, request):
        if request.url.path.endswith("/events"):
            return self.page(request.url.params.get("after"))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if self.happened:
            self.now = self.happened.pop(0)
        headers, answer = answer if isinstance(answer, tuple) else ({}, answer)
        if isinstance(answer, type):
            raise answer("broken", request=request)
        if isinstance(answer, httpx2.Response):
            return httpx2.Response(
                answer.status_code, content=answer.content, headers=answer.headers
            )
        return httpx2.Response(200, json=answer, headers=headers)

    def page(self, after):
        names = self.now[::-1]
        start = names.index(after) + 1 if after else 0
        page = names[start : start + 2]
        data = [
            {"id": n, "created_at": 1, "message": f"event {n}", "data": {"step": 1}} for n in page
        ]
        more = start + len(page) < len(names)
        return httpx2.Response(200, json={"object": "list", "data": data, "has_more": more})


def wait(script, clock, home, timeout_s=1800.0, runner=run):
    news = []
    patience = Patience(timeout_s, first_s=1.0, longest_s=60.0, clock=clock)
    return runner(wait_for_job("j", patience, account_in(home)), script, clock, news.append), news


def test_the_model_comes_back_when_the_job_succeeded(tmp_path):
    finished, news = wait(Script([job("queued"), job("running"), DONE]), Clock(), tmp_path)
    assert finished == JobStatus("j", "succeeded", "ft:x", 7)
    assert [told.status for told in news] == ["queued", "running", "succeeded"]


def test_an_unknown_state_means_that_the_job_goes_on(tmp_path):
    finished, _ = wait(Script([job("paused"), job("frobnicating"), DONE]), Clock(), tmp_path)
    assert finished.fine_tuned_model == "ft:x"


def test_a_success_without_a_model_yet_goes_on(tmp_path):
    finished, _ = wait(Script([job("succeeded"), DONE]), Clock(), tmp_path)
    assert finished.fine_tuned_model == "ft:x"


def test_the_pauses_grow_up_to_a_limit(tmp_path):
    clock = Clock()
    wait(Script([job("running")] * 30 + [DONE]), clock, tmp_path)
    assert clock.pauses == sorted(clock.pauses)
    assert clock.pauses[0] == 1.0
    assert clock.pauses[-1] == 60.0


@pytest.mark.parametrize(
    ("headers", "pause"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after-ms": "2500"}, 2.5),
        ({"retry-after-ms": "2500", "retry-after": "9"}, 2.5),
        ({"retry-after": "0.1"}, 1.0),
        ({"retry-after": "1000000"}, 600.0),
        ({"retry-after": "Fri, 01 Jan 2100 00:00:00 GMT"}, 600.0),
        ({"retry-after": "soon"}, 1.0),
        ({"retry-after": "nan"}, 1.0),
    ],
)
@pytest.mark.parametrize("refused", [True, False])
def test_the_server_says_when_it_wants_to_be_asked_again(tmp_path, headers, pause, refused):
    clock = Clock()
    first = refusal(429, "Slow down.", **headers) if refused else (headers, job("running"))
    wait(Script([first, DONE]), clock, tmp_path)
    assert clock.pauses == [pause]


def test_the_wait_ends_at_its_deadline_and_names_the_job(tmp_path):
    clock = Clock()
    with pytest.raises(JobTimeoutError, match="Job j had not ended after 1800 s") as caught:
        wait(Script([job("running")]), clock, tmp_path)
    assert clock.time == 1800.0
    assert caught.value.job_id == "j"


def test_a_failed_job_tells_the_engines_code_and_message(tmp_path):
    error = {"code": "invalid_training_file", "message": "line 3 is no JSON"}
    with pytest.raises(JobFailedError, match="line 3 is no JSON") as caught:
        wait(Script([job("failed", error=error)]), Clock(), tmp_path)
    assert (caught.value.job_id, caught.value.code) == ("j", "invalid_training_file")


@pytest.mark.parametrize("error", [{}, {"code": None, "message": None}, None])
def test_an_empty_error_object_is_no_failure(tmp_path, error):
    finished, _ = wait(Script([DONE | {"error": error}]), Clock(), tmp_path)
    assert finished.fine_tuned_model == "ft:x"


def test_a_cancelled_job_is_an_error(tmp_path):
    with pytest.raises(JobCancelledError) as caught:
        wait(Script([job("cancelled")]), Clock(), tmp_path)
    assert caught.value.job_id == "j"


PASSING = {
    "refused": httpx2.ConnectError,
    "lost": httpx2.ReadError,
    "late": httpx2.ReadTimeout,
    "429": refusal(429, "Slow down."),
    "503": refusal(503, "Busy."),
    "half": httpx2.Response(
        200, content=b'{"id": "j"', headers={"content-type": "application/json"}
    ),
    "another's": job("failed", id="another"),
    "no job": {"object": "list", "data": []},
}


@pytest.mark.parametrize("passing", PASSING.values(), ids=PASSING)
def test_an_engine_that_fails_to_answer_does_not_end_the_wait(tmp_path, passing):
    finished, news = wait(Script([passing, passing, DONE]), Clock(), tmp_path)
    assert finished.fine_tuned_model == "ft:x"
    assert news[:2] == [EngineSilent("j"), EngineSilent("j")]


def test_a_refused_key_ends_the_wait(tmp_path):
    with pytest.raises(EngineAuthenticationError, match="does not accept the key"):
        wait(Script([job("running"), refusal(401, "no")]), Clock(), tmp_path)


def test_a_job_that_is_not_there_ends_the_wait(tmp_path):
    with pytest.raises(EngineError, match="refused \\(404\\)"):
        wait(Script([refusal(404, "no such job")]), Clock(), tmp_path)


def test_each_event_is_told_once_and_in_order_over_pages_and_restarts(tmp_path):
    events = [["a", "b", "c"], ["a", "b", "c"], ["a", "b", "c", "d", "e", "f", "g"]]
    _, news = wait(Script([job("running"), job("running"), DONE], events), Clock(), tmp_path)
    assert [told.message for told in news if told.message] == [f"event {n}" for n in "abcdefg"]
    assert news[0] == JobProgress("j", "running", "event a", {"step": 1}, "a")
    _, later = wait(Script([DONE], [list("abcdefghi")]), Clock(), tmp_path)
    assert [told.event_id for told in later] == ["h", "i"]


def test_events_that_fail_to_come_are_not_passed_over(tmp_path):
    class Unwilling(Script):
        def page(self, after):
            self.refusals = getattr(self, "refusals", 0) + 1
            return refusal(500, "no") if self.refusals % 7 else super().page(after)

    _, news = wait(Unwilling([job("running"), DONE], [["a"], ["a", "b"]]), Clock(), tmp_path)
    assert [told.event_id for told in news if isinstance(told, JobProgress) and told.event_id] == [
        "a",
        "b",
    ]


def test_a_model_is_returned_though_its_events_never_come(tmp_path):
    class Mute(Script):
        def page(self, after):
            return refusal(500, "no")

    finished, _ = wait(Mute([DONE]), Clock(), tmp_path)
    assert finished.fine_tuned_model == "ft:x"


def test_an_engine_without_events_is_waited_for(tmp_path):
    class WithoutEvents(Script):
        def page(self, after):
            return refusal(404, "no such route")

    finished, news = wait(WithoutEvents([job("running"), DONE]), Clock(), tmp_path)
    assert finished.fine_tuned_model == "ft:x"
    assert [told.status for told in news] == ["running", "succeeded"]


@pytest.mark.parametrize(
    "answers",
    [
        [job("queued"), job("odd"), httpx2.ConnectError, DONE],
        [job("running"), job("cancelled")],
        [job("running"), refusal(401, "no")],
        [job("running"), refusal(429, "no", **{"retry-after": "20"}), DONE],
        [job("running")],
    ],
)
def test_sync_and_async_decide_the_same(tmp_path, answers):
    def outcome(runner):
        clock, script = Clock(), Script(answers, [["a"], ["a", "b"]])
        try:
            result, news = wait(script, clock, tmp_path / runner.__name__, 90.0, runner)
        except FineTuningError as error:
            result, news = str(error), None
        return result, news, clock.pauses

    assert outcome(run) == outcome(arun)


def test_thirty_minutes_of_an_engine_that_fails_half_the_time(tmp_path):
    engine = LightEngine(ends_as="odd_for_ever")
    clock, turn = Clock(engine), iter(range(10**6))
    engine(
        httpx2.Request(
            "POST",
            "http://e/v1/fine_tuning/jobs",
            content=json.dumps({"model": "m", "training_file": "f"}),
        )
    )
    [job_id] = engine.jobs

    def handler(request):
        return refusal(502, "no") if next(turn) % 2 else engine(request)

    patience = Patience(1800.0, 5.0, 60.0, clock)
    with pytest.raises(JobTimeoutError):
        run(wait_for_job(job_id, patience, account_in(tmp_path, engine)), handler, clock)
    assert 1800.0 <= clock.time < 1810.0
