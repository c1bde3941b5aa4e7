"""Scores of several evaluators, under keys of their own."""

from types import SimpleNamespace
from uuid import uuid4

import pytest
from langsmith.evaluation import EvaluationResult, EvaluationResults
from langsmith.schemas import Run

from langchain_finetune.evaluation.plan import _number
from langchain_finetune.evaluation.scoring import watched


def judge(score):
    """An evaluator with the key that openevals gives to each judge without a name."""

    def evaluate(run, example):
        return EvaluationResult(key="score", score=score)

    return evaluate


def a_run():
    fields = {"name": "answer", "start_time": "2026-11-29T12:00:00Z", "run_type": "chain"}
    return Run(id=uuid4(), inputs={}, outputs={"content": "Hello"}, trace_id=uuid4(), **fields)


def keys_and_scores(evaluators):
    found = []
    for evaluator in evaluators:
        given = evaluator.evaluate_run(a_run(), None)
        results = given["results"] if isinstance(given, dict) else [given]
        found += [(each.key, each.score) for each in results]
    return found


def test_evaluators_of_one_key_do_not_replace_each_other():
    evaluators = watched([judge(0), judge(1), judge(0.5)], 0)
    expected = [("score", 0), ("score 2", 1), ("score 3", 0.5)]
    assert keys_and_scores(evaluators) == expected
    assert keys_and_scores(evaluators) == expected
    assert [each.keys for each in evaluators] == [["score"], ["score 2"], ["score 3"]]


def test_one_evaluator_may_give_a_key_twice():
    def twice(run, example):
        results = [EvaluationResult(key="part", score=score) for score in (0, 1)]
        return EvaluationResults(results=results)

    assert keys_and_scores(watched([twice], 0)) == [("part", 0), ("part 2", 1)]


@pytest.mark.parametrize("score", [float("nan"), float("inf"), float("-inf"), None])
def test_what_is_no_number_is_no_score(score):
    assert _number(SimpleNamespace(score=score, value=None)) is None
