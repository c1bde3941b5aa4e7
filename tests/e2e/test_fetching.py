"""Fetching runs: both of LangSmith's APIs, parts side by side, busy servers, threads that end."""

import os
import re
import threading

import pytest
from filelock import FileLock
from langsmith import Client
from urllib3.util import Retry

from langchain_finetune import LangSmithRunChatLoader, LoadError
from langchain_finetune.home import RunningEngine
from langchain_finetune.loaders import langsmith_client
from support.servers import free_port
from support.store import NOON, SECOND, bulk

COUNT = 1230
V1, V2 = "/runs/query", "/api/v2/runs/query"


@pytest.fixture(scope="module")
def filled(filled):
    bulk(filled, COUNT)
    return filled


@pytest.fixture
def langsmith(filled, gate):
    """A client that tries each request once, so that ours is the only patience."""
    gate.answers = lambda path, count: None
    client = Client(
        api_url=filled.api_url, api_key="any", auto_batch_tracing=False, retry_config=Retry(0)
    )
    gate.paths.clear()
    gate.bodies.clear()
    yield client
    gate.answers = lambda path, count: None
    assert not [each for each in threading.enumerate() if "langchain-finetune" in each.name]


def only_old(path, count):
    return (404, {}) if path == V2 else None


def numbers(client, **settings):
    loader = LangSmithRunChatLoader(project_name="app", client=client, **settings)
    return [int(session["messages"][0].content) for session in loader.lazy_load()]


NEWEST_FIRST = list(range(COUNT))[::-1]


def test_the_new_api_is_asked_where_it_is(langsmith, gate):
    assert numbers(langsmith) == NEWEST_FIRST
    assert gate.paths.count(V2) == 2
    assert V1 not in gate.paths


@pytest.mark.parametrize("status", [404, 405, 501])
def test_the_old_api_is_asked_where_the_new_is_not(langsmith, gate, status):
    gate.answers = lambda path, count: (status, {}) if path == V2 else None
    assert numbers(langsmith, concurrency=1) == NEWEST_FIRST
    assert (gate.paths.count(V2), gate.paths.count(V1)) == (1, 13)


@pytest.mark.parametrize(
    ("conditions", "found"),
    [
        ({}, NEWEST_FIRST),
        ({"start_time": NOON + 30 * SECOND}, NEWEST_FIRST[:-30]),
        ({"start_time": NOON, "end_time": NOON + 1000 * SECOND}, NEWEST_FIRST[230:]),
        ({"limit": 130}, NEWEST_FIRST[:130]),
        ({"sample": 0.5, "seed": 3, "limit": 2}, None),
        ({"where": lambda run: run["error"], "limit": 2}, []),
    ],
)
def test_parts_side_by_side_give_the_same_in_the_same_order(langsmith, gate, conditions, found):
    gate.answers = only_old
    some = numbers(langsmith, concurrency=8, **conditions)
    assert some == numbers(langsmith, concurrency=1, **conditions)
    assert found is None or some == found


def test_the_old_api_is_asked_for_parts(langsmith, gate):
    gate.answers = only_old
    assert numbers(langsmith, start_time=NOON) == NEWEST_FIRST
    assert len({str(body.get("filter")) for body in gate.bodies}) > 4
    gate.answers = lambda path, count: None
    assert numbers(langsmith, start_time=NOON - 9999 * SECOND) == NEWEST_FIRST


def test_few_runs_take_one_request(langsmith, gate):
    gate.answers = only_old
    assert len(numbers(langsmith, start_time=NOON + (COUNT - 50) * SECOND)) == 50
    assert gate.paths.count(V1) == 1


def test_a_busy_server_is_asked_again_after_the_time_that_it_names(langsmith, gate, monkeypatch):
    waited = []
    monkeypatch.setattr(langsmith_client, "sleep_using_event", lambda stop: waited.append)
    busy = {1: (429, {"retry-after": "7"}), 2: (503, {"retry-after": "9999"}), 4: (500, {})}
    gate.answers = lambda path, count: busy.get(count) if path == V2 else None
    assert numbers(langsmith) == NEWEST_FIRST
    assert waited[:2] == [7.0, langsmith_client.MAX_WAIT_S]
    assert len(waited) == 3


def test_a_server_that_stays_busy_is_an_error(langsmith, gate, monkeypatch):
    monkeypatch.setattr(langsmith_client, "sleep_using_event", lambda stop: lambda seconds: None)
    gate.answers = lambda path, count: (429, {}) if path == V2 and count > 1 else None
    with pytest.raises(LoadError, match="could not return the response to the run query"):
        numbers(langsmith)
    assert gate.paths.count(V2) == 1 + langsmith_client.ATTEMPTS


@pytest.mark.parametrize("answers", [lambda path, count: None, only_old])
def test_threads_end_where_nobody_wants_more(langsmith, gate, answers):
    gate.answers = answers
    loader = LangSmithRunChatLoader(project_name="app", client=langsmith)
    for session in loader.lazy_load():
        assert session["messages"][0].content == str(COUNT - 1)
        break


def test_a_page_that_fails_ends_threads_and_iteration(langsmith, gate):
    gate.answers = lambda path, count: (
        (400, {}) if path == V1 and count > 5 else only_old(path, count)
    )
    with pytest.raises(LoadError):
        numbers(langsmith, start_time=NOON)


def test_without_the_old_api_runs_need_their_project(langsmith, gate):
    [run_id] = [
        session["source"]["run_id"]
        for session in LangSmithRunChatLoader(project_name="app", client=langsmith, limit=1).load()
    ]
    gate.answers = lambda path, count: (404, {}) if path == V1 else None
    with pytest.raises(LoadError, match="only within a project"):
        LangSmithRunChatLoader([run_id], langsmith).load()
    assert len(LangSmithRunChatLoader([run_id], langsmith, project_name="app").load()) == 1


def test_where_nothing_answers_the_error_says_so():
    client = Client(
        api_url=f"http://127.0.0.1:{free_port()}", api_key="k", retry_config=Retry(0),
        auto_batch_tracing=False,
    )  # fmt: skip
    with pytest.raises(LoadError, match="can't be reached"):
        numbers(client)


def test_where_nothing_answers_an_engine_that_runs_is_named_with_its_key_file(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("LCFT_HOME", str(tmp_path))
    elsewhere, engine = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    told = rf"LANGSMITH_ENDPOINT={engine} and LANGSMITH_API_KEY .* {tmp_path / 'api_key'}\.$"

    def asked(url):
        client = Client(api_url=url, api_key="k", retry_config=Retry(0), auto_batch_tracing=False)
        with pytest.raises(LoadError, match="can't be reached") as refused:
            numbers(client)
        assert "lcft-key" not in str(refused.value)
        return re.search(told, str(refused.value)) is not None

    RunningEngine(engine, os.getpid(), "1").write(tmp_path)
    (tmp_path / "api_key").write_text("lcft-key")
    assert not asked(elsewhere)  # It was killed: nobody has its lock.
    with FileLock(tmp_path / "engine.lock", mode=0o600):
        assert asked(elsewhere)
        assert not asked(engine)
