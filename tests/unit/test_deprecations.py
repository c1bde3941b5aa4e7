"""What stops, and when: said before a job is asked for, and when one is refused."""

import datetime as dt
import warnings

import httpx2
import pytest

from langchain_finetune.engines.openai import SHUTDOWNS, is_openai, shutdown_of
from langchain_finetune.errors import ModelRetirementWarning, TrainingNotAvailableError
from langchain_finetune.finetune.submit import submit_once
from support.jobs import Clock, account_in, run, spec_in
from support.light_engine import LightEngine, refusal


@pytest.fixture
def engine():
    return LightEngine(now=dt.datetime(2026, 11, 21, tzinfo=dt.UTC).timestamp())


@pytest.fixture
def submit(engine, tmp_path):
    """Submit a job; `handler` stands before the engine."""

    def submit(handler=engine, model="base-model", **place):
        where = account_in(tmp_path / "home", engine, **place)
        spec = spec_in(tmp_path / "spool", model=model)
        return run(submit_once(spec, where), handler, Clock(engine)).id

    return submit


OPENAI = "https://api.openai.com/v1"


def shut(engine):
    def handler(request):
        if request.method == "POST" and request.url.path.endswith("/jobs"):
            return refusal(403, "Not for you.", "training_not_available")
        return engine(request)

    return handler


def test_who_is_shut_out_of_openai_learns_since_when_and_what_remains(engine, submit):
    with (
        pytest.raises(TrainingNotAvailableError, match="Not for you") as caught,
        pytest.warns(ModelRetirementWarning, match="2027-01-06"),
    ):
        submit(shut(engine), base_url=OPENAI)
    parts = ("2026-05-07", "2026-07-02", "2027-01-06", "engine='local'", "base_url")
    assert all(part in str(caught.value) for part in parts)
    assert engine.jobs == engine.files == {}


def test_who_is_shut_out_elsewhere_reads_nothing_of_openai(engine, submit):
    with pytest.raises(TrainingNotAvailableError, match="engine='local'") as caught:
        submit(shut(engine))
    assert "2027" not in str(caught.value)


@pytest.mark.parametrize("name", ["gpt-4.1-mini-2025-04-14", "gpt-4o", "ft:gpt-4o-mini:org::1"])
def test_a_base_that_is_to_stop_is_warned_of_before_anything_is_sent(engine, submit, name):
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*will be shut down on 2027-01-14.*")
        with pytest.raises(ModelRetirementWarning):
            submit(model=name, base_url=OPENAI)
    assert engine.files == {}


def test_a_base_that_has_stopped_is_warned_of_as_such(submit):
    with pytest.warns(ModelRetirementWarning) as caught:
        submit(model="gpt-4.1-nano-2025-04-14", base_url=OPENAI)
    assert "was shut down on 2026-10-23" in str(caught[0].message)


def test_the_date_that_the_engine_gives_counts(engine, submit):
    def handler(request):
        if request.url.path.endswith("/models/base-model"):
            model = {"id": "base-model", "object": "model", "shutdown_date": "2027-03-01"}
            return httpx2.Response(200, json=model)
        return engine(request)

    with pytest.warns(ModelRetirementWarning, match="base-model will be shut down on 2027-03-01"):
        submit(handler)
    with warnings.catch_warnings():
        # A job that is there already warns of nothing.
        warnings.simplefilter("error")
        submit(handler)


@pytest.mark.parametrize("date", ["soon", 7, None, ""])
def test_a_date_that_is_none_is_no_obstacle(engine, submit, date):
    def handler(request):
        if "/models/" in request.url.path:
            return httpx2.Response(200, json={"id": "base-model", "shutdown_date": date})
        return engine(request)

    assert submit(handler)


@pytest.mark.parametrize(
    ("name", "date"),
    [
        ("gpt-4o-2024-08-06", dt.date(2027, 1, 14)),
        ("gpt-4o-2024-05-13", dt.date(2026, 10, 23)),
        ("gpt-4.1-nano-2025-04-14", dt.date(2026, 10, 23)),
        ("gpt-3.5-turbo-0125", dt.date(2026, 10, 23)),
        ("gpt-4.15", None),
        ("gpt-7", None),
        ("nano", None),
        ("ft:", None),
    ],
)
def test_the_longest_name_decides(name, date):
    assert shutdown_of(name) == date


def test_the_dates_are_of_openai_only():
    assert is_openai(OPENAI)
    assert is_openai("https://eu.api.openai.com/v1")
    assert not is_openai("https://api.openai.com.evil.example/v1")
    assert not is_openai("http://127.0.0.1:1/v1")
    assert all(isinstance(date, dt.date) for date in SHUTDOWNS.values())
