"""Annotation queues and threads of the run store, by LangSmith's own client."""

import pytest
from langsmith.utils import LangSmithError, LangSmithNotFoundError

from support.store import NOON, SECOND, record

# langsmith 0.15 advises another method; apps of today call this one.
pytestmark = pytest.mark.filterwarnings("ignore:.*annotation_queue.*deprecated:DeprecationWarning")

UNKNOWN = "3f0e2a4e-0000-4000-8000-000000000000"


def key_of(client, run):
    project = client.read_project(project_name=run.session_name)
    return {"run_id": run.id, "session_id": project.id, "start_time": run.start_time}


def test_runs_are_queued_listed_and_taken_out(client):
    root, llm = record(client, "a", "b")
    client.flush()
    queue = client.create_annotation_queue(name="to check", description="All of it")
    assert client.read_annotation_queue(queue.id).name == "to check"
    keys = [key_of(client, root), key_of(client, llm)]
    client.add_runs_to_annotation_queue(queue.id, runs=keys)
    client.add_runs_to_annotation_queue(queue.id, runs=[*keys, {**keys[0], "run_id": UNKNOWN}])
    queued = list(client.list_runs_from_annotation_queue(queue.id))
    assert [run.id for run in queued] == [root.id, llm.id]
    assert queued[0].added_at is not None
    client.delete_run_from_annotation_queue(queue.id, run_id=root.id)
    waiting = client.list_runs_from_annotation_queue(queue.id, status="needs_my_review")
    assert [run.id for run in waiting] == [llm.id]
    assert list(client.list_runs_from_annotation_queue(queue.id, status="completed")) == []


def test_queues_are_listed_and_forgotten(client):
    first = client.create_annotation_queue(name="first")
    second = client.create_annotation_queue(name="second")
    assert {queue.name for queue in client.list_annotation_queues()} == {"first", "second"}
    [found] = client.list_annotation_queues(name="first")
    assert found.id == first.id
    assert [each.id for each in client.list_annotation_queues(queue_ids=[second.id])] == [second.id]
    client.delete_annotation_queue(first.id)
    with pytest.raises(LangSmithNotFoundError):
        client.read_annotation_queue(first.id)
    with pytest.raises(LangSmithNotFoundError):
        list(client.list_runs_from_annotation_queue(first.id))


def test_a_queue_needs_a_name_and_an_id_of_its_own(client):
    queue = client.create_annotation_queue(name="one")
    with pytest.raises(LangSmithError, match="Conflict"):
        client.create_annotation_queue(name="two", queue_id=queue.id)
    with pytest.raises(LangSmithError, match="name"):
        client.create_annotation_queue(name="")


async def test_threads_are_listed_the_latest_first(client):
    for at, thread in enumerate(["a", "b", "a", "c"]):
        record(client, "x", "y", at=at, extra={"metadata": {"thread_id": thread}})
    record(client, "alone", "y", at=9)
    client.flush()
    project = str(client.read_project(project_name="app").id)

    async def threads(**conditions):
        pages = client.threads.query(project_id=project, page_size=2, **conditions)
        return [(thread.thread_id, thread.count) async for thread in pages]

    begin = {"min_start_time": NOON}
    assert await threads(**begin) == [("c", 1), ("a", 2), ("b", 1)]
    assert await threads(**begin, max_start_time=NOON + 2 * SECOND) == [("b", 1), ("a", 1)]
    assert await threads(**begin, filter='eq(thread_id, "b")') == [("b", 1)]
    assert await threads(min_start_time=NOON + 3600 * SECOND) == []
    await client.threads._client.close()
