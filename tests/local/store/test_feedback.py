"""Feedback with LangSmith's client."""

from uuid import uuid4

import httpx
import pytest
from langsmith.utils import LangSmithError, LangSmithNotFoundError

from langchain_finetune.local.store.feedback import summary


def test_feedback_is_written_read_changed_and_deleted(client):
    run_id, project_id = uuid4(), uuid4()
    made = client.create_feedback(
        run_id,
        "user_score",
        score=True,
        value="good",
        comment="mild",
        correction={"tea": "white"},
        session_id=project_id,
        source_info={"screen": "shop"},
    )
    found = client.read_feedback(made.id)
    assert (found.run_id, found.key, found.score, found.value) == (run_id, "user_score", 1, "good")
    assert (found.comment, found.correction) == ("mild", {"tea": "white"})
    assert found.session_id == project_id
    assert found.feedback_source.type == "api"
    assert found.feedback_source.metadata == {"screen": "shop"}
    client.update_feedback(made.id, score=0, comment="too mild")
    found = client.read_feedback(made.id)
    assert (found.score, found.comment, found.value) == (0, "too mild", "good")
    assert found.modified_at > made.modified_at
    client.delete_feedback(made.id)
    with pytest.raises(LangSmithNotFoundError):
        client.read_feedback(made.id)
    with pytest.raises(LangSmithNotFoundError):
        client.update_feedback(made.id, score=1)


def test_feedback_is_listed_by_run_key_and_source(client):
    runs, project = [uuid4(), uuid4()], uuid4()
    for run_id in runs:
        for key in ("user_score", "tone"):
            client.create_feedback(run_id, key, score=1, session_id=project)
    client.create_feedback(
        runs[0], "judge", score=1, session_id=project, feedback_source_type="model"
    )
    assert len(list(client.list_feedback(run_ids=runs))) == 5
    assert len(list(client.list_feedback(run_ids=runs[:1]))) == 3
    toned = client.list_feedback(run_ids=runs, feedback_key=["tone", "judge"])
    assert sorted(found.key for found in toned) == ["judge", "tone", "tone"]
    (judged,) = client.list_feedback(run_ids=runs, feedback_source_type=["model"])
    assert judged.key == "judge"
    assert len(list(client.list_feedback(run_ids=runs, limit=2))) == 2


def test_feedback_goes_with_the_batches_too(server, client):
    run_id = uuid4()
    client.create_feedback(trace_id=run_id, key="user_score", score=1, session_id=uuid4())
    client.flush()
    assert "/runs/multipart" in [path for _, path, _ in server.asked]
    (found,) = client.list_feedback(run_ids=[run_id])
    assert (found.run_id, found.score) == (run_id, 1)


@pytest.mark.parametrize(
    "body",
    [
        {"run_id": str(uuid4())},
        {"key": "k", "run_id": "x"},
        {"key": "k", "score": "1"},
        {"key": "k", "comment": 1},
        [],
    ],
)
def test_malformed_feedback_is_refused(client, body):
    with pytest.raises(LangSmithError, match="400"):
        client.request_with_retries("POST", "/feedback", json=body)


def test_a_summary_counts_scores_and_values():
    points = [
        {"score": 1.0, "value": "good", "comment": "mild"},
        {"score": 0.0, "value": "good", "comment": None},
        {"score": None, "value": "bad", "comment": ""},
    ]
    assert summary(points) == {
        "n": 3,
        "avg": 0.5,
        "min": 0.0,
        "max": 1.0,
        "stdev": pytest.approx(0.7071, abs=1e-4),
        "values": {"good": 2, "bad": 1},
        "comments": ["mild"],
    }
    empty = summary([{"score": None, "value": None, "comment": None}])
    assert (empty["avg"], empty["stdev"]) == (None, None)


def test_a_configuration_is_asked_for_by_its_key(server):
    url = f"{server.url}/feedback-configs"
    answer = httpx.delete(url)
    assert (answer.status_code, "Give feedback_key or id." in answer.text) == (422, True)
    answer = httpx.patch(url, json={"feedback_config": {"type": "freeform"}})
    assert (answer.status_code, "feedback_key" in answer.text) == (400, True)


def test_what_is_refused_leaves_nothing_behind(client, server):
    run_id = str(uuid4())
    said = {"run_id": run_id, "key": "taste", "score": 1, "feedback_config": {"type": "wrong"}}
    assert httpx.post(f"{server.url}/feedback", json=said).status_code == 400
    assert list(client.list_feedback(run_ids=[run_id])) == []
    tokens = [{"run_id": run_id, "feedback_key": "taste"}, {"run_id": run_id}]
    assert httpx.post(f"{server.url}/feedback/tokens", json=tokens).status_code == 400
    assert list(client.list_presigned_feedback_tokens(run_id)) == []
