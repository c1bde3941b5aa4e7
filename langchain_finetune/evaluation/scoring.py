"""Evaluators around a run of an experiment: a failed answer of the new model scores 0."""

import uuid
from collections.abc import Iterable
from typing import Any, cast

from langsmith.evaluation import EvaluationResult, EvaluationResults, RunEvaluator, run_evaluator
from langsmith.schemas import Example, Run

from langchain_finetune.evaluation.failures import EvaluatorFailedError, place_of

NO_ANSWER = "The chain failed, so there is no answer."


class WatchedEvaluator(RunEvaluator):
    """An evaluator of LangSmith's, as it is, except that it gets no runs that failed.

    A new model's answer that failed is worth 0: otherwise, it would be better the more often it
    fails on what it can't answer. An old model's has no score: its failures show no gain.

    Args:
        evaluator: The evaluator.
        failed: Score of an answer that failed.
    """

    def __init__(self, evaluator: Any, failed: int | None) -> None:
        self._failed = failed
        self._inner: Any = (
            evaluator if isinstance(evaluator, RunEvaluator) else run_evaluator(evaluator)
        )
        self._keys: dict[str, None] = {}

    @property
    def feedback_keys(self) -> list[str]:
        """Keys of its scores, as far as they are known before it runs."""
        return list(self._inner.feedback_keys)

    @property
    def keys(self) -> list[str]:
        """Keys of the scores that it gave, or else would have given if it had not failed."""
        return list(self._keys) or self.feedback_keys or [self._name()]

    def __repr__(self) -> str:
        # LangSmith's log says which evaluator failed.
        return self._name()

    def _name(self) -> str:
        return str(getattr(self._inner, "_name", None) or type(self._inner).__name__)

    def evaluate_run(
        self,
        run: Run,
        example: Example | None = None,
        evaluator_run_id: uuid.UUID | None = None,
    ) -> EvaluationResult | EvaluationResults:
        """Return the inner evaluator's scores of a run."""
        if run.error:
            return self._no_answer()
        try:
            found = self._inner.evaluate_run(run, example, evaluator_run_id)
        except Exception as error:  # noqa: BLE001 - raised again without its texts
            raise EvaluatorFailedError(place_of(error)) from None
        self._note(found)
        return cast("EvaluationResult | EvaluationResults", found)

    async def aevaluate_run(
        self,
        run: Run,
        example: Example | None = None,
        evaluator_run_id: uuid.UUID | None = None,
    ) -> EvaluationResult | EvaluationResults:
        """Async version of `evaluate_run`."""
        if run.error:
            return self._no_answer()
        try:
            found = await self._inner.aevaluate_run(run, example, evaluator_run_id)
        except Exception as error:  # noqa: BLE001 - raised again without its texts
            raise EvaluatorFailedError(place_of(error)) from None
        self._note(found)
        return cast("EvaluationResult | EvaluationResults", found)

    def _note(self, found: Any) -> None:
        results = found["results"] if isinstance(found, dict) and "results" in found else [found]
        for each in results:
            key = each.get("key") if isinstance(each, dict) else each.key
            self._keys[str(key)] = None

    def _no_answer(self) -> EvaluationResults:
        return EvaluationResults(
            results=[
                EvaluationResult(key=key, score=self._failed, comment=NO_ANSWER)
                for key in self.feedback_keys
            ]
        )


def watched(evaluators: Iterable[Any], failed: int | None) -> list[WatchedEvaluator]:
    """Return evaluators for one side of a comparison; see `WatchedEvaluator`."""
    return [WatchedEvaluator(each, failed) for each in evaluators]
