"""Evaluators around a run of an experiment: a failed answer of the new model scores 0."""

import inspect
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from copy import copy
from typing import Any, SupportsFloat

from langsmith.evaluation import EvaluationResult, EvaluationResults, RunEvaluator, run_evaluator
from langsmith.evaluation.evaluator import DynamicRunEvaluator
from langsmith.schemas import Example, Run

from langchain_finetune.evaluation.failures import EvaluatorFailedError, place_of

NO_ANSWER = "The answer failed."


class WatchedEvaluator(RunEvaluator):
    """An evaluator of LangSmith's, as it is, except that it gets no runs that failed.

    A new model's answer that failed is worth 0: otherwise, it would be better the more often it
    fails on what it can't answer. An old model's has no score: its failures show no gain.

    Of two evaluators with the same key, which openevals' judges have unless they are given a
    `feedback_key`, the second one's is numbered: its scores must not replace those of the first.

    Args:
        evaluator: The evaluator.
        failed: Score of an answer that failed.
        owners: The first evaluator of each key; shared by all of one experiment.
        place: Place of this one among them.

    Attributes:
        failures: Class and place of each error that it raised.
    """

    def __init__(
        self,
        evaluator: Any,
        failed: int | None,
        owners: dict[str, int] | None = None,
        place: int = 0,
    ) -> None:
        self._failed = failed
        self._owners = {} if owners is None else owners
        self._place = place
        self._inner: Any = (
            evaluator if isinstance(evaluator, RunEvaluator) else run_evaluator(evaluator)
        )
        if isinstance(self._inner, DynamicRunEvaluator):
            # LangSmith takes no other numbers than Python's. The evaluator may be the user's own.
            self._inner = copy(self._inner)
            for name in ("func", "afunc"):
                if function := getattr(self._inner, name, None):
                    setattr(self._inner, name, _with_plain_numbers(function))
        if getattr(evaluator, "__name__", "<lambda>") == "<lambda>" and not isinstance(
            evaluator, RunEvaluator
        ):
            # A lambda, a partial function or an object: LangSmith has no name for its scores.
            setattr(self._inner, "_name", f"evaluator_{place + 1}")  # noqa: B010 - it is private
        self._keys: dict[str, None] = {}
        self.failures: list[str] = []

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
        with self._without_texts():
            return self._noted(self._inner.evaluate_run(run, example, evaluator_run_id))

    async def aevaluate_run(
        self,
        run: Run,
        example: Example | None = None,
        evaluator_run_id: uuid.UUID | None = None,
    ) -> EvaluationResult | EvaluationResults:
        """Async version of `evaluate_run`."""
        if run.error:
            return self._no_answer()
        with self._without_texts():
            return self._noted(await self._inner.aevaluate_run(run, example, evaluator_run_id))

    @contextmanager
    def _without_texts(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001 - raised again without its texts
            place = place_of(error)
            self.failures.append(place)
            raise EvaluatorFailedError(place) from None

    def _noted(self, found: Any) -> EvaluationResult | EvaluationResults:
        """Return the results under keys of their own, and note these."""
        several = isinstance(found, dict) and "results" in found
        given = list(found["results"]) if several else [found]
        kept, seen = [], set()
        for each in map(EvaluationResult.model_validate, given):
            key, number = each.key, 1
            while self._owners.setdefault(key, self._place) != self._place or key in seen:
                number += 1
                key = f"{each.key} {number}"
            seen.add(key)
            self._keys[key] = None
            kept.append(each.model_copy(update={"key": key}))
        return EvaluationResults(results=kept) if several else kept[0]

    def _no_answer(self) -> EvaluationResults:
        return EvaluationResults(
            results=[
                EvaluationResult(key=key, score=self._failed, comment=NO_ANSWER)
                for key in self.feedback_keys
            ]
        )


def _with_plain_numbers(function: Callable[..., Any]) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(function):

        async def aevaluate(*given: Any, **settings: Any) -> Any:
            return _plain(await function(*given, **settings))

        return aevaluate
    return lambda *given, **settings: _plain(function(*given, **settings))


def _plain(found: Any) -> Any:
    """Return an evaluator's result with Python's numbers for those of numpy, torch and decimal.

    >>> from decimal import Decimal
    >>> _plain([{"key": "near", "score": Decimal("0.5")}])
    [{'key': 'near', 'score': 0.5}]
    """
    if isinstance(found, dict):
        return {name: _plain(each) for name, each in found.items()}
    if isinstance(found, list):
        return [_plain(each) for each in found]
    if isinstance(found, SupportsFloat) and not isinstance(found, int):
        return float(found)
    return found


def watched(evaluators: Iterable[Any], failed: int | None) -> list[WatchedEvaluator]:
    """Return evaluators for one side of a comparison; see `WatchedEvaluator`."""
    owners: dict[str, int] = {}
    return [WatchedEvaluator(each, failed, owners, place) for place, each in enumerate(evaluators)]
