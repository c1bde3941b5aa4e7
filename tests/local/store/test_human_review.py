"""What people do with runs: feedback by token, configurations, queues, projects, threads."""

import datetime as dt
import gzip
import json
from uuid import uuid4

import httpx
import pytest
from langsmith.utils import LangSmithConflictError, LangSmithError, LangSmithNotFoundError

from support.store import NOON, record, say

HOUR = dt.timedelta(hours=1)
SCALE = {"type": "continuous", "min": 0.0, "max": 5.0}


@pytest.fixture
def recorded(client):
    """A chain and its llm run."""
    made = record(client, "Tea?", "White.", extra={"metadata": {"thread_id": "t"}})
    client.flush()
    return made


def test_feedback_comes_by_a_token_without_the_key(client, server, recorded):
    root, _ = recorded
    token = client.create_presigned_feedback_token(root.id, "user_score", expiration=HOUR)
    assert token.url.startswith(server.url)
    assert httpx.get(token.url, params={"score": 1, "comment": "Good"}).status_code == 200
    client.create_feedback_from_token(token.url, score=0, metadata={"page": "chat"})
    [found] = client.list_feedback(run_ids=[root.id])
    assert (found.key, found.score, found.run_id) == ("user_score", 0, root.id)
    assert found.feedback_source.metadata == {"page": "chat"}
    assert httpx.post(token.url, json={"value": "fine"}).status_code == 200
    [found] = client.list_feedback(run_ids=[root.id])
    assert found.value == "fine"


def test_tokens_are_listed_until_they_expire(client, recorded):
    root, _ = recorded
    soon = dt.datetime.now(dt.UTC) + HOUR
    made = client.create_presigned_feedback_tokens(root.id, ["a", "b"], expiration=soon)
    late = client.create_presigned_feedback_token(root.id, "c", expiration=soon - 2 * HOUR)
    listed = list(client.list_presigned_feedback_tokens(root.id))
    assert {token.id for token in listed} == {token.id for token in made}
    assert listed[0].expires_at == soon
    for gone in (late.url, late.url.replace(str(late.id), str(uuid4()))):
        answer = httpx.post(gone, json={"score": 1})
        assert answer.status_code == 404
        assert "expired" in answer.json()["error"]["message"]
    assert list(client.list_feedback(run_ids=[root.id])) == []


@pytest.mark.parametrize(
    "body",
    [
        1,
        {"feedback_key": "a"},
        {"run_id": str(uuid4())},
        {"run_id": str(uuid4()), "feedback_key": "a", "expires_at": "noon"},
        {"run_id": str(uuid4()), "feedback_key": "a", "expires_in": {"days": -1}},
        {"run_id": str(uuid4()), "feedback_key": "a", "expires_in": {"days": 10**9}},
        {"run_id": str(uuid4()), "feedback_key": "a", "expires_in": []},
    ],
)
def test_malformed_tokens_are_refused(server, body):
    assert httpx.post(f"{server.url}/feedback/tokens", json=body).status_code == 400
    assert httpx.post(f"{server.url}/feedback/tokens", json=[body]).status_code == 400


def test_feedback_is_configured(client, recorded):
    made = client.create_feedback_config("rating", feedback_config=SCALE)
    assert (made.feedback_config, made.is_lower_score_better) == (SCALE, None)
    assert client.create_feedback_config("rating", feedback_config=SCALE).feedback_key == "rating"
    with pytest.raises(LangSmithError, match="another configuration"):
        client.create_feedback_config("rating", feedback_config={"type": "freeform"})
    changed = client.update_feedback_config("rating", is_lower_score_better=True)
    assert (changed.feedback_config, changed.is_lower_score_better) == (SCALE, True)
    root, _ = recorded
    say(client, root, "colour", value="red", feedback_config={"type": "freeform"})
    assert [each.feedback_key for each in client.list_feedback_configs()] == ["colour", "rating"]
    assert [each.feedback_key for each in client.list_feedback_configs(name_contains="RAT")] == [
        "rating"
    ]
    assert len(list(client.list_feedback_configs(feedback_key=["colour"]))) == 1
    client.delete_feedback_config("rating")
    with pytest.raises(LangSmithNotFoundError):
        client.update_feedback_config("rating", feedback_config=SCALE)
    with pytest.raises(LangSmithNotFoundError):
        client.delete_feedback_config("rating")
    with pytest.raises(LangSmithError, match="is_lower_score_better must be"):
        client.create_feedback_config("x", feedback_config=SCALE, is_lower_score_better="no")
    with pytest.raises(LangSmithError, match=r"feedback_config\.type must be"):
        client.create_feedback_config("x", feedback_config={"type": "tea"})


def test_a_queue_has_a_rubric(client):
    items = [{"feedback_key": "rating", "description": "How good?", "is_required": True}]
    queue = client.create_annotation_queue(
        name="to check", rubric_instructions="Be kind.", rubric_items=items
    )
    assert queue.rubric_instructions == "Be kind."
    client.update_annotation_queue(queue.id, name="checked", description="All of it")
    found = client.read_annotation_queue(queue.id)
    assert (found.name, found.description, found.rubric_instructions) == (
        "checked",
        "All of it",
        "Be kind.",
    )
    assert found.updated_at > found.created_at
    assert [each.id for each in client.list_annotation_queues(name_contains="CHECK")] == [queue.id]
    with pytest.raises(LangSmithNotFoundError):
        client.update_annotation_queue(uuid4(), name="x")
    with pytest.raises(LangSmithError, match=r"rubric_items\.0 must be"):
        client.create_annotation_queue(name="x", rubric_items=["rating"])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_queued_runs_are_read_one_by_one_and_reviewed(client, recorded):
    project = client.read_project(project_name="app").id
    queue = client.create_annotation_queue(name="to check")
    keys = [
        {"run_id": run.id, "session_id": project, "start_time": run.start_time} for run in recorded
    ]
    client.add_runs_to_annotation_queue(queue.id, runs=keys)
    ids = [run.id for run in recorded]
    found = [client.get_run_from_annotation_queue(queue.id, index=at) for at in (0, 1)]
    assert [run.id for run in found] == ids
    for index in (2, 10**30):
        with pytest.raises(LangSmithNotFoundError):
            client.get_run_from_annotation_queue(queue.id, index=index)
    queues = client.annotation_queues
    await queues.runs.update(str(ids[0]), queue_id=str(queue.id), last_reviewed_time=NOON)
    [done] = client.list_runs_from_annotation_queue(queue.id, status="completed")
    assert (done.id, done.last_reviewed_time) == (ids[0], NOON)
    [waiting] = client.list_runs_from_annotation_queue(queue.id, status="needs_my_review")
    assert waiting.id == ids[1]
    assert (await queues.retrieve_size(str(queue.id), status="completed")).size == 1
    assert (await queues.retrieve_total_size(str(queue.id))).size == 2
    [of_run] = await queues.retrieve_queues(str(ids[0]))
    assert of_run.id == str(queue.id)
    await queues.runs.delete_all(str(queue.id), run_ids=[str(ids[0])])
    assert (await queues.retrieve_total_size(str(queue.id))).size == 1
    await queues._client.close()


def test_projects_are_changed_and_counted(client, recorded):
    root, _ = recorded
    say(client, root, "user_score", score=1)
    record(client, "Tea?", "?", at=5, seconds=3, error="no tea", trace_error="no tea")
    client.flush()
    project = client.read_project(project_name="app", include_stats=True)
    assert (project.run_count, project.error_rate) == (4, 0.5)
    assert project.latency_p50 == dt.timedelta(seconds=2)
    assert project.feedback_stats["user_score"]["avg"] == 1
    assert client.read_project(project_id=project.id).run_count is None
    changed = client.update_project(
        project.id, name="shop", description="Sells tea", metadata={"a": 1}, end_time=NOON
    )
    assert (changed.name, changed.end_time, changed.metadata) == ("shop", NOON, {"a": 1})
    assert client.read_project(project_name="shop").description == "Sells tea"
    client.create_project("other")
    with pytest.raises(LangSmithConflictError):
        client.update_project(project.id, name="other")
    with pytest.raises(LangSmithNotFoundError):
        client.update_project(uuid4(), name="x")
    [listed] = client.list_projects(name="shop", include_stats=True)
    assert listed.run_count == 4
    stats = client.get_run_stats(project_names=["shop"], run_type="llm")
    assert (stats["run_count"], stats["error_rate"]) == (2, 0.5)
    empty = client.get_run_stats(project_names=["other"])
    assert (empty["run_count"], empty["latency_p50"]) == (0, None)


@pytest.mark.filterwarnings("ignore:(list_threads|read_thread).. is deprecated")
async def test_a_thread_has_traces_and_a_trace_has_runs(client, recorded):
    root, llm = recorded
    second, _ = record(client, "More?", "No.", at=9, extra={"metadata": {"thread_id": "t"}})
    client.flush()
    project = str(client.read_project(project_name="app").id)
    pages = client.threads.list_traces(
        "t", project_id=project, page_size=1, selects=["TRACE_ID", "START_TIME", "LATENCY"]
    )
    found = [trace async for trace in pages]
    assert [trace.trace_id for trace in found] == [str(second.id), str(root.id)]
    assert (found[1].start_time, found[1].latency) == (NOON, 2.0)
    runs = await client.traces.list_runs(
        str(root.id), project_id=project, selects=["NAME", "RUN_TYPE"]
    )
    assert {(run.name, run.run_type) for run in runs.items} == {
        ("app", "CHAIN"),
        ("ChatOpenAI", "LLM"),
    }
    only = await client.traces.list_runs(
        str(root.id), project_id=project, filter='eq(run_type, "llm")', selects=["ID"]
    )
    assert [run.id for run in only.items] == [str(llm.id)]
    [thread] = client.list_threads(project_name="app", start_time=NOON)
    assert (thread["thread_id"], thread["count"]) == ("t", 2)
    old = client.read_thread(thread_id="t", project_name="app")
    assert [run.id for run in old] == [root.id, second.id]
    await client.threads._client.close()


async def test_items_are_the_newer_way_to_queued_runs(client, recorded):
    project = client.read_project(project_name="app").id
    queue = str(client.create_annotation_queue(name="to check").id)
    items = client.annotation_queues.items
    ids = [str(run.id) for run in recorded]
    added = [{"item_type": "RUN", "run_id": each, "project_id": str(project)} for each in ids]
    made = await items.create(queue, items=added)
    assert [each.run_id for each in made.items] == ids

    async def listed(status):
        pages = items.list(queue, status=status, page_size=1)
        return [each.run_id async for each in pages]

    assert await listed("needs_my_review") == ids
    await items.update(ids[0], queue_id=queue, last_reviewed_time=NOON)
    assert (await listed("archived"), await listed("needs_my_review")) == (ids[:1], ids[1:])
    assert (await items.retrieve_count(queue, status="all")).count == 2
    await items.delete_all(queue, item_ids=ids[1:])
    assert (await items.retrieve_count(queue, status="needs_my_review")).count == 0
    for query in ("status=seen", "status=archived&cursor=x", "status=archived&page_size=0", ""):
        url = f"{client.api_url}/v1/platform/annotation-queues/{queue}/items?{query}"
        async with httpx.AsyncClient() as plain:
            assert (await plain.get(url)).status_code == 400
    await items._client.close()


async def test_traces_are_queried_by_root_and_tree(client):
    usage = {"input_tokens": 2, "output_tokens": 1, "total_tokens": 3}
    counted = {"metadata": {"usage_metadata": usage}}
    for at in range(3):
        made = record(client, "Tea?", "White.", at=at, name=f"model {at}", extra=counted)
    client.flush()
    project = str(client.read_project(project_name="app").id)

    async def query(**conditions):
        pages = client.traces.query(
            project_id=project,
            min_start_time=NOON,
            page_size=2,
            selects=["NAME", "TOTAL_TOKENS"],
            **conditions,
        )
        return [trace async for trace in pages]

    found = await query()
    assert [trace.root_run.name for trace in found] == ["app"] * 3
    assert found[0].root_run.id == str(made[0].id)
    assert found[0].trace_aggregates.total_tokens == 3
    assert len(await query(tree_filter='eq(name, "model 1")')) == 1
    assert len(await query(trace_filter='eq(name, "model 1")')) == 0
    assert len(await query(trace_ids=[str(made[0].id)])) == 1
    await client.traces._client.close()


def test_who_has_no_key_may_not_send_much(client, recorded):
    root, _ = recorded
    token = client.create_presigned_feedback_token(root.id, "user_score")
    large = json.dumps({"comment": "x" * 2**20}).encode()
    assert httpx.post(token.url, content=large).status_code == 413
    packed = {"content": gzip.compress(large), "headers": {"Content-Encoding": "gzip"}}
    assert httpx.post(token.url, **packed).status_code == 413
    assert httpx.post(token.url, json={"comment": "x" * 1000}).status_code == 200
