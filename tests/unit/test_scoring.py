"""Scores of several evaluators, under keys of their own."""

from decimal import Decimal
from fractions import Fraction
from types import SimpleNamespace
from uuid import uuid4

import numpy as np
import pytest
import torch
from langsmith.evaluation import EvaluationResult, EvaluationResults, run_evaluator
from langsmith.schemas import Run

from langchain_finetune.evaluation.failures import EvaluatorFailedError
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


@pytest.mark.parametrize(
    ("given", "score"),
    [
        *[(np.float32(0.5), 0.5), (np.float16(0), 0), (np.float64(1), 1), (np.int64(2), 2)],
        *[(np.bool_(True), 1), (np.bool_(False), 0), (np.array(0.5), 0.5), (torch.tensor(1.0), 1)],
        *[(Decimal("0.25"), 0.25), (Decimal(0), 0), (Fraction(1, 2), 0.5), (True, 1), (3, 3)],
    ],
)
async def test_numbers_of_other_libraries_are_scores(given, score):
    def alone(run, example):
        return given

    def named(run, example):
        return {"key": "named", "score": given, "comment": "It is near."}

    def listed(run, example):
        return [{"key": "listed", "score": given}]

    def several(run, example):
        return {"results": [{"key": "several", "score": given}]}

    async def awaited(run, example):
        return given

    evaluators = [alone, named, listed, several, run_evaluator(named)]
    for side in (watched(evaluators, 0), watched(evaluators, None)):
        found = keys_and_scores(side)
        assert [key for key, _ in found] == ["alone", "named", "listed", "several", "named 2"]
        assert {value for _, value in found} == {score}
        assert all(type(value) in {int, float, bool} for _, value in found)
    [last] = watched([awaited], 0)
    assert (await last.aevaluate_run(a_run(), None)).score == score


def test_several_numbers_are_no_score():
    def vector(run, example):
        return np.array([0.5, 0.5])

    with pytest.raises(EvaluatorFailedError, match="TypeError"):
        keys_and_scores(watched([vector], 0))
