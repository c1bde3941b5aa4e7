"""Comparisons of experiments with LangSmith's client, and the feedback that belongs to them."""

from uuid import uuid4

import pytest
from langsmith.utils import LangSmithConflictError, LangSmithError, LangSmithNotFoundError


@pytest.fixture
def experiments(client):
    dataset = client.create_dataset("teas")
    return [client.create_project(name, reference_dataset_id=dataset.id) for name in ("old", "new")]


def listed(client, dataset_id):
    return client.request_with_retries("GET", f"/datasets/{dataset_id}/comparative").json()


def test_a_comparison_is_made_and_listed(client, experiments):
    ids = [each.id for each in experiments]
    made = client.create_comparative_experiment("old vs. new", ids, metadata={"by": "ada"})
    assert (made.name, made.metadata) == ("old vs. new", {"by": "ada"})
    assert [each["name"] for each in made.experiments_info] == ["old", "new"]
    dataset_id = experiments[0].reference_dataset_id
    assert [each["id"] for each in listed(client, dataset_id)] == [str(made.id)]
    with pytest.raises(LangSmithConflictError):
        client.create_comparative_experiment("again", ids, id=made.id)
    client.delete_dataset(dataset_id=dataset_id)
    with pytest.raises(LangSmithNotFoundError):
        listed(client, dataset_id)


@pytest.mark.parametrize(
    "body",
    [[], {}, {"experiment_ids": []}, {"experiment_ids": [str(uuid4())]}],
)
def test_a_malformed_comparison_is_refused(client, body):
    with pytest.raises(LangSmithError, match="400"):
        client.request_with_retries("POST", "/datasets/comparative", json=body)


def test_a_comparison_of_unknown_experiments_is_refused(client, experiments):
    with pytest.raises(LangSmithNotFoundError):
        client.create_comparative_experiment(
            "x", [uuid4()], reference_dataset=experiments[0].reference_dataset_id
        )


def test_feedback_is_listed_by_its_comparison(client):
    run_id, comparison, group = uuid4(), uuid4(), uuid4()
    client.create_feedback(run_id, "ranked", score=1, session_id=uuid4())
    made = client.create_feedback(
        run_id, "ranked", score=0, session_id=uuid4(),
        comparative_experiment_id=comparison, feedback_group_id=group,
    )  # fmt: skip
    assert len(list(client.list_feedback(run_ids=[run_id]))) == 2
    [found] = client.list_feedback(run_ids=[run_id], comparative_experiment_id=str(comparison))
    assert found.id == made.id
    assert (found.comparative_experiment_id, found.feedback_group_id) == (comparison, group)
