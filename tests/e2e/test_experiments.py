"""Pairs from experiments: LangSmith's own evaluations, the real store, both APIs."""

import pytest
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langsmith import evaluate
from langsmith.evaluation import evaluate_comparative

from langchain_finetune import Convert, LangSmithRunChatLoader
from support.pairs import made

V2 = "/api/v2/runs/query"


@pytest.fixture(params=["new API", "old API"])
def langsmith(request, filled, gate):
    with gate.without({V2} if request.param == "old API" else set()):
        yield filled


EXAMPLES = [
    {"inputs": {"question": "6*7?"}, "reference_outputs": {"answer": "42"}},
    {"inputs": {"question": "1+1?"}, "reference_outputs": {"answer": "2"}},
]


def experiment(client, dataset, answers):
    """Run an app over a dataset as LangSmith's users do; returns the experiment's name."""

    def app(inputs):
        answer = AIMessage(answers[inputs["question"]])
        model = GenericFakeChatModel(messages=iter([answer]))
        return {"answer": model.invoke(inputs["question"]).content}

    results = evaluate(app, data=dataset, client=client, max_concurrency=0)
    client.flush()
    return results.experiment_name


@pytest.fixture(scope="module")
def experiments(filled):
    """Two experiments on one dataset; the second is wrong once."""
    dataset = filled.create_dataset("sums")
    filled.create_examples(dataset_id=dataset.id, examples=EXAMPLES)
    right, wrong = {"6*7?": "42", "1+1?": "2"}, {"6*7?": "41", "1+1?": "2"}
    return [experiment(filled, "sums", answers) for answers in (right, wrong)]


def test_references_against_an_experiments_answers(langsmith, experiments):
    _, wrong = experiments
    loader = LangSmithRunChatLoader(project_name=wrong, client=langsmith, use_reference=True)
    pairs, skips = made(loader)
    assert [pair[:3] for pair in pairs] == [("6*7?", "42", "41")]
    assert pairs[0][3] == pairs[0][4]
    assert [code for _, code in skips] == ["no_pair"]
    [supervised] = [
        line for line in (loader | Convert()).invoke({}) if line["messages"][0]["content"] == "6*7?"
    ]
    assert supervised["messages"][-1]["content"] == "42"


@pytest.fixture(scope="module")
def comparison(filled, experiments):
    """The id of a pairwise comparison; langsmith 0.15 makes them by the new API only."""

    def better(runs, example):
        scores = {str(run.id): int(run.outputs == example.outputs) for run in runs}
        return {"key": "ranked", "scores": scores}

    compared = evaluate_comparative(experiments, [better], client=filled, max_concurrency=0)
    filled.flush()
    return compared.comparative_experiment.id


def test_pairwise_annotations(langsmith, experiments, comparison):
    feedback = {"key": "ranked", "use_score": True, "comparative_experiment": comparison}
    loader = LangSmithRunChatLoader(project_name=experiments, client=langsmith, feedback=feedback)
    pairs, skips = made(loader)
    assert [pair[:3] for pair in pairs] == [("6*7?", "42", "41")]
    # Both were right about the other.
    assert [code for _, code in skips] == ["no_pair", "no_pair"]
    [group] = {
        session["source"]["feedback_group_id"]
        for session in loader.lazy_load()
        if session["messages"][0].content == "6*7?"
    }
    assert " " not in group
    # Scores of comparisons count only where they are asked for.
    ordinary = loader.invoke({"feedback": {"key": "ranked", "use_score": True}})
    assert [session.get("score") for session in ordinary] == [None] * 4


def test_runs_outside_of_the_comparison_are_not_taken(langsmith, experiments):
    other = "3f0e2a4e-0000-4000-8000-000000000000"
    feedback = {"key": "ranked", "use_score": True, "comparative_experiment": other}
    loader = LangSmithRunChatLoader(project_name=experiments, client=langsmith, feedback=feedback)
    assert loader.load() == []
