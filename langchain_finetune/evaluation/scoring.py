"""Evaluators around a run of an experiment: failed answers score 0, failed evaluators None."""

import uuid
from pathlib import Path
from typing import Any, cast

from langsmith.evaluation import EvaluationResult, EvaluationResults, RunEvaluator, run_evaluator
from langsmith.schemas import Example, Run

NO_ANSWER = "The chain failed, so there is no answer."


class EvaluatorFailedError(Exception):
    """An evaluator raised; the message names the error and its place, without any text."""


class WatchedEvaluator(RunEvaluator):
    """An evaluator of LangSmith's, as it is, except that it gets no runs that failed.

    An answer that failed is worth 0: otherwise, a model would be better the more often it fails on
    what it can't answer.
    """

    def __init__(self, evaluator: Any) -> None:
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
            raise EvaluatorFailedError(_place_of(error)) from None
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
            raise EvaluatorFailedError(_place_of(error)) from None
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
                EvaluationResult(key=key, score=0, comment=NO_ANSWER) for key in self.feedback_keys
            ]
        )


def _place_of(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f" at {Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else ""
    return f"{type(error).__name__}{place}"
