"""What a query asks of LangSmith: filter text, requests of both APIs, parts of its time."""

import datetime as dt
import itertools
import uuid

import orjson
import pytest

from langchain_finetune import FeedbackCondition, RunQuery
from langchain_finetune.errors import InvalidArgumentError
from langchain_finetune.loaders.run_pages import read_page
from langchain_finetune.loaders.run_requests import (
    RunRequest,
    choose_api,
    request_body,
    run_request,
)
from langchain_finetune.loaders.time_windows import MAX_WINDOWS, parts_below, rest_below
from langchain_finetune.local.store.filter_parser import parse_filter

PROJECT = uuid.uuid4()
NOON = dt.datetime(2026, 11, 1, 12, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)


@pytest.mark.parametrize(
    ("conditions", "text"),
    [
        ({}, None),
        ({"filter": "gt(latency, 1)"}, "gt(latency, 1)"),
        ({"run_name": "ChatOpenAI"}, 'eq(name, "ChatOpenAI")'),
        ({"run_name": ("a", "b")}, 'in(name, ["a", "b"])'),
        (
            {"model": "gpt-4.1"},
            'and(eq(metadata_key, "ls_model_name"), eq(metadata_value, "gpt-4.1"))',
        ),
        ({"tags": ("a", "b")}, 'and(has(tags, "a"), has(tags, "b"))'),
        (
            {"metadata": {"user": "ada", "paid": True}},
            (
                'and(and(eq(metadata_key, "user"), eq(metadata_value, "ada")), '
                'and(eq(metadata_key, "paid"), eq(metadata_value, "true")))'
            ),
        ),
        (
            {"min_latency": 0.5, "max_latency": 9, "min_tokens": 5, "max_tokens": 80},
            (
                "and(gte(latency, 0.5), lte(latency, 9.0), gte(total_tokens, 5), "
                "lte(total_tokens, 80))"
            ),
        ),
        ({"end_time": NOON}, 'lt(start_time, "2026-11-01T12:00:00+00:00")'),
        ({"end_time": NOON.replace(tzinfo=None)}, 'lt(start_time, "2026-11-01T12:00:00+00:00")'),
        (
            {"feedback": {"key": "good", "at_least": 1, "on": "run"}},
            'and(eq(feedback_key, "good"), gte(feedback_score, 1.0))',
        ),
        ({"run_name": 'x"), eq(y, "'}, 'eq(name, "x\\"), eq(y, \\"")'),
        ({"tags": "back\\slash\nné"}, 'has(tags, "back\\\\slash\\nné")'),
    ],
)
def test_conditions_on_the_run_become_one_filter(conditions, text):
    condition = RunQuery(**conditions).run_condition()
    assert condition == text
    if condition:
        parse_filter(condition)


@pytest.mark.parametrize(
    ("conditions", "text"),
    [
        ({}, None),
        ({"trace_error": False}, 'eq(status, "success")'),
        ({"trace_error": True}, 'eq(status, "error")'),
        (
            {"trace_filter": "eq(is_root, true)", "feedback": {"key": "k", "below": 1}},
            'and(eq(is_root, true), and(eq(feedback_key, "k"), lt(feedback_score, 1.0)))',
        ),
        (
            {"feedback": [{"key": "k", "value": "yes"}, {"key": "l"}]},
            (
                'and(and(eq(feedback_key, "k"), eq(feedback_value, "yes")), '
                'and(eq(feedback_key, "l"), eq(feedback_key, "l")))'
            ),
        ),
        ({"feedback": FeedbackCondition(key="k", on="run")}, None),
    ],
)
def test_conditions_on_the_trace_become_its_filter(conditions, text):
    condition = RunQuery(**conditions).trace_condition()
    assert condition == text
    if condition:
        parse_filter(condition)


@pytest.mark.parametrize(
    "conditions",
    [
        {"sample": 0},
        {"sample": 1.5},
        {"feedback": {"key": ""}},
        {"feedback": {"key": "k", "above": float("nan")}},
        {"annotation_status": "completed"},
        {"start_time": NOON, "end_time": NOON},
        {"metadata": {"k": None}},
    ],
)
def test_what_makes_no_sense_is_refused(conditions):
    with pytest.raises(InvalidArgumentError):
        RunQuery(**conditions)


def test_a_query_survives_json():
    query = RunQuery(
        project_name=("a", "b"),
        project_id=PROJECT,
        feedback=[{"key": "k", "above": 0}, {"key": "fix", "use_correction": True, "on": "run"}],
        metadata={"paid": True, "n": 2},
        start_time=NOON,
        annotation_queue="to check",
        sample=0.5,
    )
    assert RunQuery.model_validate_json(query.model_dump_json()) == query


def test_a_sample_is_the_same_each_time_and_another_for_another_seed():
    ids = [str(number) for number in range(2000)]
    drawn = {seed: set(filter(RunQuery(sample=0.25, seed=seed).draws, ids)) for seed in (0, 1)}
    assert drawn[0] == set(filter(RunQuery(sample=0.25).draws, ids)) != drawn[1]
    assert all(400 < len(some) < 600 for some in drawn.values())
    assert drawn[0] < set(filter(RunQuery(sample=0.5).draws, ids))
    assert list(filter(RunQuery().draws, ids)) == ids


def test_the_old_api_is_asked_for_pages_that_it_gives():
    request = run_request(RunQuery(start_time=NOON, error=False, limit=5), [PROJECT])
    body = request_body("v1", request)
    assert (body["session"], body["run_type"], body["limit"]) == ([str(PROJECT)], "llm", 5)
    assert (body["start_time"], body["error"]) == ("2026-11-01T12:00:00+00:00", False)
    assert "serialized" not in body["select"]
    whole = run_request(RunQuery(limit=5, sample=0.5), [PROJECT])
    assert request_body("v1", whole, "next")["limit"] == 100
    assert request_body("v1", whole, "next")["cursor"] == "next"


def test_the_new_api_is_never_asked_for_the_last_day_only():
    body = request_body("v2", run_request(RunQuery(), [PROJECT]))
    assert body["min_start_time"] == "1970-01-01T00:00:00+00:00"
    assert (body["project_ids"], body["run_type"]) == ([str(PROJECT)], "LLM")
    assert {"ID", "INPUTS", "OUTPUTS", "EXTRA", "PROJECT_ID"} <= set(body["selects"])
    assert 100 < body["page_size"] <= 1000


def test_a_run_of_the_new_api_is_told_in_the_olds_words():
    item = {"id": "1", "run_type": "LLM", "status": "SUCCESS", "project_id": "p"}
    data = orjson.dumps({"items": [item | {"parent_run_ids": ["a", "b"]}]})
    runs, cursor = read_page("v2", data)
    assert cursor is None
    assert runs[0]["run_type"] == "llm"
    assert (runs[0]["status"], runs[0]["session_id"]) == ("success", "p")
    assert runs[0]["parent_run_id"] == "b"
    runs, cursor = read_page("v1", orjson.dumps({"runs": [item], "cursors": {"next": "c"}}))
    assert (list(map(dict, runs)), cursor) == ([item], "c")


def test_a_run_with_half_a_character_costs_its_page_nothing():
    page = rb'{"runs": [{"id": "1", "name": "\ud83d"}, {"id": "2"}], "cursors": {}}'
    runs, _ = read_page("v1", page)
    assert [run["id"] for run in runs] == ["1", "2"]
    with pytest.raises(ValueError, match="JSON"):
        read_page("v1", page.replace(rb"\ud83d", b"\xff"))


@pytest.mark.parametrize(
    ("version", "flags", "project", "api"),
    [
        ("0.16.0", None, True, "v2"),
        ("1.0.3", {}, True, "v2"),
        ("0.15.9", None, True, "v1"),
        ("", None, True, "v1"),
        ("dev", {"sdb_query_enabled": True}, True, "v2"),
        ("dev", {"ch_query_enabled": False}, True, "v2"),
        ("dev", {"ch_query_enabled": True}, True, "v1"),
        ("0.16.0", {"sdb_query_enabled": True}, False, "v1"),
    ],
)
def test_the_new_api_is_chosen_where_the_server_has_it(version, flags, project, api):
    request = RunRequest(project_ids=("p",) if project else ())
    assert choose_api(version, flags, request) == api


def page(*hours):
    return [{"id": str(hour), "start_time": (NOON + hour * HOUR).isoformat()} for hour in hours]


def many(*hours):
    return [each for each in page(*hours) for _ in range(50)]


def test_parts_cover_all_that_follows_a_page_without_a_gap():
    request = RunRequest(("p",), filter='eq(name, "a")')
    parts = parts_below(request, many(12, 11), NOON)
    assert len(parts) > 2
    assert parts[0].end_time == NOON + 11 * HOUR + dt.timedelta(microseconds=1)
    assert all(one.start_time == two.end_time for one, two in itertools.pairwise(parts))
    assert parts[-1].start_time == NOON
    for part in parts:
        edge = f'lt(start_time, "{part.end_time.isoformat()}")'
        assert request_body("v2", part)["filter"] == f'and(eq(name, "a"), {edge})'
    # What is older than was thought comes, too.
    rest = rest_below(request, parts)
    assert (rest.start_time, rest.end_time) == (None, NOON)
    whole = RunRequest(("p",), start_time=NOON)
    assert rest_below(whole, parts_below(whole, many(12, 11), NOON)) is None


@pytest.mark.parametrize(
    ("runs", "begin"),
    [
        (many(12, 11), None),
        (many(11, 12), NOON),
        (many(3, 2), NOON + HOUR),
        (many(3, 2), NOON + 9 * HOUR),
        ([*page(12), {"id": "x"}], NOON),
    ],
)
def test_where_nothing_tells_how_to_cut_there_are_no_parts(runs, begin):
    assert parts_below(RunRequest(("p",)), runs, begin) == []


def test_a_burst_is_cut_no_finer_than_many_parts_and_the_rest_is_looked_at_again():
    request = RunRequest(("p",), start_time=NOON)
    parts = parts_below(request, page(9, 9), NOON)
    assert len(parts) == MAX_WINDOWS
    rest = rest_below(request, parts)
    assert (rest.start_time, rest.end_time) == (NOON, parts[-1].start_time)
    assert rest.end_time > NOON + 8.9 * HOUR
