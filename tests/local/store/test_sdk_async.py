"""LangSmith's asynchronous client on the same store."""

import datetime as dt

import pytest
from langsmith import AsyncClient

from support.store import NOON, record

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
async def later(server):
    async with AsyncClient(api_url=server.url, api_key="key") as found:
        yield found


async def test_the_asynchronous_client_does_the_same(later, client):
    root, llm = record(client, "Tea?", "White.")
    client.flush()
    project = client.read_project(project_name="app")
    found = [run async for run in later.list_runs(project_name="app")]
    assert {run.id for run in found} == {root.id, llm.id}
    assert (await later.read_run(llm.id)).outputs == client.read_run(llm.id).outputs
    feedback = await later.create_feedback(
        root.id, key="user_score", score=1, session_id=project.id
    )
    assert (await later.read_feedback(feedback.id)).score == 1
    token = await later.create_presigned_feedback_token(
        root.id, "by_token", expiration=dt.timedelta(hours=1)
    )
    await later.create_feedback_from_token(token.id, score=1)
    listed = [each async for each in later.list_feedback(run_ids=[root.id])]
    assert {each.key for each in listed} == {"user_score", "by_token"}
    dataset = await later.create_dataset("teas")
    await later.create_example({"tea": "white"}, dataset_id=dataset.id)
    examples = [each async for each in later.list_examples(dataset_id=dataset.id)]
    assert [each.inputs for each in examples] == [{"tea": "white"}]
    queue = await later.create_annotation_queue(name="to check")
    key = {"run_id": root.id, "session_id": project.id, "start_time": NOON}
    await later.add_runs_to_annotation_queue(queue.id, runs=[key])
    assert (await later.get_run_from_annotation_queue(queue.id, index=0)).id == root.id
    await later.delete_annotation_queue(queue.id)
