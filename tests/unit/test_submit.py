"""When a job is made, and when one that is there will do: the real SDK on a mocked wire."""

import sqlite3
from dataclasses import replace

import httpx2
import pytest

from langchain_finetune.engines.openai_compatible import account_of
from langchain_finetune.errors import (
    BaseModelError,
    EngineAuthenticationError,
    EngineUnreachableError,
    FineTuningError,
    JobSubmissionError,
)
from langchain_finetune.finetune.submit import submit_once
from langchain_finetune.finetune.training_files import fingerprint_of
from support.jobs import Clock, account_in, run, spec_in
from support.light_engine import LightEngine, refusal

CREATE = ("POST", "/fine_tuning/jobs")
DAY = 86400.0


@pytest.fixture
def engine():
    return LightEngine()


@pytest.fixture
def submit(engine, tmp_path):
    """Submit a spec; `handler` stands before the engine, `home` is the ledger's."""

    def submit(handler=engine, home="home", reuse=True, place=None, **changes):
        spec = spec_in(tmp_path / "spool", **changes)
        where = place or account_in(tmp_path / home, engine)
        return run(submit_once(spec, where, reuse=reuse), handler, Clock(engine)).id

    return submit


def failing(engine, *faults):
    """Stand before the engine: the first requests for a job meet these faults, after it."""
    left = list(faults)

    def handler(request):
        asked = request.method == "POST" and request.url.path.endswith("/jobs")
        if asked and left and isinstance(left[0], httpx2.Response):
            return left.pop(0)
        answer = engine(request)
        if asked and left:
            raise left.pop(0)("lost", request=request)
        return answer

    return handler


def test_the_same_again_attaches_whether_it_runs_or_is_done(engine, submit):
    first = submit()
    assert submit() == first
    engine.jobs[first] |= {"status": "succeeded", "fine_tuned_model": "ft:x", "finished_at": 1}
    assert submit() == first
    assert engine.asked.count(CREATE) == 1


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_a_job_that_came_to_nothing_does_not_block(engine, submit, status):
    first = submit()
    engine.jobs[first]["status"] = status
    second = submit()
    assert second != first
    assert submit() == second


def test_a_job_that_is_not_there_any_more_does_not_block(engine, submit):
    first = submit()
    del engine.jobs[first]
    assert submit() != first


def test_a_model_that_is_gone_does_not_block_but_one_that_is_late_does(engine, submit):
    first = submit()
    engine.jobs[first] |= {
        "status": "succeeded",
        "fine_tuned_model": "ft:x",
        "finished_at": int(engine.now),
    }
    engine.gone.add("ft:x")
    assert submit() == first
    engine.now += DAY
    assert submit() != first


def test_a_server_that_tells_of_no_models_is_no_sign_that_one_is_gone(engine, submit):
    first = submit()
    engine.jobs[first] |= {"status": "succeeded", "fine_tuned_model": "ft:x", "finished_at": 1}

    def handler(request):
        return refusal(404, "no route") if "/models/" in request.url.path else engine(request)

    assert submit(handler) == first


@pytest.mark.parametrize(
    "change",
    [
        {"content": b'{"messages": [1]}\n'},
        {"model": "other-base"},
        {"hyperparameters": {"n_epochs": 2}},
        {"suffix": "s"},
        {"seed": 3},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_differs_is_another_job(submit, change):
    assert submit() != submit(**change)


def test_a_new_job_is_made_when_asked_for_and_is_the_one_to_attach_to(submit):
    first = submit()
    second = submit(reuse=False)
    assert second != first
    assert submit() == second


@pytest.mark.parametrize("lost", [httpx2.ReadError, httpx2.ReadTimeout])
@pytest.mark.parametrize("lag_s", [0, 10])
def test_a_job_whose_answer_is_lost_is_found_in_the_list(engine, submit, lost, lag_s):
    engine.lag_s = lag_s
    job = submit(failing(engine, lost))
    assert [job] == list(engine.jobs)


@pytest.mark.parametrize("fast_s", [-3 * DAY, 3 * DAY])
@pytest.mark.parametrize("oldest_first", [False, True])
def test_a_job_is_found_whatever_the_clock_and_the_order(
    engine, submit, tmp_path, fast_s, oldest_first
):
    for number in range(4):
        submit(suffix=str(number))
        engine.now += 2 * DAY

    def listed(request):
        answer = engine(request)
        if oldest_first and request.method == "GET" and request.url.path.endswith("/jobs"):
            jobs = list(engine.jobs.values())
            page = {"object": "list", "data": jobs, "has_more": False}
            return httpx2.Response(200, json=page)
        return answer

    before = len(engine.jobs)
    place = replace(account_in(tmp_path / "home", engine), now=lambda: engine.now + fast_s)
    job = submit(failing(listed, httpx2.ReadError), place=place)
    assert len(engine.jobs) == before + 1
    assert job == list(engine.jobs)[-1]


def test_a_new_job_that_nobody_heard_of_is_found_when_it_is_asked_for_again(engine, submit):
    """The process is killed while it asks for one with `reuse=False`, and run again."""
    first = submit()

    class KilledError(BaseException):
        pass

    def killed(request):
        answer = engine(request)
        if (request.method, request.url.path.endswith("/jobs")) == ("POST", True):
            raise KilledError
        return answer

    with pytest.raises(KilledError):
        submit(killed, reuse=False)
    second = submit(reuse=False)
    assert list(engine.jobs) == [first, second]
    assert submit(reuse=False) not in {first, second}


def test_a_failed_job_whose_answer_is_lost_is_that_job(engine, submit):
    def handler(request):
        answer = engine(request)
        if request.method == "POST" and request.url.path.endswith("/jobs"):
            for job in engine.jobs.values():
                job["status"] = "failed"
            return refusal(500, "lost")
        return answer

    assert [submit(handler)] == list(engine.jobs)


def test_a_request_that_did_not_arrive_is_repeated(engine, submit):
    handler = failing(engine, refusal(500, "no"), refusal(429, "no"), refusal(503, "no"))
    assert [submit(handler)] == list(engine.jobs)


def test_what_can_not_be_known_is_said_and_looked_up_by_the_next_run(engine, submit):
    engine.lag_s = 100 * DAY
    with pytest.raises(JobSubmissionError, match=r"not known whether .* made the job") as caught:
        submit(failing(engine, *[httpx2.ReadError] * 9))
    assert caught.value.outcome_unknown
    made = list(engine.jobs)
    engine.now += 101 * DAY
    assert submit() == made[-1]


def test_a_lost_ledger_does_not_make_a_second_job(engine, submit):
    first = submit()
    for number in range(40):
        submit(suffix=str(number))
    assert submit(home="another") == first
    before = engine.asked.count(CREATE)
    assert submit(home="another") == first
    assert engine.asked.count(CREATE) == before


def test_where_the_engine_keeps_no_metadata_the_ledger_counts(engine, submit):
    def handler(request):
        answer = engine(request)
        for job in engine.jobs.values():
            job["metadata"] = None
        return answer

    assert submit(handler) == submit(handler)


def test_the_plain_list_is_read_no_further_than_the_ledgers_entry(engine, submit):
    for number in range(30):
        submit(suffix=str(number))
    engine.now += 2 * DAY
    engine.asked.clear()
    submit(failing(engine, httpx2.ReadError))
    assert engine.asked.count(("GET", "/fine_tuning/jobs")) == 2
    engine.asked.clear()
    with pytest.raises(JobSubmissionError):
        submit(failing(engine, *[refusal(500, "no")] * 9), suffix="last")
    assert engine.asked.count(("GET", "/fine_tuning/jobs")) < 20


def test_a_refusal_leaves_nothing_behind(engine, submit, tmp_path):
    no_base = refusal(404, "No such base.", "model_not_found")
    with pytest.raises(BaseModelError, match="No such base"):
        submit(failing(engine, no_base))
    with pytest.raises(JobSubmissionError, match=r"refused the job .400.: Bad suffix") as caught:
        submit(failing(engine, refusal(400, "Bad suffix.")))
    assert not caught.value.outcome_unknown
    assert engine.jobs == engine.files == {}
    with sqlite3.connect(tmp_path / "home" / "ledger.sqlite") as ledger:
        assert not ledger.execute("SELECT * FROM submissions").fetchall()
        assert not ledger.execute("SELECT * FROM files").fetchall()
    ledger.close()


def test_a_spent_quota_is_not_asked_again(engine, submit):
    with pytest.raises(JobSubmissionError, match="exceeded"):
        submit(failing(engine, *[refusal(429, "You exceeded it.", "insufficient_quota")] * 9))
    assert engine.asked.count(CREATE) == 0


def test_the_uploaded_file_serves_the_next_job(engine, submit):
    submit()
    submit(suffix="other")
    assert len(engine.files) == 1
    engine.files.clear()
    submit(suffix="third")
    assert len(engine.files) == 1


def test_an_upload_whose_answer_is_lost_is_found(engine, submit):
    def handler(request):
        answer = engine(request)
        if request.method == "POST" and request.url.path.endswith("/files"):
            raise httpx2.ReadError("lost", request=request)
        return answer

    submit(handler)
    assert len(engine.files) == 1


def test_where_nobody_listens_it_is_said_soon(engine, submit):
    def handler(request):
        raise httpx2.ConnectError("refused", request=request)

    with pytest.raises(EngineUnreachableError, match="Nothing answers"):
        submit(handler)
    assert engine.now < 1.8e9 + 5


def test_a_refused_key_is_said_at_once(submit):
    with pytest.raises(EngineAuthenticationError):
        submit(lambda _: refusal(401, "no"))


def test_a_ledger_that_can_not_be_written_stops_before_anything_is_sent(engine, submit, tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "ledger.sqlite").write_bytes(b"no database" * 500)
    with pytest.raises(FineTuningError, match=r"ledger of jobs, .*can't be used"):
        submit()
    assert engine.asked == []


def test_the_fingerprint_knows_the_account_and_the_weights_of_a_folder(tmp_path):
    spec = spec_in(tmp_path / "spool")
    accounts = [account_of("http://a/v1", None, None), account_of("http://b/v1", None, None)]
    accounts += [account_of("http://a/v1", "org", None), account_of("http://a/v1", "org", "p")]
    assert len({fingerprint_of(spec, account) for account in accounts}) == 4
    assert account_of("http://a/v1/", None, None) == accounts[0]
    base = tmp_path / "base"
    base.mkdir()
    (base / "weights").write_text("1")
    local = spec_in(tmp_path / "spool", model=str(base))
    before = fingerprint_of(local, "local")
    assert fingerprint_of(local, "local") == before
    (base / "weights").write_text("12")
    assert fingerprint_of(local, "local") != before
    assert len(before) == 64
